//! What a test needs that may not be there.

/// What can be had of a driver, or `None`, said as a test says that it was skipped.
///
/// # Panics
/// When the driver cannot be had, and the environment's `DAEDAL_REQUIRE_DRIVERS` names it.
pub fn required<T>(driver: &str, here: Result<T, String>) -> Option<T> {
    let required = std::env::var("DAEDAL_REQUIRE_DRIVERS").unwrap_or_default();
    match here {
        Ok(it) => Some(it),
        Err(why) if required.split(',').any(|it| it == driver) => {
            panic!("driver {driver} is required (DAEDAL_REQUIRE_DRIVERS), and cannot run: {why}")
        }
        Err(why) => {
            println!("skipped: driver {driver}, {why}");
            None
        }
    }
}
