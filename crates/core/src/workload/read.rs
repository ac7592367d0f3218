//! Where an object is not what its kind says.
//!
//! The field is found from the position that serde_json gives. Reading the object once more with a deserializer that
//! tracks fields would be simpler, and would make all adapters twice: a fifth of the program.

use std::fmt::Write as _;

/// An object that is not what its kind says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{field}: {what}")]
pub struct ReadError {
    /// The field; empty for the object itself.
    pub field: String,
    /// What is wrong there.
    pub what: String,
}

impl ReadError {
    /// What serde_json says of a text.
    #[must_use]
    pub fn of(error: &serde_json::Error, json: &str) -> Self {
        let before = json
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .fold(0, usize::saturating_add);
        let read = before.saturating_add(error.column()).min(json.len());
        Self {
            field: field(json.as_bytes().get(..read).unwrap_or_default()),
            what: clean(&error.to_string()),
        }
    }
}

/// The error of a text within the text: with the field, and without its own position, which would be taken for one in the
/// whole.
pub(super) fn within<E: serde::de::Error>(field: &'static str) -> impl FnOnce(serde_json::Error) -> E {
    move |error| E::custom(format_args!("{field}: {}", clean(&error.to_string())))
}

/// serde_json ends its messages with a position in a text the user never sees.
fn clean(what: &str) -> String {
    what.rsplit_once(" at line ")
        .map_or(what, |(what, _)| what)
        .replace('`', "")
}

/// What is open at a place in a text.
enum Open<'t> {
    /// An object, and the key at which it is.
    Object(Option<&'t [u8]>),
    /// A list, and the index at which it is.
    List(usize),
}

/// The field at the end of the beginning of a JSON text, as Kubernetes writes it: `spec.containers[0]`.
fn field(read: &[u8]) -> String {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = read.get(at) {
        let mut next = at.saturating_add(1);
        match byte {
            b'{' => open.push(Open::Object(None)),
            b'[' => open.push(Open::List(0)),
            b'}' | b']' => {
                open.pop();
            }
            b',' => match open.last_mut() {
                Some(Open::List(index)) => *index = index.saturating_add(1),
                Some(Open::Object(key)) => *key = None,
                None => {}
            },
            b'"' => {
                next = string_end(read, next);
                if let Some(Open::Object(key @ None)) = open.last_mut() {
                    let inner = at.saturating_add(1)..next.saturating_sub(1);
                    *key = Some(read.get(inner).unwrap_or_default());
                }
            }
            _ => {}
        }
        at = next;
    }
    text(&open)
}

/// Behind the closing quote of a string.
fn string_end(read: &[u8], mut at: usize) -> usize {
    while let Some(byte) = read.get(at) {
        at = at.saturating_add(match byte {
            b'\\' => 2,
            _ => 1,
        });
        if *byte == b'"' {
            break;
        }
    }
    at.min(read.len())
}

fn text(open: &[Open<'_>]) -> String {
    let mut text = String::new();
    for it in open {
        match it {
            Open::List(index) => {
                let _ = write!(text, "[{index}]");
            }
            Open::Object(Some(key)) => {
                let key = String::from_utf8_lossy(key);
                let dot = if text.is_empty() { "" } else { "." };
                if key.contains(['.', '/']) {
                    let _ = write!(text, "[{key}]");
                } else {
                    let _ = write!(text, "{dot}{key}");
                }
            }
            Open::Object(None) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn the_field_of_a_place() {
        for (read, expected) in [
            ("", ""),
            ("{", ""),
            (r#"{"spec""#, "spec"),
            (r#"{"spec":{"#, "spec"),
            (r#"{"spec":{"a":1,"containers":"#, "spec.containers"),
            (r#"{"spec":{"a":1,"containers":["#, "spec.containers[0]"),
            (
                r#"{"spec":{"containers":[{"name":"x"},{"image":5"#,
                "spec.containers[1].image",
            ),
            (
                r#"{"spec":{"containers":[{"name":"x"},"text""#,
                "spec.containers[1]",
            ),
            (r#"{"a":"]}\"\\","b":7"#, "b"),
            (
                r#"{"metadata":{"labels":{"example.com/x":7"#,
                "metadata.labels[example.com/x]",
            ),
            (r#"{"a":{"b":[1,2]},"c":{"d":[[1],[2,3"#, "c.d[1][1]"),
        ] {
            assert_eq!(field(read.as_bytes()), expected, "{read}");
        }
    }

    #[test]
    fn a_megabyte_of_brackets_needs_no_stack() {
        let deep = "[".repeat(1_000_000);
        assert!(field(deep.as_bytes()).len() > 1_000_000);
    }
}
