//! Why something was not done, and whether it may be done later: from whoever makes an agent to the controller,
//! which tries again.

use crate::message;

/// Why something was not done.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people: what is wrong, and what to do.
    pub why: String,
    /// Whether it may be done if it is tried again just so: a port that is taken may be given up.
    pub may_pass: bool,
}

impl Failure {
    /// One whose reason may pass by itself.
    pub fn for_now(why: impl Into<String>) -> Failure {
        Failure { why: why.into(), may_pass: true }
    }
}

/// One that stays.
impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure { why, may_pass: false }
    }
}

/// One that stays.
impl From<&str> for Failure {
    fn from(why: &str) -> Failure {
        why.to_owned().into()
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> String {
        failure.why
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.why)
    }
}
