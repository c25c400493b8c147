//! What agents are made from: a name in a system file → a function that makes one.
//!
//! A template also says what its process must know to talk to such agents: their message types, and how
//! the replies of many children become one.

use std::collections::BTreeMap;
use std::fmt;

use daedal_model::agent::Agent;
use daedal_model::control::Failure;
use daedal_model::encode::{Encode, encode_to_vec};
use daedal_model::message::{Message, Schema, Wire};
use daedal_model::refine::Qualities;
use daedal_model::state::State;

use crate::deliver::{Host, Hosted, Trust, open};
use crate::kinds::Kinds;
use crate::many::Many;
use crate::shim::Shim;

/// What the system file says of an agent beyond what every agent has: `listen = "127.0.0.1:6379"`.
pub type Parameters = BTreeMap<String, String>;

/// Makes one agent. A failure says which parameter is wrong, and what to write instead.
type Make = dyn Fn(&Parameters) -> Result<Box<dyn Host>, Failure> + Send + Sync;

/// Turns the replies of all children to one request into the parent's: request, replies → reply.
pub(crate) type Merge = fn(&[u8], &[&[u8]], Trust) -> Option<Vec<u8>>;

/// The agents that a process can make, and the message types that it knows.
#[derive(Clone, Default)]
pub struct Templates {
    make: BTreeMap<String, (Qualities, std::sync::Arc<Make>)>,
    merges: BTreeMap<Schema, Merge>,
    kinds: Kinds,
}

impl fmt::Debug for Templates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.make.keys()).finish()
    }
}

impl Templates {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Agents of type `A` under `name`, as `make` makes them. One that could not be made for a reason that may
    /// pass ([`Failure::for_now`]) is tried again.
    pub fn agent<A: Agent + State>(
        &mut self,
        name: &str,
        make: impl Fn(&Parameters) -> Result<A, Failure> + Send + Sync + 'static,
    ) -> &mut Self
    where
        A::Reply: Encode<A::Reply>,
    {
        self.talks_to::<A>();
        let qualities = Qualities {
            keyed: <A::Message as Message>::KEYED,
            stateless: size_of::<A>() == 0,
            deterministic: true,
        };
        let make = move |parameters: &Parameters| -> Result<Box<dyn Host>, Failure> {
            Ok(Box::new(Hosted::agent(make(parameters)?)))
        };
        self.make.insert(name.to_string(), (qualities, std::sync::Arc::new(make)));
        self
    }

    /// Many agents of type `A` under `name`: as many as the parameter `count` says, in one reactor, under one path
    /// (`many` says what they share). `make` makes one by its number, counted from 0. Number 7 of
    /// `users` is written to as `users/7`, or by a key that falls to it; their messages are handled each by one
    /// of them. What `count` costs is the bytes of `A`, and a pointer, each.
    ///
    /// ```toml
    /// [agent.users]
    /// kind = "User"
    /// count = 1_000_000
    /// ```
    pub fn many<A: Agent + State>(
        &mut self,
        name: &str,
        make: impl Fn(&Parameters, u32) -> Result<A, Failure> + Send + Sync + 'static,
    ) -> &mut Self
    where
        A::Reply: Encode<A::Reply>,
    {
        self.talks_to::<A>();
        let qualities =
            Qualities { keyed: false, stateless: size_of::<A>() == 0, deterministic: true };
        let make = move |parameters: &Parameters| -> Result<Box<dyn Host>, Failure> {
            Ok(Box::new(Many::make(parameters, |number| make(parameters, number))?))
        };
        self.make.insert(name.to_string(), (qualities, std::sync::Arc::new(make)));
        self
    }

    /// Shims of type `A` under `name`, as `make` makes them.
    pub fn shim<A: Shim>(
        &mut self,
        name: &str,
        make: impl Fn(&Parameters) -> Result<A, Failure> + Send + Sync + 'static,
    ) -> &mut Self
    where
        A::Reply: Encode<A::Reply>,
    {
        self.talks_to::<A>();
        let make = move |parameters: &Parameters| -> Result<Box<dyn Host>, Failure> {
            Ok(Box::new(Hosted::shim(make(parameters)?)))
        };
        self.make.insert(name.to_string(), (Qualities::default(), std::sync::Arc::new(make)));
        self
    }

    /// Message types of agents `A`, which run elsewhere.
    pub fn talks_to<A: Agent>(&mut self) -> &mut Self
    where
        A::Reply: Encode<A::Reply>,
    {
        self.kinds.add::<A::Message>();
        self.kinds.add_reply::<A::Reply>();
        self.merges.insert(<A::Message as Wire>::SCHEMA, merge::<A>);
        self
    }

    /// What agents of a kind are: what transformations may be applied to them.
    /// # Errors
    /// A text for people: no such template.
    pub fn qualities(&self, name: &str) -> Result<Qualities, String> {
        self.find(name).map(|(qualities, _)| *qualities)
    }

    fn find(&self, name: &str) -> Result<&(Qualities, std::sync::Arc<Make>), String> {
        self.make.get(name).ok_or_else(|| {
            let known: Vec<_> = self.make.keys().map(String::as_str).collect();
            format!("this program has no agents of kind \"{name}\"; it has: {}", known.join(", "))
        })
    }

    /// Makes an agent.
    /// # Errors
    /// No such template, or what the template says of `parameters`.
    pub fn make(&self, name: &str, parameters: &Parameters) -> Result<Box<dyn Host>, Failure> {
        let (_, make) = self.find(name)?;
        make(parameters)
    }

    /// The message types of the process.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// How replies to requests of this schema are merged.
    pub(crate) fn merge(&self, request: Schema) -> Option<Merge> {
        self.merges.get(&request).copied()
    }
}

fn merge<A: Agent>(request: &[u8], replies: &[&[u8]], trust: Trust) -> Option<Vec<u8>>
where
    A::Reply: Encode<A::Reply>,
{
    let request = open::<A::Message>(request, Trust::Ours).ok()?;
    let replies: Result<Vec<_>, _> =
        replies.iter().map(|reply| open::<A::Reply>(reply, trust)).collect();
    Some(encode_to_vec(&A::merge(request, &replies.ok()?)))
}

/// Parameters as one text, `name=value` a line, as the control plane carries them.
pub fn to_text(parameters: &Parameters) -> String {
    parameters.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Reads what [`to_text`] wrote.
pub fn parameters(text: &str) -> Parameters {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
