//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a byte that stands for itself.
//!
//! Only the last `*` is ever taken back, so a match costs at most pattern × text steps.

/// Whether all of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut retry = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, read));
        } else if read == text.len() {
            return at == pattern.len();
        } else if let Some(used) = matches_byte(&pattern[at..], text[read]) {
            at += used;
            read += 1;
        } else if let Some((after_star, from)) = retry {
            (at, read) = (after_star, from + 1);
            retry = Some((at, read));
        } else {
            return false;
        }
    }
}

/// Matches one byte with the start of `pattern`; how much of the pattern that used, if it matches.
fn matches_byte(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref class @ ..] => {
            let (found, used) = matches_class(class, byte);
            found.then_some(1 + used)
        }
        [b'\\', literal, ..] => (literal == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// `class` starts behind `[`. A class that is not closed ends with the pattern, as in Redis.
fn matches_class(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class[at..] {
            [] => return (found != negated, at),
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [b']', ..] => return (found != negated, at + 1),
            [from, b'-', to, ..] => {
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expect, "{pattern:?} {text:?}");
    }

    #[test]
    fn patterns_match_as_in_redis() {
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("a*c", "abbc", true);
        check("a*c", "abbcd", false);
        check("*a*b*c*", "xxaxxbxxcxx", true);
        check("h?llo", "hello", true);
        check("h?llo", "hllo", false);
        check("h[ae]llo", "hallo", true);
        check("h[^e]llo", "hello", false);
        check("h[a-c]llo", "hbllo", true);
        check("h[c-a]llo", "hbllo", true);
        check("[a\\]]", "]", true);
        check("a\\*", "a*", true);
        check("a\\*", "ab", false);
        check("a\\", "a\\", true);
        check("[abc", "c", true);
        check("[]a", "a", false);
        check("[a-", "-", true);
        check("[", "a", false);
        check("[^", "a", true);
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = "a*".repeat(200) + "b";
        check(&pattern, &"a".repeat(5_000), false);
    }
}
