//! The boxes that take part: who they are, and whether they have said what they run.

use super::life::Stage;
use super::{Asked, Controller};
use crate::context::Context;
use crate::control::{
    BoxEntry, FromController, Hosting, Knowledge, Reason, ToPort, Wedged, manager_path, port_path,
};
use crate::id::{AgentId, BoxId, ReactorAddress};
use crate::path::AgentPath;

/// Ids of guests start here; those of stated boxes are their places in the statement, from 1.
const GUESTS: u16 = 1 << 15;

/// Most processes of one box that are remembered, of those that ask and of those that were before.
const PROCESSES_MAX: usize = 64;

/// A box that has registered.
///
/// Messages come in any order, so a registration may be of a process that is long gone. Only a report
/// shows that a process was there after this controller heard of it; and of two that report, the one that
/// was heard of first was first.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: BoxId,
    /// The process that has said what it runs, and has not ended.
    pub(super) current: Option<Process>,
    /// Whether any process of this box has, to this controller: since then it is known what it runs.
    pub(super) is_known: bool,
    /// Those that have registered since, in the order in which they were heard of.
    applicants: Vec<Process>,
    /// Those that were there before.
    former: Vec<u64>,
    /// Where the last one was that reported.
    known_at: Option<String>,
}

/// A process of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) address: String,
    pub(super) reactors: u8,
    /// No other process has the same.
    pub(super) incarnation: u64,
}

impl Member {
    /// Makes the process that reports the box's own; says whether it is another than before.
    fn report(&mut self, incarnation: u64) -> Result<bool, String> {
        if self.current.as_ref().is_some_and(|process| process.incarnation == incarnation) {
            return Ok(false);
        }
        let found = self.applicants.iter().position(|process| process.incarnation == incarnation);
        let Some(index) = found else { return Err("register first".to_owned()) };
        let process = self.applicants[index].clone();
        self.refuse_second(&process)?;
        let before: Vec<Process> = self.applicants.drain(..=index).collect();
        let before = before.into_iter().take(index).chain(self.current.replace(process));
        before.for_each(|process| self.forget(process.incarnation));
        self.is_known = true;
        Ok(true)
    }

    /// A process has ended.
    fn forget(&mut self, incarnation: u64) {
        self.applicants.retain(|process| process.incarnation != incarnation);
        self.former.push(incarnation);
        let excess = self.former.len().saturating_sub(PROCESSES_MAX);
        self.former.drain(..excess);
    }

    /// A process at one address follows another; one at another address is a second one.
    fn refuse_second(&self, applicant: &Process) -> Result<(), String> {
        match &self.current {
            Some(process) if process.address != applicant.address => Err(format!(
                "a box of this name is there already, at {}: stop that one, or give the one at {} \
                 another name; if it has crashed, start this one at its address once",
                process.address, applicant.address
            )),
            _ => Ok(()),
        }
    }

    fn knows(&self, incarnation: u64) -> bool {
        let mut processes = self.current.iter().chain(&self.applicants);
        processes.any(|process| process.incarnation == incarnation)
    }
}

impl Controller {
    /// A process of a box is there, or was.
    pub(super) fn register(
        &mut self,
        name: String,
        applicant: Process,
        claimed: u16,
        context: &mut Context<'_, Controller>,
    ) {
        let asker = context.reply_address();
        match self.try_register(name, applicant, claimed) {
            Ok(id) => self.registering.push((asker, id)),
            Err(why) => context.reply(&FromController::Refused(Reason::Invalid, why)),
        }
        self.begin(context);
    }

    /// Answers registrations, once this controller has its term.
    pub(super) fn begin(&mut self, context: &mut Context<'_, Controller>) {
        let Some(term) = self.reserve.term else { return };
        for (asker, id) in std::mem::take(&mut self.registering) {
            context.reply_to(asker, &FromController::Registered { agent_box: id.0, term });
        }
    }

    fn try_register(
        &mut self,
        name: String,
        applicant: Process,
        claimed: u16,
    ) -> Result<BoxId, String> {
        manager_path(&name).map_err(|error| error.to_string())?;
        if applicant.reactors == 0 {
            return Err("a box has one reactor at least".to_owned());
        }
        if !self.members.contains_key(&name) {
            let id = self.choose_id(&name, claimed);
            let id = id.ok_or("the system has as many boxes as there are ids".to_owned())?;
            let new = Member {
                id,
                current: None,
                is_known: false,
                applicants: Vec::new(),
                former: Vec::new(),
                known_at: None,
            };
            self.members.insert(name.clone(), new);
        }
        let member = self.members.get_mut(&name).expect("it was put there above");
        if member.former.contains(&applicant.incarnation) {
            return Err("a later process of this box has come".to_owned());
        }
        if !member.knows(applicant.incarnation) {
            member.refuse_second(&applicant)?;
            if member.applicants.len() == PROCESSES_MAX {
                member.applicants.remove(0);
            }
            member.applicants.push(applicant);
        }
        Ok(member.id)
    }

    /// An id that no other box has: the one that it had, else its own, else the next that is free.
    fn choose_id(&self, name: &str, claimed: u16) -> Option<BoxId> {
        if name == self.home {
            return Some(BoxId(0));
        }
        let is_free = |id: &u16| self.members.values().all(|member| member.id.0 != *id);
        let place = self.sites.iter().position(|site| site.name == name);
        let own = place.and_then(|place| u16::try_from(place + 1).ok());
        let hash = (AgentId::from(name).0 % u64::from(GUESTS)) as u16;
        let others = (0..GUESTS).map(|step| GUESTS | ((hash + step) % GUESTS));
        let claimed = Some(claimed).filter(|id| *id != 0);
        claimed.into_iter().chain(own).chain(others).find(is_free).map(BoxId)
    }

    /// A process says what it runs: that is adopted.
    pub(super) fn report(
        &mut self,
        name: &str,
        (incarnation, term): (u64, u32),
        running: &[Hosting],
        wedged: Vec<Wedged>,
        context: &mut Context<'_, Controller>,
    ) -> FromController {
        let Some(member) = self.members.get_mut(name).filter(|_| self.reserve.term == Some(term))
        else {
            // Meant for an earlier controller; this one will be registered at.
            return FromController::Reported;
        };
        match member.report(incarnation) {
            Ok(true) => {
                self.lose(name);
                self.tell_where(name, context);
            }
            Ok(false) => {}
            Err(why) => return FromController::Refused(Reason::Invalid, why),
        }
        let Ok(manager) = manager_path(name).map(|path| path.logical_id()) else {
            return FromController::Reported;
        };
        for hosting in running {
            self.adopt_unknown(hosting, name, term);
            self.learn_cut(hosting);
            self.adopt(hosting, manager);
        }
        for wedged in wedged {
            self.learn_wedged(wedged, name, context);
        }
        FromController::Reported
    }

    /// A box may have come back at another address: everybody's links to it follow it there. Who is at the
    /// old one says nothing, so nobody would ask.
    fn tell_where(&mut self, name: &str, context: &mut Context<'_, Controller>) {
        let is_first = self.reserve.is_first;
        let Some(member) = self.members.get_mut(name) else { return };
        let Some(process) = &member.current else { return };
        let address = process.address.clone();
        let was_at = member.known_at.replace(address.clone());
        // Where it was under an earlier controller is not known.
        if was_at.map_or(is_first, |was_at| was_at == address) {
            return;
        }
        let entry = BoxEntry { agent_box: member.id.0, name: name.to_owned(), address };
        let news = ToPort::Learn(Knowledge { boxes: vec![entry], ..Knowledge::default() });
        for (other, member) in self.members.iter().filter(|(other, _)| *other != name) {
            let reactors = member.current.as_ref().map_or(0, |process| process.reactors);
            let ports = (0..reactors).filter_map(|reactor| port_path(other, reactor).ok());
            ports.for_each(|port| context.send(port.logical_id(), &news));
        }
    }

    /// A process has ended.
    pub(super) fn gone(&mut self, name: &str, incarnation: u64) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.forget(incarnation);
        if member.current.take_if(|process| process.incarnation == incarnation).is_none() {
            return;
        }
        self.lose(name);
        if !self.is_stated(name) {
            self.members.remove(name);
        }
    }

    /// What ran in a box has ended with its process. A guest's agents end for good.
    fn lose(&mut self, name: &str) {
        self.lose_parts(name);
        let is_guest = !self.is_stated(name);
        let lost: Vec<AgentId> = self.living_in(name).collect();
        for id in &lost {
            self.asked.retain(|_, asked| match asked {
                Asked::Start(agent) | Asked::Stop(agent) => agent != id,
                Asked::Raise | Asked::Wedge(..) => true,
            });
            self.set_stage(*id, Stage::Ended);
        }
        for id in lost.into_iter().filter(|_| is_guest) {
            let top = self.latt.get(id).map(|node| node.path.top());
            top.into_iter().for_each(|top| self.remove(&top));
        }
    }

    pub(super) fn is_stated(&self, name: &str) -> bool {
        self.sites.iter().any(|site| site.name == name)
    }

    /// Whether it is known of every stated box what it runs: what is unknown then does not exist.
    pub(super) fn knows_all(&self) -> bool {
        let known = |name: &String| self.members.get(name).is_some_and(|member| member.is_known);
        self.reserve.is_first || self.sites.iter().all(|site| known(&site.name))
    }

    /// Whether a stated box will have an agent of the system's own with this logical id, once it is
    /// there: until it has said what it runs, nobody may be told that there is none.
    pub(super) fn expects(&self, id: AgentId) -> bool {
        self.sites.iter().any(|site| {
            let ports = (0..site.reactors).map(|k| port_path(&site.name, k));
            let own = std::iter::once(manager_path(&site.name)).chain(ports);
            own.flatten().any(|path| path.logical_id() == id)
        })
    }

    /// The system's own agent of this logical id, if its box is there.
    pub(super) fn own_agent(&self, id: AgentId) -> Option<(AgentPath, ReactorAddress)> {
        self.members.iter().find_map(|(name, member)| {
            let process = member.current.as_ref()?;
            let at = |reactor| ReactorAddress { agent_box: member.id, reactor };
            let manager = manager_path(name).ok()?;
            if manager.logical_id() == id {
                return Some((manager, at(0)));
            }
            let mut ports =
                (0..process.reactors).filter_map(|k| Some((port_path(name, k).ok()?, k)));
            ports.find(|(path, _)| path.logical_id() == id).map(|(path, k)| (path, at(k)))
        })
    }
}
