//! Any text as paths, one a line, two at the most: each is refused where it is wrong, or is printed as
//! it was written and taken apart without surprise; and who may send to whom follows from the names.

use daedal_model::path::{AgentPath, SEGMENTS_MAX};

fn read(text: &str) -> Option<AgentPath> {
    let path = match AgentPath::parse(text) {
        Ok(path) => path,
        Err(error) => {
            assert!(error.at <= text.len(), "{error}");
            assert!(error.path.chars().count() <= 64);
            return None;
        }
    };
    assert_eq!(path.to_string(), text);
    assert_eq!(path.physical_id(), text.into());
    assert!((1..=SEGMENTS_MAX).contains(&path.depth()) && !path.is_system());
    let logical = path.logical();
    assert_eq!(AgentPath::parse(logical.as_str()).as_ref(), Ok(&logical));
    assert_eq!((logical.logical(), logical.physical_id()), (logical.clone(), path.logical_id()));
    assert_eq!(logical.depth(), path.depth());
    for (whole, plain) in path.segments().zip(logical.segments()) {
        assert!(whole.version > 0 && whole.incarnation > 0 && whole.name == plain.name);
    }
    let last = path.last().expect("only the system agent has no last step");
    let next = path.with_incarnation(7);
    assert_eq!(AgentPath::parse(next.as_str()).as_ref(), Ok(&next));
    assert_eq!(next.last().map(|step| (step.version, step.incarnation)), Some((last.version, 7)));
    assert_eq!(next.logical(), logical);
    let parent = path.parent().expect("only the system agent has no parent");
    let written = &text[text.rfind('/').map_or(0, |slash| slash + 1)..];
    assert_eq!(parent.join(written).as_ref(), Ok(&path));
    assert!(parent.is_above(&path) && path.may_send_to(&path) && !path.may_send_to(&parent));
    assert_eq!(path.top().depth(), 1);
    Some(path)
}

/// Siblings, and siblings of ancestors: all names but the destination's last lead to the source too,
/// and the destination is no ancestor.
fn may_send(source: &AgentPath, destination: &AgentPath) -> bool {
    let names = |path: &AgentPath| -> Vec<String> {
        path.segments().map(|segment| segment.name.to_owned()).collect()
    };
    let (source, destination) = (names(source), names(destination));
    let above = &destination[..destination.len() - 1];
    let is_ancestor = source.len() > destination.len() && source.starts_with(&destination);
    source.len() > above.len() && source.starts_with(above) && !is_ancestor
}

/// One input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut paths = text.split('\n').take(2).map(read);
    let (Some(Some(one)), Some(Some(other))) = (paths.next(), paths.next()) else { return };
    for (source, destination) in [(&one, &other), (&other, &one)] {
        let expected = may_send(source, destination);
        assert_eq!(source.may_send_to(destination), expected, "{source} to {destination}");
        assert_eq!(source.logical().may_send_to(&destination.logical()), expected);
        assert!(!source.is_above(destination) || !destination.is_above(source));
        assert!(!source.may_send_to(&AgentPath::system()));
    }
}
