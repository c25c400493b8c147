//! Agents come and go, and routes with them: the cold half of a turn.
//!
//! A reactor's own port speaks with the control plane for it (Ovid §6.1): it hears what the reactor
//! misses, and leaves commands, which are carried out here.

use daedal_model::address::numbered;
use daedal_model::control::{Failure, Hosting, ToManager, ToPort, manager_path, port_path};
use daedal_model::encode::{Encode, encode_to_vec};
use daedal_model::id::{AgentId, BoxId, Epoch, ReactorAddress, Space};
use daedal_model::message::Message;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::port::Command;
use daedal_model::route::{Action, Route};
use daedal_model::state::Captured;
use daedal_net::driver::Driver;

use crate::deliver::{Host, Hosted};
use crate::done_box::DoneBox;
use crate::kinds::Kind;
use crate::many::Members;
use crate::ordered::Egress;
use crate::plane::{Hand, Work, nobody};
use crate::record::Record;
use crate::slot::{Sender, Slot, SlotIndex};
use crate::template::parameters;
use crate::turn::{Fate, Turn};

/// Where the controller is: every box knows that from its start.
pub const CONTROLLER_AT: ReactorAddress = ReactorAddress { agent_box: BoxId(0), reactor: 0 };

/// An agent that is to run here, as the controller decided.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its physical path.
    pub path: AgentPath,
    /// The logical path that its messages come from: its own, or that of the virtual agent it stands for.
    pub source: AgentPath,
    /// Its own, never used before.
    pub space: Space,
    /// The points that it owns; all of them, unless it is a shard.
    pub range: PointRange,
}

impl Placed {
    /// An agent that stands for itself alone.
    pub fn alone(path: AgentPath, space: Space) -> Placed {
        Placed { source: path.logical(), path, space, range: PointRange::ALL }
    }
}

impl<D: Driver> Turn<D> {
    /// Runs an agent here, and makes its first transition.
    pub fn host(&mut self, placed: Placed, host: Box<dyn Host>) {
        let index = self.seat(placed, host);
        self.settle_places();
        self.start(index);
    }

    /// Runs the reactor's port here. `box_name`: the box's, by which ports and managers go.
    /// # Panics
    /// When `box_name` cannot name a box.
    pub fn host_port(&mut self, box_name: &str, space: Space) {
        let path = port_path(box_name, self.plane.me.reactor).expect("the box's name was checked");
        let index = self.seat(Placed::alone(path.clone(), space), Box::new(Hosted::port()));
        self.port = Some(index);
        self.manager = Some(manager_path(box_name).expect("the box's name was checked"));
        self.fix_route(path, self.plane.me);
    }

    /// What is said of this reactor besides its driver, to whoever asks its port: how it idles, say.
    pub fn describe_as(&mut self, about: String) {
        self.about = about;
    }

    /// Takes note of an agent that stays where it is as long as this process: controllers, managers, ports.
    pub fn fix_route(&mut self, path: AgentPath, at: ReactorAddress) {
        let physical = path.physical_id();
        self.plane.routes.fix(physical, at);
        self.learn_route(path, Route { epoch: Epoch(0), action: Action::To(physical) });
        self.settle_routes();
    }

    /// Takes note of where a box is.
    pub fn put_box(&mut self, agent_box: BoxId, address: std::net::SocketAddr) {
        self.plane.routes.put_box(agent_box, address);
        self.settle_routes();
    }

    /// Which agents here are many, for people.
    fn many_here(&self) -> String {
        let slots = self.slots.iter().flatten();
        let many = slots.filter_map(|slot| Some((slot.path.logical(), slot.host.count()?)));
        many.map(|(path, count)| format!("; {path}: {count} agents")).collect()
    }

    /// Takes note of a route, which `settle_routes` puts to use.
    pub fn learn_route(&mut self, path: AgentPath, route: Route) {
        self.plane.routes.learn(path, route);
    }

    pub(crate) fn seat(&mut self, placed: Placed, host: Box<dyn Host>) -> SlotIndex {
        let index = self.vacant_slot();
        let physical = placed.path.physical_id();
        let takes = self.plane.templates.kinds().kind(host.takes()).unwrap_or(Kind::NONE);
        let members = host.count().map(|count| Box::new(Members::new(count, takes)));
        if host.is_shim() {
            self.shims.push(index);
        }
        let source = placed.source.logical_id();
        let sender = Sender {
            source,
            logical: placed.path.logical_id(),
            path: placed.source,
            space: placed.space,
            lately: None,
            heads: None,
            pressed: 0,
            is_held: false,
            is_shim: host.is_shim(),
            // No other agent has these, nor a later life: a timer can be cancelled by whoever inherits it.
            timers: u64::from(placed.space.0) << 32,
            used: 0,
            links: Vec::new(),
        };
        let slot = Slot {
            path: placed.path,
            takes: if members.is_some() { Kind::MANY } else { takes },
            host,
            physical,
            source,
            space: placed.space,
            range: placed.range,
            inbox: Default::default(),
            members,
            egress: Egress::default(),
            done: DoneBox::default(),
            last_stamp: self.plane.now,
            runnable: false,
        };
        match self.slots.get_mut(index.0 as usize) {
            Some(vacant) => {
                *vacant = Some(slot);
                self.plane.senders[index.0 as usize] = sender;
            }
            None => {
                self.slots.push(Some(slot));
                self.plane.senders.push(sender);
            }
        }
        self.plane.spaces.insert(placed.space, index);
        self.plane.hosted.insert(physical, index);
        self.plane.routes.place(physical, self.plane.me);
        index
    }

    fn vacant_slot(&mut self) -> SlotIndex {
        self.lives += 1;
        self.remains.vacant().unwrap_or(SlotIndex(self.slots.len() as u32))
    }

    fn start(&mut self, index: SlotIndex) {
        let Some(slot) = &mut self.slots[index.0 as usize] else { return };
        let (envelope, id) = (nobody(slot.last_stamp), slot.source);
        let mut work = Work { plane: &mut self.plane, slot: index, hand: Hand::default() };
        slot.host.start(id, &envelope, &mut work);
        self.start_each(index, &envelope);
        self.after_transition(index);
    }

    /// Stops an agent. Who sent what waits in its inbox is told to ask for the way again.
    pub fn unhost(&mut self, physical: AgentId) -> bool {
        self.release(physical);
        let Some(index) = self.plane.hosted.remove(&physical) else { return false };
        let mut slot = self.slots[index.0 as usize].take().expect("it is hosted");
        self.depart(index, &slot, false);
        self.plane.timers.take_all(index);
        self.shims.retain(|shim| *shim != index);
        self.plane.routes.unplace(physical);
        self.plane.routes.forget(physical);
        self.settle_places();
        for parked in slot.take_waiting() {
            self.settle_parked(index, &parked, Fate::Returned);
        }
        true
    }

    /// Asks the port about destinations that nothing is known of.
    pub(crate) fn ask_for_routes(&mut self) {
        if self.plane.missed.is_empty() {
            return;
        }
        for at in std::mem::take(&mut self.plane.missed) {
            let it = &self.plane.conversations[at];
            let (destination, from) = (it.to.0, it.from);
            if self.plane.routes[it.route].way.is_missing() {
                let source = self.plane.senders[from.0 as usize].path.to_string();
                self.tell_port(&ToPort::Miss { destination, source });
            }
        }
    }

    /// An agent has come or gone here: most are written to by nobody here.
    fn settle_places(&mut self) {
        if self.plane.settle_routes() {
            self.release_waiting();
        }
    }

    /// Derives all ways anew, and sends what waited for one.
    pub fn settle_routes(&mut self) {
        self.plane.settle_routes();
        self.release_waiting();
    }

    fn release_waiting(&mut self) {
        for at in self.plane.conversations.waiting() {
            self.plane.release(at);
        }
    }

    pub(crate) fn tell_that_the_controller_is_new(&mut self) {
        self.tell_port(&ToPort::ControllerIsNew);
        let manager = self.manager.as_ref().map(AgentPath::logical_id);
        if let Some(manager) = manager.filter(|id| self.plane.hosted.contains_key(id)) {
            self.tell(manager, &ToManager::ControllerIsNew);
        }
    }

    pub(crate) fn tell_port(&mut self, message: &ToPort) {
        let port = self.port.and_then(|index| self.slots[index.0 as usize].as_ref());
        if let Some(id) = port.map(|slot| slot.source) {
            self.tell(id, message);
        }
    }

    /// The turn speaks to agents of the system in its port's name.
    fn tell<M: Message + Encode<M>>(&mut self, to: AgentId, message: &M) {
        if let Some(port) = self.port {
            self.plane.post(port, to, M::SCHEMA, &encode_to_vec::<M>(message));
        }
    }

    /// Carries out what the port has left to do.
    pub(crate) fn obey_port(&mut self, index: SlotIndex) {
        let Some(slot) = &mut self.slots[index.0 as usize] else { return };
        for command in slot.host.take_commands() {
            match command {
                Command::Host(hosting) => self.obey_host(&hosting),
                Command::Make(hosting, parts) => self.obey_make(&hosting, &parts),
                Command::Begin(path) => self.obey_begin(path),
                Command::Wedge(path, parts) => self.obey_wedge(path, parts),
                Command::Unhost(path) => {
                    let physical = AgentPath::parse(&path).map(|path| path.physical_id());
                    let found = physical.is_ok_and(|physical| self.unhost(physical));
                    let refused = (!found).then(|| format!("{path} does not run here").into());
                    self.tell_port(&ToPort::Finished { path, refused, state: None });
                }
                Command::Capture(path, held_by) => self.obey_capture(path, held_by),
                Command::Hold(path, by) => self.obey_hold(path, by),
                Command::Release(path, by) => self.obey_release(&path, by),
                Command::Describe => {
                    let mode = self.plane.links.driver_mut().mode();
                    let many = self.many_here();
                    self.tell_port(&ToPort::Described(format!("{mode}; {}{many}", self.about)));
                }
                Command::Learn(learned) => self.obey_learn(learned),
                Command::Refuse { destination, source, refusal, why } => {
                    tracing::debug!(%destination, source, why, "look-up refused");
                    self.refuse_waiting(destination, &source, refusal);
                }
                Command::Forget(destination, epoch) => {
                    self.plane.routes.forget_route(destination, epoch);
                    self.settle_routes();
                }
            }
        }
    }

    fn obey_host(&mut self, hosting: &Hosting) {
        let refused = match self.made_of(hosting) {
            Ok((placed, _)) if self.plane.hosted.contains_key(&placed.path.physical_id()) => None,
            Ok((placed, host)) => {
                self.host(placed, host);
                None
            }
            Err(why) => Some(why),
        };
        let path = hosting.path.clone();
        self.tell_port(&ToPort::Finished { path, refused, state: None });
    }

    /// An agent as its template has it, and where it belongs.
    pub(crate) fn made_of(&self, hosting: &Hosting) -> Result<(Placed, Box<dyn Host>), Failure> {
        let path = AgentPath::parse(&hosting.path).map_err(|error| error.to_string())?;
        let source = AgentPath::parse(&hosting.source).map_err(|error| error.to_string())?;
        let parameters = parameters(&hosting.parameters);
        let host = self.plane.templates.make(&hosting.template, &parameters)?;
        let (space, range) = (hosting.space(), hosting.range());
        Ok((Placed { path, source, space, range }, host))
    }

    /// The state of an agent between two of its transitions, in flight as its messages may be. `path`:
    /// with or without its incarnation. `None` inside: it is a shim.
    /// # Errors
    /// A text for people: it does not run here.
    pub fn capture(&self, path: &AgentPath) -> Result<Option<Captured>, String> {
        self.find(path).map(|slot| slot.host.capture())
    }

    /// The state of one of many agents that share a name; `None`: it does not run here.
    pub fn capture_one(&self, path: &str, number: u32) -> Option<Captured> {
        self.find(&AgentPath::parse(path).ok()?).ok()?.host.capture_one(number)
    }

    fn find(&self, path: &AgentPath) -> Result<&Slot, String> {
        let (_, slot) = self.slot_at(path).ok_or_else(|| format!("{path} does not run here"))?;
        Ok(slot)
    }

    /// The agent of this path, with or without its incarnation, that runs here and is not ending.
    pub(crate) fn slot_at(&self, path: &AgentPath) -> Option<(SlotIndex, &Slot)> {
        let all = self.slots.iter().enumerate();
        let mut all = all.filter_map(|(at, slot)| Some((SlotIndex(at as u32), slot.as_ref()?)));
        all.find(|(_, slot)| {
            slot.physical != AgentId(0) && (slot.path == *path || slot.path.logical() == *path)
        })
    }

    /// The state of `users/7`, or of an agent that is one.
    fn capture_named(&self, name: &str) -> Result<Captured, String> {
        let (path, number) = match numbered(name) {
            Some((many, number)) => (many, Some(number)),
            None => (name, None),
        };
        let path = AgentPath::parse(path).map_err(|error| error.to_string())?;
        let slot = self.find(&path)?;
        match (slot.host.count(), number) {
            (Some(count), Some(number)) => slot
                .host
                .capture_one(number)
                .ok_or_else(|| format!("{path} are {count} agents, from {path}/0 on")),
            (Some(count), None) => Err(format!(
                "{path} are {count} agents: write which, {path}/0 to {path}/{}",
                count - 1
            )),
            (None, Some(_)) => Err(format!("{path} is one agent: write {path}")),
            (None, None) => slot
                .host
                .capture()
                .ok_or_else(|| format!("{path} is a shim: it has no state to capture")),
        }
    }

    fn obey_capture(&mut self, path: String, held_by: Option<u64>) {
        let (state, refused) = match self.try_capture(&path, held_by) {
            Ok(captured) => (Some(captured.to_bytes()), None),
            Err(why) => (None, Some(why)),
        };
        self.tell_port(&ToPort::Finished { path, refused, state });
    }

    fn try_capture(&self, name: &str, held_by: Option<u64>) -> Result<Captured, Failure> {
        if let Some(by) = held_by {
            let path = AgentPath::parse(name).map_err(|error| error.to_string())?;
            if !self.holds(&path, by) {
                return Err(Failure::for_now(format!("{path} was held no longer")));
            }
        }
        Ok(self.capture_named(name)?)
    }

    fn obey_learn(&mut self, learned: daedal_model::control::Learned) {
        for (path, route) in learned.routes {
            self.plane.routes.learn(path, route);
        }
        for (physical, at) in learned.places {
            self.plane.routes.place(physical, at);
        }
        for (agent_box, _, address) in learned.boxes {
            match address.parse() {
                Ok(address) => self.plane.routes.put_box(agent_box, address),
                Err(_) => tracing::warn!(address, "a box's address is not one"),
            }
        }
        self.plane.conversations.ask_anew();
        self.settle_routes();
    }

    /// Answers what waits for a destination with a refusal.
    pub(crate) fn refuse_waiting(
        &mut self,
        to: AgentId,
        source: &str,
        refusal: daedal_model::agent::Refusal,
    ) {
        let senders = &self.plane.senders;
        let concerned: Vec<_> = self
            .plane
            .conversations
            .iter()
            .filter(|(_, it)| it.to == to && senders[it.from.0 as usize].path.as_str() == source)
            .map(|(at, _)| at)
            .collect();
        for at in concerned {
            self.plane.conversations[at].is_asked_for = false;
            let mut replies = Vec::new();
            while let Some((number, record)) = self.plane.conversations[at].next_sendable() {
                if self.plane.conversations[at].is_beyond(number) {
                    // It cannot be told apart from others yet, nor can those behind it.
                    self.plane.conversations.put_back(at, number, record);
                    break;
                }
                match Record::of(&record).answers() {
                    // It needs no route: it goes back to where its request came from.
                    Some(_) => replies.push((number, record)),
                    None => self.plane.refuse(at, &Record::of(&record), refusal),
                }
            }
            for (number, record) in replies {
                self.plane.conversations.put_back(at, number, record);
            }
            for (at, _, mut record) in self.plane.take_waiting_in_line(at) {
                self.plane.leave_place(at, None, &mut record);
                self.plane.refuse(at, &Record::of(&record), refusal);
            }
            self.plane.release(at);
        }
    }
}
