//! A life that goes on from earlier ones (Ovid §5): it is made of what their reactors kept, and runs once nobody
//! else has that.
//!
//! What cannot be made is found before anything is given up, so that nothing can fail behind that. The new owner of
//! some points inherits variables, pending timers, the last stamp, the done boxes of all earlier owners, and where
//! those were to reach who waits for replies.

use daedal_model::context::Timer;
use daedal_model::control::{Failure, Hosting, ToPort};
use daedal_model::id::{BoxId, ReactorAddress, Space, Stamp};
use daedal_model::message::{Schema, Wire};
use daedal_model::state::{Captured, StateError};
use daedal_net::driver::Driver;
use daedal_net::wire::message::MessageHeader;

use crate::deliver::Host;
use crate::hosting::Placed;
use crate::kinds::Kind;
use crate::plane::Via;
use crate::planted::{self, Bug};
use crate::record::{Draft, HAS_POINT};
use crate::slot::SlotIndex;
use crate::timer::Alarm;
use crate::turn::Turn;
use crate::wedge::{Bequest, OriginEntry, TimerEntry};

/// An agent that was made of parts of earlier lives, and does not run yet.
pub(crate) struct Heir {
    placed: Placed,
    host: Box<dyn Host>,
    bequests: Vec<Bequest>,
}

impl<D: Driver> Turn<D> {
    /// Makes an agent of parts of earlier lives.
    pub(crate) fn obey_make(&mut self, hosting: &Hosting, parts: &[Vec<u8>]) {
        let path = hosting.path.clone();
        let refused = match self.heir_of(hosting, parts) {
            Ok(heir) => {
                self.heirs.insert(path.clone(), heir);
                None
            }
            Err(why) => Some(why),
        };
        self.tell_port(&ToPort::Made { path, refused });
    }

    fn heir_of(&self, hosting: &Hosting, parts: &[Vec<u8>]) -> Result<Heir, Failure> {
        let (placed, host) = self.made_of(hosting)?;
        let bequests = bequests(parts);
        let host = restored(host, &bequests).map_err(|error| {
            format!("{} cannot go on from what its points were: {error}", placed.path)
        })?;
        Ok(Heir { placed, host, bequests })
    }

    /// Runs an agent that was made: nobody else has what it goes on from.
    pub(crate) fn obey_begin(&mut self, path: String) {
        let refused = match self.heirs.remove(&path) {
            Some(Heir { placed, host, bequests }) => {
                let index = self.seat(placed, host);
                self.inherit(index, &bequests);
                if planted::is(Bug::PartTwice) {
                    self.inherit(index, &bequests);
                }
                self.settle_routes();
                None
            }
            None => Some(format!("{path} was not made of anything").into()),
        };
        self.tell_port(&ToPort::Finished { path, refused, state: None });
    }

    /// Gives an agent that begins what it inherits beside its variables.
    pub(crate) fn inherit(&mut self, index: SlotIndex, bequests: &[Bequest]) {
        for bequest in bequests {
            self.learn_origins(&bequest.origins);
            let Some(slot) = &mut self.slots[index.0 as usize] else { return };
            if !planted::is(Bug::StampLeft) {
                slot.last_stamp = slot.last_stamp.max(Stamp(bequest.stamp));
            }
            for entry in &bequest.done {
                entry.pass_to(&mut slot.done);
            }
        }
        // A message that is for no point in particular was each owner's: it is this one's once.
        let mut seen: Vec<&TimerEntry> = Vec::new();
        for entry in bequests.iter().flat_map(|it| &it.timers) {
            let is_same = |other: &&TimerEntry| {
                entry.point.is_none() && (other.schema, &other.body) == (entry.schema, &entry.body)
            };
            if !seen.iter().any(is_same) && !planted::is(Bug::TimersLeft) {
                self.arm(index, entry);
                seen.push(entry);
            }
        }
    }

    fn arm(&mut self, index: SlotIndex, entry: &TimerEntry) {
        let kind = self.plane.templates.kinds().kind(Schema(entry.schema)).unwrap_or(Kind::NONE);
        let sender = &self.plane.senders[index.0 as usize];
        let header = MessageHeader {
            destination: sender.logical.0.into(),
            source: sender.logical.0.into(),
            number: entry.number.into(),
            space: sender.space.0.into(),
            point: entry.point.unwrap_or(0).into(),
            flags: if entry.point.is_some() { HAS_POINT } else { 0 },
            kind: kind.0.into(),
            ..MessageHeader::default()
        };
        let record = Draft { header, ..Draft::default() }.with(&entry.body);
        let timer = Timer(entry.number);
        self.plane.timers.set(Stamp(entry.due), Alarm { slot: index, timer, record });
    }

    /// Replies go back to where requests came from, which was another reactor then.
    fn learn_origins(&mut self, origins: &[OriginEntry]) {
        for entry in origins {
            let space = Space(entry.space);
            let is_known =
                self.plane.spaces.contains_key(&space) || self.plane.origins.contains_key(&space);
            let (agent_box, reactor) = (BoxId(entry.agent_box), entry.reactor);
            let (at, me) = (ReactorAddress { agent_box, reactor }, self.plane.me);
            if is_known || at == me {
                continue;
            }
            let via = match entry.address.parse() {
                _ if at.agent_box == me.agent_box => Via::Ring(reactor),
                Ok(address) => self.plane.links.to(at, address, self.plane.now),
                Err(_) => continue,
            };
            self.plane.origins.insert(space, via);
            // It need not know of us, nor be there any more.
            self.ask_after(space, via);
        }
    }
}

/// The agent whose earlier lives were these, as far as they are whole.
/// # Errors
/// [`StateError`] when they do not join, or are of another agent.
fn restored(mut host: Box<dyn Host>, bequests: &[Bequest]) -> Result<Box<dyn Host>, StateError> {
    let parts = bequests.iter().map(|it| Captured::from_bytes(&it.state));
    let whole = Captured::join(parts.collect::<Result<_, _>>()?)?;
    host.restore(whole)?;
    Ok(host)
}

/// The bequests that these bytes are; what is none is left out.
pub(crate) fn bequests(parts: &[Vec<u8>]) -> Vec<Bequest> {
    let read = |bytes: &Vec<u8>| Bequest::access(bytes).map(Bequest::owned).ok();
    parts.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
