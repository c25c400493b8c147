//! What agents become in the tests' runs, as `daedal sim` has it.

use std::rc::Rc;

use daedal_sim::scenario::{Options, Transforms};
use daedal_transforms::balance::Policy;
use daedal_transforms::{Balance, Ordered, Shard};

/// A seed's run as it is.
pub fn options() -> Options {
    Options::new(Transforms {
        shard: |count| Rc::new(Shard(count)),
        balance: |copies| Rc::new(Balance { copies, by: Policy::LeastOutstanding }),
        ordered: || Rc::new(Ordered),
    })
}
