//! What the system's own agents are called, and which spaces they speak in before the controller could
//! give them any. Source: Ovid §6.1.

use thiserror::Error;

use crate::id::Space;
use crate::path::AgentPath;

/// Spaces from here on are not the controller's to give: managers, ports and the controller itself must
/// speak before anybody could give them one.
pub const BOOTSTRAP_SPACES: u32 = 1 << 31;

/// The space of the agents that a process starts with: of its `incarnation`, a number that no other
/// process has. Two lives of one box share it once in 2^31.
pub fn bootstrap_space(incarnation: u64) -> Space {
    let mixed = xxhash_rust::xxh3::xxh3_64(&incarnation.to_le_bytes()) as u32;
    Space(BOOTSTRAP_SPACES | mixed)
}

/// The path of a box's manager.
/// # Errors
/// [`BoxNameError`] when `name` is no name for a box.
pub fn manager_path(name: &str) -> Result<AgentPath, BoxNameError> {
    let error = || BoxNameError { name: name.chars().take(64).collect() };
    let last = name.rsplit('-').next().unwrap_or_default();
    let like_a_port = last.len() < name.len() && last.bytes().all(|byte| byte.is_ascii_digit());
    let path = AgentPath::parse(&format!("{}{name}", crate::latt::BOX_PREFIX));
    let fits = name.len() <= 48 && !name.contains(['/', ':']) && !like_a_port;
    path.ok().filter(|_| fits && !name.is_empty()).ok_or_else(error)
}

/// The path of a reactor's port.
/// # Errors
/// [`BoxNameError`] when `name` is no name for a box.
pub fn port_path(name: &str, reactor: u8) -> Result<AgentPath, BoxNameError> {
    let manager = manager_path(name)?;
    Ok(AgentPath::parse(&format!("{manager}-{reactor}")).expect("digits fit behind a short name"))
}

/// A text that cannot name a box.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{name:?} cannot name a box: write at most 48 letters, digits and `-`, without `-` and a number at the end, which is how reactors are named"
)]
pub struct BoxNameError {
    /// The text, cut after 64 characters.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_not_named_like_another_ones_reactor() {
        assert_eq!(manager_path("a").unwrap().as_str(), "box-a");
        assert_eq!(port_path("rack-7b", 2).unwrap().as_str(), "box-rack-7b-2");
        assert_eq!(manager_path("7").unwrap().as_str(), "box-7");
        for name in ["", "a-1", "a-", "-1", "a/b", "a:2", "a b", &"x".repeat(49)] {
            let error = manager_path(name).unwrap_err().to_string();
            assert!(error.contains("cannot name a box"), "{error}");
        }
    }

    #[test]
    fn bootstrap_spaces_are_never_the_controllers() {
        let spaces: std::collections::BTreeSet<_> = (0..1000).map(bootstrap_space).collect();
        assert_eq!(spaces.len(), 1000);
        assert!(spaces.iter().all(|space| space.0 >= BOOTSTRAP_SPACES));
    }
}
