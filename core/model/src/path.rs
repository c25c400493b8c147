//! Paths of agents: where an agent stands in the transformation tree, and which of its versions and
//! incarnations it is. `KVS:v2/IngressProxy:v3:2` is the second incarnation of version 3 of an ingress
//! proxy, and refines version 2 of `KVS`.
//!
//! Segments are joined by `/`, at most [`SEGMENTS_MAX`]; a segment is `[A-Za-z][A-Za-z0-9-]{0,62}`, then
//! optionally `:vN`, then optionally `:N`. N counts from 1, without leading zeros; what has no number
//! has number 1. Case counts. The empty path is the system agent's.
//! Invariant: an [`AgentPath`] holds only text of that grammar.
//! Sources: Ovid §3.3, §5; Escher §2.2.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::AgentId;

/// Most segments of a path: the greatest depth of the transformation tree.
pub const SEGMENTS_MAX: usize = 16;

/// Most bytes of a segment's name, without version and incarnation.
pub const NAME_BYTES_MAX: usize = 63;

/// Where an agent stands in the tree.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentPath(String);

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its name, which destinations see.
    pub name: &'a str,
    /// Which refinement of the agent; 1 where it is not written.
    pub version: u32,
    /// Which life of that version; 1 where it is not written.
    pub incarnation: u32,
}

/// A text that is no path: what is wrong, where, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("path {path:?}, byte {at}: {fault}")]
pub struct PathError {
    /// The text, cut after 64 characters.
    pub path: String,
    /// Where it goes wrong, counted in bytes from 0.
    pub at: usize,
    /// What is wrong.
    pub fault: PathFault,
}

/// What can be wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathFault {
    /// Nothing between two slashes, or before the first, or after the last.
    #[error(
        "a name is missing; write one, such as `kvs`, without a slash before the first or after the last"
    )]
    NoName,
    /// A name that does not begin with a letter.
    #[error("a name begins with a letter; write one of A-Z, a-z first")]
    NoLetter,
    /// Something else than letters, digits and hyphens in a name.
    #[error("a name has only letters, digits and `-`; write another character")]
    Character,
    /// A name of more than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes; write a shorter one")]
    LongName,
    /// What follows a colon is neither a version nor an incarnation.
    #[error(
        "a colon is followed by a version such as `v2`, or by an incarnation such as `2`; numbers are 1 to 4294967295, without leading zeros"
    )]
    Count,
    /// Something follows the incarnation, or two versions follow each other.
    #[error(
        "a name has at most one version and after it one incarnation, as in `kvs:v2:3`; write nothing more before the next slash"
    )]
    Trailing,
    /// More than [`SEGMENTS_MAX`] segments.
    #[error("a path has at most {SEGMENTS_MAX} names; write fewer")]
    Deep,
}

impl AgentPath {
    /// The path of the system agent, the root of the tree: empty.
    pub const fn system() -> AgentPath {
        AgentPath(String::new())
    }

    /// Reads a path. The empty one is nobody's to write.
    /// # Errors
    /// [`PathError`] names the first byte that is wrong.
    pub fn parse(text: &str) -> Result<AgentPath, PathError> {
        let mut at = 0;
        for (index, segment) in text.split('/').enumerate() {
            if index == SEGMENTS_MAX {
                return Err(PathError::new(text, at, PathFault::Deep));
            }
            check(segment).map_err(|(byte, fault)| PathError::new(text, at + byte, fault))?;
            at += segment.len() + 1;
        }
        Ok(AgentPath(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the system agent's.
    pub fn is_system(&self) -> bool {
        self.0.is_empty()
    }

    /// Its steps, from the top.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = Segment<'_>> {
        self.0.split('/').filter(|text| !text.is_empty()).map(Segment::read)
    }

    /// How many steps it has.
    pub fn depth(&self) -> usize {
        self.segments().count()
    }

    /// The last step; the system agent has none.
    pub fn last(&self) -> Option<Segment<'_>> {
        self.segments().next_back()
    }

    /// The path above; the system agent has none.
    pub fn parent(&self) -> Option<AgentPath> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => Some(AgentPath(parent.to_owned())),
            None if self.is_system() => None,
            None => Some(AgentPath::system()),
        }
    }

    /// The agent of the top level that this one is a part of, or is.
    pub fn top(&self) -> AgentPath {
        AgentPath(self.0.split('/').next().unwrap_or_default().to_owned())
    }

    /// The path of a child.
    /// # Errors
    /// [`PathError`] when `segment` is not one segment, or the path would be too deep.
    pub fn join(&self, segment: &str) -> Result<AgentPath, PathError> {
        match self.is_system() {
            true => AgentPath::parse(segment),
            false => AgentPath::parse(&format!("{self}/{segment}")),
        }
    }

    /// The same path without versions and incarnations: what destinations may know.
    pub fn logical(&self) -> AgentPath {
        let names: Vec<&str> = self.segments().map(|segment| segment.name).collect();
        AgentPath(names.join("/"))
    }

    /// Hash of the path as it is written.
    pub fn physical_id(&self) -> AgentId {
        AgentId::from(self.as_str())
    }

    /// Hash of the path without versions and incarnations.
    pub fn logical_id(&self) -> AgentId {
        self.logical().physical_id()
    }

    /// The same agent in its `n`th life. The first is written without a number.
    /// # Panics
    /// When `n` is 0, or this is the system agent, which has one life.
    #[must_use]
    pub fn with_incarnation(&self, n: u32) -> AgentPath {
        assert!(n > 0 && !self.is_system(), "lives count from 1, and the system agent has one");
        let start = self.0.rfind('/').map_or(0, |slash| slash + 1);
        let last = &self.0[start..];
        let kept = match last.rsplit_once(':') {
            Some((before, count)) if !count.starts_with('v') => before.len(),
            _ => last.len(),
        };
        let mut text = self.0[..start + kept].to_owned();
        if n > 1 {
            text.push_str(&format!(":{n}"));
        }
        AgentPath(text)
    }

    /// Whether `self` stands above `other` in the tree, by logical paths. An agent does not stand above
    /// itself.
    pub fn is_above(&self, other: &AgentPath) -> bool {
        let mut below = other.segments();
        self.segments().all(|own| below.next().is_some_and(|theirs| theirs.name == own.name))
            && below.next().is_some()
    }

    /// The sibling rule: an agent may send to its siblings and to those of its ancestors, by logical
    /// paths; and to itself, which shows nobody's refinement. Source: Escher §2.2.
    pub fn may_send_to(&self, destination: &AgentPath) -> bool {
        let Some(parent) = destination.parent() else { return false };
        parent.is_above(self) && !destination.is_above(self)
    }
}

/// Whether `segment` is one; else where and why not.
fn check(segment: &str) -> Result<(), (usize, PathFault)> {
    let name = segment.split(':').next().unwrap_or_default();
    let Some(first) = name.bytes().next() else { return Err((0, PathFault::NoName)) };
    if !first.is_ascii_alphabetic() {
        return Err((0, PathFault::NoLetter));
    }
    let odd = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
    if let Some(at) = name.bytes().position(odd) {
        return Err((at, PathFault::Character));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err((NAME_BYTES_MAX, PathFault::LongName));
    }
    let (mut at, mut open) = (name.len(), 2);
    for count in segment.split(':').skip(1) {
        let digits = count.strip_prefix('v');
        if read_count(digits.unwrap_or(count)).is_none() {
            return Err((at + 1, PathFault::Count));
        }
        let allowed = if digits.is_some() { open == 2 } else { open > 0 };
        if !allowed {
            return Err((at, PathFault::Trailing));
        }
        open = if digits.is_some() { 1 } else { 0 };
        at += 1 + count.len();
    }
    Ok(())
}

fn read_count(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

impl<'a> Segment<'a> {
    /// Reads a segment that was checked.
    fn read(text: &'a str) -> Segment<'a> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let mut segment = Segment { name, version: 1, incarnation: 1 };
        for count in parts {
            match count.strip_prefix('v') {
                Some(version) => segment.version = read_count(version).unwrap_or(1),
                None => segment.incarnation = read_count(count).unwrap_or(1),
            }
        }
        segment
    }
}

impl PathError {
    fn new(path: &str, at: usize, fault: PathFault) -> PathError {
        PathError { path: path.chars().take(64).collect(), at, fault }
    }
}

impl FromStr for AgentPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<AgentPath, PathError> {
        AgentPath::parse(text)
    }
}

impl fmt::Display for AgentPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for AgentPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> AgentPath {
        AgentPath::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            segments in prop::collection::vec(
                ("[A-Za-z][A-Za-z0-9-]{0,62}", prop::option::of(1..=u32::MAX), prop::option::of(1..=u32::MAX)),
                1..=SEGMENTS_MAX,
            ),
        ) {
            let write = |(name, version, incarnation): &(String, Option<u32>, Option<u32>)| {
                let version = version.map(|n| format!(":v{n}")).unwrap_or_default();
                format!("{name}{version}{}", incarnation.map(|n| format!(":{n}")).unwrap_or_default())
            };
            let text = segments.iter().map(write).collect::<Vec<_>>().join("/");
            let read = path(&text);
            prop_assert_eq!(read.to_string(), text);
            prop_assert_eq!(read.depth(), segments.len());
            for (segment, (name, version, incarnation)) in read.segments().zip(&segments) {
                prop_assert_eq!(segment.name, name);
                prop_assert_eq!(segment.version, version.unwrap_or(1));
                prop_assert_eq!(segment.incarnation, incarnation.unwrap_or(1));
            }
            let logical = read.logical();
            prop_assert_eq!(logical.logical(), logical.clone());
            prop_assert_eq!(path(logical.as_str()), logical.clone());
            prop_assert_eq!(read.with_incarnation(7).last().unwrap().incarnation, 7);
            prop_assert_eq!(read.with_incarnation(7).logical(), logical);
        }

        #[test]
        fn any_text_is_a_path_or_an_error_that_points_into_it(text in "[a-c/:v0-2 é-]{0,24}") {
            match AgentPath::parse(&text) {
                Ok(read) => prop_assert_eq!(read.as_str(), text.as_str()),
                Err(error) => prop_assert!(error.at <= text.len(), "{error}"),
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in any::<String>()) {
            let _ = AgentPath::parse(&text);
        }
    }

    #[test]
    fn an_error_says_where() {
        let check = |text: &str, at: usize, fault: PathFault| {
            let error = AgentPath::parse(text).unwrap_err();
            assert_eq!((error.at, error.fault), (at, fault), "{text}");
        };
        check("", 0, PathFault::NoName);
        check("/kvs", 0, PathFault::NoName);
        check("kvs/", 4, PathFault::NoName);
        check("kvs//a", 4, PathFault::NoName);
        check("kvs/1a", 4, PathFault::NoLetter);
        check("kvs/a_b", 5, PathFault::Character);
        check("é", 0, PathFault::NoLetter);
        check(&"x".repeat(64), 63, PathFault::LongName);
        check("kvs:", 4, PathFault::Count);
        check("kvs:v", 4, PathFault::Count);
        check("kvs:v0", 4, PathFault::Count);
        check("kvs:02", 4, PathFault::Count);
        check("kvs:+2", 4, PathFault::Count);
        check("kvs:4294967296", 4, PathFault::Count);
        check("kvs:v2:v3", 6, PathFault::Trailing);
        check("kvs:2:v3", 5, PathFault::Trailing);
        check("kvs:2:3", 5, PathFault::Trailing);
        check(&["a"; 17].join("/"), 32, PathFault::Deep);
        let error = AgentPath::parse("kvs/1a").unwrap_err().to_string();
        assert_eq!(
            error,
            "path \"kvs/1a\", byte 4: a name begins with a letter; write one of A-Z, a-z first"
        );
    }

    #[test]
    fn ids_are_of_the_written_and_of_the_logical_path() {
        let agent = path("KVS:v2/IngressProxy:v3:2");
        assert_eq!(agent.logical(), path("KVS/IngressProxy"));
        assert_eq!(agent.physical_id(), AgentId::of("KVS:v2/IngressProxy:v3:2"));
        assert_eq!(agent.logical_id(), AgentId::of("KVS/IngressProxy"));
        assert_eq!(agent.with_incarnation(3), path("KVS:v2/IngressProxy:v3:3"));
        assert_eq!(agent.with_incarnation(1), path("KVS:v2/IngressProxy:v3"));
        assert_eq!(path("kvs").with_incarnation(2), path("kvs:2"));
        assert_eq!(agent.parent(), Some(path("KVS:v2")));
        assert_eq!(path("KVS:v2").parent(), Some(AgentPath::system()));
        assert_eq!(AgentPath::system().parent(), None);
        assert_eq!(AgentPath::system().join("kvs").unwrap().join("a:2").unwrap(), path("kvs/a:2"));
        assert_eq!(agent.top(), path("KVS:v2"));
    }

    #[test]
    fn an_agent_sends_to_siblings_and_siblings_of_ancestors_alone() {
        let source = path("x:2/y/z:3");
        let check = |destination: &str, may: bool| {
            assert_eq!(source.may_send_to(&path(destination)), may, "{destination}");
        };
        // Escher §2.2's own examples.
        check("x/y/other", true);
        check("x/other", true);
        check("other", true);
        check("x/y/other/w", false);
        check("x/other/z", false);
        check("other/y", false);
        // Itself, in any life; neither its ancestors nor its own parts.
        check("x/y/z", true);
        check("x/y/z:9", true);
        check("x/y", false);
        check("x", false);
        check("x/y/z/part", false);
        assert!(!source.may_send_to(&AgentPath::system()));
    }
}
