//! As much of the Redis protocol as the clients speak.

use daedal::sim::linearizable::{Action, Output, Value};

/// Appends a command.
pub fn write_command(into: &mut Vec<u8>, key: &str, action: &Action) {
    let (name, value): (&str, Option<&[u8]>) = match action {
        Action::Get => ("GET", None),
        Action::Set(value) => ("SET", Some(&value.0)),
        Action::Delete => ("DEL", None),
        Action::Increment(_) => ("INCR", None),
        Action::Append(value) => ("APPEND", Some(&value.0)),
    };
    let words = [name.as_bytes(), key.as_bytes()].into_iter().chain(value);
    into.extend_from_slice(format!("*{}\r\n", 2 + usize::from(value.is_some())).as_bytes());
    for word in words {
        into.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }
}

/// What a gateway answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Line(String),
    /// `:7`
    Number(i64),
    /// `$3`, and so many bytes; `None`: `$-1`
    Bulk(Option<Vec<u8>>),
    /// `-ERR …`
    Error(String),
}

/// The first reply in `input`, and how long it is, if it is there whole.
pub fn read_reply(input: &[u8]) -> Option<(Reply, usize)> {
    let end = input.windows(2).position(|it| it == b"\r\n")?;
    let line = String::from_utf8_lossy(input.get(1..end)?).into_owned();
    let reply = match input[0] {
        b':' => Reply::Number(line.parse().unwrap_or(i64::MIN)),
        b'-' => Reply::Error(line),
        b'$' if line == "-1" => Reply::Bulk(None),
        b'$' => {
            let bytes = line.parse::<usize>().ok()?;
            let value = input.get(end + 2..end + 2 + bytes)?.to_vec();
            input.get(end + 2 + bytes..end + 4 + bytes)?;
            return Some((Reply::Bulk(Some(value)), end + 4 + bytes));
        }
        _ => Reply::Line(line),
    };
    Some((reply, end + 2))
}

/// What a reply says of what was asked; nothing, if it is no answer to that.
pub fn output(action: &Action, reply: &Reply) -> Option<Output> {
    Some(match (action, reply) {
        (Action::Get, Reply::Bulk(value)) => Output::Value(value.clone().map(Value)),
        (Action::Set(_), Reply::Line(line)) if line == "OK" => Output::Done,
        (Action::Delete, Reply::Number(count @ (0 | 1))) => Output::Deleted(*count == 1),
        (Action::Increment(_), Reply::Number(number)) => Output::Number(*number),
        (Action::Append(_), Reply::Number(bytes)) if *bytes >= 0 => Output::Bytes(*bytes as u64),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_once_they_are_there_whole() {
        let all = b"+OK\r\n:7\r\n$-1\r\n$3\r\na\r\n\r\n-ERR no\r\n";
        let expect = [
            Reply::Line("OK".into()),
            Reply::Number(7),
            Reply::Bulk(None),
            Reply::Bulk(Some(b"a\r\n".to_vec())),
            Reply::Error("ERR no".into()),
        ];
        let (mut at, mut found) = (0, Vec::new());
        for end in 0..=all.len() {
            while let Some((reply, length)) = read_reply(&all[at..end]) {
                (at, _) = (at + length, found.push(reply));
            }
        }
        assert_eq!(found, expect);
    }
}
