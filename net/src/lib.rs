//! Drivers, frames and links: what moves bytes between two reactors.
//!
//! Knows no agents: ids, routes and merge functions are opaque bytes here. Reads no clock: time is an
//! argument, in nanoseconds since 1970.

pub mod cache;
pub mod driver;
pub mod error;
pub mod frame;
pub mod limits;
pub mod link;
mod mapping;
pub mod pool;
pub mod wire;
