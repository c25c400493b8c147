//! What one key of a key-value store does: the specification that its histories are checked against.
//!
//! One key only: commands that touch several are as many operations. Does not expire.
//! Source: Redis, commands GET, SET, DEL, INCRBY and APPEND.

use std::fmt;

use super::Specification;

/// The bytes of a value. Shown quoted and escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub Vec<u8>);

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value(text.as_bytes().to_vec())
    }
}

impl Value {
    /// The number that these digits are, as Redis reads them: nothing before or after, no leading zero.
    fn number(&self) -> Option<i64> {
        let text = std::str::from_utf8(&self.0).ok()?;
        text.parse().ok().filter(|number: &i64| number.to_string() == text)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

/// What a client asks of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Its value.
    Get,
    /// To have this value from now on.
    Set(Value),
    /// To have none.
    Delete,
    /// To add to the number that it holds; none counts as 0.
    Increment(i64),
    /// To add these bytes at the end; none counts as empty.
    Append(Value),
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Get => out.write_str("get"),
            Action::Set(value) => write!(out, "set {value}"),
            Action::Delete => out.write_str("delete"),
            Action::Increment(by) => write!(out, "increment {by}"),
            Action::Append(bytes) => write!(out, "append {bytes}"),
        }
    }
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Of a get: the value, or that there is none.
    Value(Option<Value>),
    /// Of a set.
    Done,
    /// Of a delete: whether there was a value.
    Deleted(bool),
    /// Of an increment: the number now.
    Number(i64),
    /// Of an increment: the value is no number, or would overflow. Nothing changed.
    NotANumber,
    /// Of an append: how many bytes the value now has.
    Bytes(u64),
}

impl fmt::Display for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Value(Some(value)) => value.fmt(out),
            Output::Value(None) => out.write_str("none"),
            Output::Done => out.write_str("ok"),
            Output::Deleted(true) => out.write_str("deleted"),
            Output::Deleted(false) => out.write_str("there was none"),
            Output::Number(number) => number.fmt(out),
            Output::NotANumber => out.write_str("not a number"),
            Output::Bytes(bytes) => write!(out, "{bytes} bytes"),
        }
    }
}

/// One key of a key-value store; its state is its value. Every key starts with none.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValue;

impl KeyValue {
    /// What `action` leaves and tells, where the key holds `state`.
    pub fn apply(state: &Option<Value>, action: &Action) -> (Option<Value>, Output) {
        match action {
            Action::Get => (state.clone(), Output::Value(state.clone())),
            Action::Set(value) => (Some(value.clone()), Output::Done),
            Action::Delete => (None, Output::Deleted(state.is_some())),
            Action::Increment(by) => {
                let number = state.as_ref().map_or(Some(0), Value::number);
                match number.and_then(|number| number.checked_add(*by)) {
                    Some(sum) => (Some(Value(sum.to_string().into_bytes())), Output::Number(sum)),
                    None => (state.clone(), Output::NotANumber),
                }
            }
            Action::Append(bytes) => {
                let mut value = state.clone().unwrap_or(Value(Vec::new()));
                value.0.extend_from_slice(&bytes.0);
                let count = value.0.len() as u64;
                (Some(value), Output::Bytes(count))
            }
        }
    }
}

impl Specification for KeyValue {
    type Action = Action;
    type Output = Output;
    type State = Option<Value>;

    fn initial(&self) -> Option<Value> {
        None
    }

    fn step(
        &self,
        state: &Option<Value>,
        action: &Action,
        output: Option<&Output>,
    ) -> Option<Option<Value>> {
        let (next, told) = KeyValue::apply(state, action);
        output.is_none_or(|output| *output == told).then_some(next)
    }

    fn only_reads(&self, action: &Action, output: &Output) -> bool {
        *action == Action::Get || matches!(output, Output::Deleted(false) | Output::NotANumber)
    }
}
