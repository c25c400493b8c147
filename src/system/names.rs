//! What may be a name, and which known name a wrong one was meant to be.

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Whether `name` is one segment of an agent's path: `[A-Za-z][A-Za-z0-9-]{0,62}`.
pub(super) fn is_segment(name: &str) -> bool {
    is_name(name, b"-")
}

/// Whether `name` may be a kind or a parameter: a segment in which underscores are letters.
pub(super) fn is_word(name: &str) -> bool {
    is_name(name, b"-_")
}

fn is_name(name: &str, also: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

/// The one of `known` that `name` was probably meant to be: the fewest single-letter edits away, at most
/// one for each three letters, and alike in the first letter (so that `bind` is not taken for `kind`).
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let close = |known: &&str| {
        let edits = edits(name.as_bytes(), known.as_bytes());
        (edits <= known.len().max(3) / 3 && name.chars().next() == known.chars().next())
            .then_some(edits)
    };
    known
        .into_iter()
        .filter_map(|known| Some((close(&known)?, known)))
        .min()
        .map(|(_, known)| known)
}

/// Fewest insertions, deletions, changes and swaps of neighbours that make `a` into `b`.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let change = last[j] + usize::from(a[i] != b[j]);
            row[j + 1] = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_insertions_deletions_changes_and_swaps() {
        for (a, b, expect) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kind", "knid", 1),
            ("box", "boxes", 2),
            ("abc", "xbz", 2),
        ] {
            assert_eq!(edits(a.as_bytes(), b.as_bytes()), expect, "{a} {b}");
            assert_eq!(edits(b.as_bytes(), a.as_bytes()), expect, "{b} {a}");
        }
    }

    #[test]
    fn a_wrong_name_is_taken_for_the_nearest_known_one_or_for_none() {
        let known = ["kind", "transform", "boxes", "box"];
        for (name, expect) in [
            ("transfrom", Some("transform")),
            ("boxs", Some("box")),
            ("bind", None),
            ("listen", None),
            ("", None),
            (&"k".repeat(10_000), None),
        ] {
            assert_eq!(nearest(name, known), expect, "{name}");
        }
    }

    #[test]
    fn a_segment_starts_with_a_letter_and_has_at_most_63() {
        for name in ["a", "kvs", "A-1", &"x".repeat(63)] {
            assert!(is_segment(name), "{name}");
        }
        for name in ["", "1a", "-a", "a_b", "a/b", "a:2", "ä", &"x".repeat(64)] {
            assert!(!is_segment(name), "{name}");
        }
    }
}
