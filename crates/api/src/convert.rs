//! From what users write to what the decision uses. An object is valid if this succeeds; nothing looks at it again.
//!
//! The API server has refused most of what is refused here, but a CRD may be edited or old, and files on a disk never
//! met one. All problems of an object are told at once, each with the path of its field.

mod parts;
mod path;
mod policy;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;

use datagate_core::policy::Reach;
use serde::de::IntoDeserializer;
use serde_json::Value;

use crate::v1alpha1::{LabelSelector, WorkloadScope};
use parts::Reader;
use path::Path;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `spec.pauses[0].match.regions[1]`.
    pub field: Box<str>,
    /// What is wrong and what to write, short and without double quotes.
    pub what: Box<str>,
}

/// What is wrong with an object that cannot be used. At least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    problems: Vec<Problem>,
}

impl Invalid {
    /// The problems, in the order of the fields.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        for (i, problem) in self.problems.iter().take(SHOWN).enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        match self.problems.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "; and {more} more"),
        }
    }
}

/// What a policy governs that cannot be read as a whole, if at least that can be read. `spec` is its raw spec.
///
/// Nothing is narrowed by guessing: a selector or a scope that does not read gives `None`.
pub fn reach(spec: &Value) -> Option<Reach> {
    let selector = match spec.get("namespaceSelector") {
        None | Some(Value::Null) => LabelSelector::default(),
        Some(selector) => read(selector)?,
    };
    let workloads: WorkloadScope = read(spec.get("workloads")?)?;
    let mut reader = Reader::default();
    let namespaces = reader.selector(&selector, &Path::Root);
    reader
        .finish(Reach {
            namespaces,
            workloads: workloads.into(),
        })
        .ok()
}

fn read<'de, T: serde::Deserialize<'de>>(value: &'de Value) -> Option<T> {
    T::deserialize(value.into_deserializer()).ok()
}
