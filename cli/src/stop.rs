//! What a command that takes long learns of Ctrl-C, or of a signal to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Set, from now on, once the user has enough.
pub fn at_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).context("catching Ctrl-C")?;
    Ok(stop)
}
