//! How the answers of all shards to one keyless request become the answer of the whole store
//! (Escher §3): counts add, keys join, a page of SCAN ends where the shortest one ends. The order of
//! the answers does not matter, but for the order of keys, which means nothing.

use daedal::Point;

use crate::request::Reply;

impl Reply {
    /// Adds the answer of one more shard.
    ///
    /// Every shard answers a SCAN for its own keys from the cursor on. Keys behind the end of the
    /// shortest page are left out: a later page brings them, and so no key is missed or comes twice.
    pub fn merge(&mut self, part: Reply) {
        match (&mut *self, part) {
            (Reply::Error(_), _) | (Reply::Ok, Reply::Ok) => {}
            (_, Reply::Error(text)) => *self = Reply::Error(text),
            (Reply::Integer(sum), Reply::Integer(more)) => *sum = sum.saturating_add(more),
            (Reply::Bulks(all), Reply::Bulks(more)) => all.extend(more),
            (Reply::ScanPage { cursor, keys }, Reply::ScanPage { cursor: other, keys: more }) => {
                *cursor = earlier(*cursor, other);
                keys.extend(more);
                keys.retain(|key| *cursor == 0 || Point::of(key).0 < *cursor);
            }
            _ => *self = Reply::Error("ERR shards gave answers that do not merge".to_owned()),
        }
    }
}

/// The earlier of two ends, where 0 is behind everything.
fn earlier(left: u64, right: u64) -> u64 {
    if left == 0 || (right != 0 && right < left) { right } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_keys_join_and_an_error_wins() {
        let mut sum = Reply::Integer(2);
        sum.merge(Reply::Integer(3));
        assert_eq!(sum, Reply::Integer(5));
        let mut keys = Reply::Bulks(vec![b"a".to_vec()]);
        keys.merge(Reply::Bulks(vec![b"b".to_vec()]));
        assert_eq!(keys, Reply::Bulks(vec![b"a".to_vec(), b"b".to_vec()]));
        keys.merge(Reply::Error("ERR away".to_owned()));
        keys.merge(Reply::Ok);
        assert_eq!(keys, Reply::Error("ERR away".to_owned()));
    }

    #[test]
    fn a_page_ends_where_the_shortest_one_ends() {
        let mut names = [b"a", b"b", b"c", b"d"].map(|name| name.to_vec());
        names.sort_by_key(|name| Point::of(name));
        let cursor = Point::of(&names[2]).0;
        let short = Reply::ScanPage { cursor, keys: names[..2].to_vec() };
        let long = Reply::ScanPage { cursor: 0, keys: names[3..].to_vec() };
        for (first, second) in [(&short, &long), (&long, &short)] {
            let mut page = first.clone();
            page.merge(second.clone());
            assert_eq!(page, short);
        }
    }
}
