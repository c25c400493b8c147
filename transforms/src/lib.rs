//! Transformations: each one value with the same six parts, in the same order in every file (see
//! [`Transformation`](daedal_model::refine::Transformation)).
//!
//! Pure, like the model: the controller, a box and a checker ask the same value.

pub mod balance;
pub mod ordered;
pub mod shard;

pub use balance::Balance;
pub use ordered::Ordered;
pub use shard::Shard;

#[cfg(test)]
mod testing;
