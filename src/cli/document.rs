//! YAML and JSON as kubectl reads it, with the place of every value.
//!
//! Booleans are those of YAML 1.1 (`NO` without quotes is one) and so are octal numbers, because that is what kubectl
//! sends. Everything that is read is bounded: files, nesting, aliases.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Number;

mod value;

/// Nothing larger is read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Deeper than any object of Kubernetes; serde_json stops at the same depth.
const MAX_DEPTH: usize = 120;

/// An object of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file as it was named; `-` for standard input.
    pub file: Arc<str>,
    /// Which of the file's documents, counted from 0 without empty ones.
    pub index: usize,
    /// What stands there.
    pub root: Node,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub at: Place,
    /// What it is.
    pub value: Value,
}

/// A line and a column, both from 1; 0: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// What JSON can say, with the keys of a map in the order they were written in.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "JSON's words")]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Something that cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {what}", At(*.at))]
pub struct Bad {
    /// The file as it was named.
    pub file: Arc<str>,
    /// Where in it.
    pub at: Place,
    /// What is wrong.
    pub what: String,
}

/// A place behind the name of its file.
struct At(Place);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place { line: 0, .. } => Ok(()),
            Place { line, column } => write!(f, ":{line}:{column}"),
        }
    }
}

impl PartialEq for Node {
    /// Equal wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Bad {
    /// Of a file as a whole.
    pub fn file(file: &str, what: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            at: Place::default(),
            what: what.into(),
        }
    }
}

/// Reads a file, or standard input.
///
/// # Errors
///
/// If it cannot be read or is too large.
pub fn bytes(path: &Path, file: &str) -> Result<Vec<u8>, Bad> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    match read {
        Err(error) => Err(Bad::file(file, error.to_string())),
        Ok(read) if read as u64 > MAX_BYTES => {
            Err(Bad::file(file, format!("larger than {} MiB", MAX_BYTES >> 20)))
        }
        Ok(_) => Ok(bytes),
    }
}

/// Reads the documents of a text, of which there may be none.
///
/// # Errors
///
/// If it is no YAML, with the place of the first problem.
pub fn documents(bytes: &[u8], file: &Arc<str>) -> Result<Vec<Document>, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let lines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let at = Place {
            line: lines.saturating_add(1),
            column: (String::from_utf8_lossy(line).chars().count() as u64).saturating_add(1),
        };
        let what = "not UTF-8".to_owned();
        Bad {
            file: Arc::clone(file),
            at,
            what,
        }
    })?;
    let budget = serde_saphyr::budget! {
        max_depth: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
        max_events: 20_000_000,
        max_nodes: 10_000_000,
        max_documents: 100_000,
    };
    let alias_limits = serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 };
    let options = serde_saphyr::options! {
        budget: budget,
        alias_limits: alias_limits,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let read = serde_saphyr::from_str_multiple_with_options::<Node, Vec<Node>>(text, options);
    let roots = read.map_err(|error| {
        let at = error.location().map(|at| Place {
            line: at.line(),
            column: at.column(),
        });
        let at = at.unwrap_or_default();
        let what = explain(&error);
        Bad {
            file: Arc::clone(file),
            at,
            what,
        }
    })?;
    let document = |(index, root)| Document {
        file: Arc::clone(file),
        index,
        root,
    };
    Ok(roots.into_iter().enumerate().map(document).collect())
}

/// What a YAML error says, without its place and without the names of the parser's options.
fn explain(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::AliasError { error, .. } => explain(error),
        Error::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("the key {key} stands there twice"),
            None => "a key stands there twice".to_owned(),
        },
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            "too many aliases".to_owned()
        }
        Error::Budget { breach, .. } => match breach {
            serde_saphyr::budget::BudgetBreach::Depth { .. } => format!("nested deeper than {MAX_DEPTH}"),
            other => format!("too large to read: {other:?}"),
        },
        other => {
            let text = other.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            if what == "recursion limit exceeded" {
                return format!("nested deeper than {MAX_DEPTH}");
            }
            what.replace(['"', '`'], "'")
        }
    }
}

impl Document {
    /// A problem in this document.
    pub fn bad(&self, at: Place, what: impl Into<String>) -> Bad {
        Bad {
            file: Arc::clone(&self.file),
            at,
            what: what.into(),
        }
    }

    /// The document as a type, with the field and its place if it is none.
    ///
    /// # Errors
    ///
    /// The first thing that is not what the type says.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Bad> {
        let json = self
            .root
            .json()
            .map_err(|error| self.bad(self.root.at, error.to_string()))?;
        let mut deserializer = serde_json::Deserializer::from_str(&json);
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let field = error.path().to_string();
            let text = error.inner().to_string();
            let what = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(what, _)| what);
            let what = what.replace('`', "");
            let hint = if what.starts_with("invalid type: boolean") && what.contains("string") {
                "; without quotes NO, ON, Y and the like are booleans in YAML: quote it"
            } else {
                ""
            };
            let field = if field == "." {
                String::new()
            } else {
                format!("{field}: ")
            };
            self.bad(self.root.place(error.path()), format!("{field}{what}{hint}"))
        })
    }
}

impl Node {
    /// The field of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text of a field of a map.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// As JSON.
    ///
    /// # Errors
    ///
    /// None that is known of; JSON can say all that a node can.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The place of the deepest part of a path that exists.
    fn place(&self, path: &serde_path_to_error::Path) -> Place {
        use serde_path_to_error::Segment;
        let mut node = self;
        for segment in path {
            let next = match (segment, &node.value) {
                (Segment::Seq { index }, Value::List(items)) => items.get(*index),
                (Segment::Map { key }, _) => node.get(key),
                _ => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node.at
    }

    /// The place of the deepest part of a field such as `spec.pauses[0].match.regions[1]` that exists.
    #[must_use]
    pub fn place_of(&self, field: &str) -> Place {
        let mut node = self;
        let names = field.split(['.', '[']).map(|part| part.trim_end_matches(']'));
        for name in names {
            let next = match &node.value {
                Value::List(items) => name.parse().ok().and_then(|index: usize| items.get(index)),
                _ => node.get(name),
            };
            let Some(next) = next else { break };
            node = next;
        }
        node.at
    }
}
