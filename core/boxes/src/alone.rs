//! A reactor by itself: no other reactors, no other boxes, no controller. For first steps, tests and
//! measurements; whoever runs it takes the turns and says what time it is.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use daedal_model::id::{Epoch, ReactorAddress, Space};
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::route::{Action, PickBy, Route, Share};
use daedal_net::driver::{Counters, Driver, Outgoing, Received};
use daedal_net::pool::Pool;

use crate::deliver::Host;
use crate::hosting::Placed;
use crate::links::Links;
use crate::template::{Parameters, Templates};
use crate::turn::Turn;

const FRAME_BYTES: usize = 1472;

/// The driver of a reactor without a network: nothing arrives, and nothing is ever sent.
#[derive(Debug)]
pub struct NoNetwork {
    pool: Pool,
}

impl Default for NoNetwork {
    fn default() -> NoNetwork {
        NoNetwork { pool: Pool::new(1, FRAME_BYTES) }
    }
}

impl Driver for NoNetwork {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, _: u64, _: usize, _: &mut Vec<Received>) -> usize {
        0
    }

    fn transmit(&mut self, _: u64, frames: &mut VecDeque<Outgoing>) {
        frames.clear();
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    }

    fn payload_bytes_max(&self) -> usize {
        FRAME_BYTES
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn mode(&self) -> String {
        "none: this reactor is alone".to_owned()
    }
}

impl Turn<NoNetwork> {
    /// A reactor that knows these templates, and nobody else.
    pub fn alone(templates: Arc<Templates>) -> Turn<NoNetwork> {
        let me = ReactorAddress::default();
        let links = Links::new(me, NoNetwork::default(), templates.kinds(), Default::default(), 1);
        Turn::new(me, templates, links)
    }

    /// Runs an agent of this kind here, under `path`, and makes its first transition.
    /// # Errors
    /// A text for people: the path is none, the kind is not known, or the parameters are not its.
    pub fn run(&mut self, path: &str, kind: &str, parameters: &Parameters) -> Result<(), String> {
        let host = self.plane.templates.make(kind, parameters)?;
        self.run_host(path, host)
    }

    /// Runs an agent that was made already.
    /// # Errors
    /// When the path is none.
    pub fn run_host(&mut self, path: &str, host: Box<dyn Host>) -> Result<(), String> {
        let path = AgentPath::parse(path).map_err(|error| error.to_string())?;
        let route = Route { epoch: Epoch(1), action: Action::To(path.physical_id()) };
        self.learn_route(path.logical(), route);
        self.host(Placed::alone(path, self.next_space()), host);
        Ok(())
    }

    /// Runs `count` agents of this kind as shards of one, each with its part of the points.
    /// # Errors
    /// As [`Turn::run`].
    pub fn run_sharded(
        &mut self,
        path: &str,
        count: usize,
        kind: &str,
        parameters: &Parameters,
    ) -> Result<(), String> {
        let source = AgentPath::parse(path).map_err(|error| error.to_string())?;
        let mut among = Vec::new();
        for (index, range) in PointRange::ALL.split(count).into_iter().enumerate() {
            let shard = format!("{path}/shard{}", index + 1);
            let shard = AgentPath::parse(&shard).map_err(|error| error.to_string())?;
            let to = Route { epoch: Epoch(1), action: Action::To(shard.physical_id()) };
            self.learn_route(shard.clone(), to);
            among.push(Share { last: range.last, child: shard.logical_id() });
            let host = self.plane.templates.make(kind, parameters)?;
            let space = self.next_space();
            self.host(Placed { path: shard, source: source.clone(), space, range }, host);
        }
        let action = Action::Pick { by: PickBy::Point, among };
        self.learn_route(source, Route { epoch: Epoch(1), action });
        self.settle_routes();
        Ok(())
    }

    fn next_space(&self) -> Space {
        Space(self.lives + 1)
    }
}
