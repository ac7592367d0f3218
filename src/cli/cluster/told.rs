//! What is asked of a pass over the cluster, and what it tells.

use std::collections::HashMap;
use std::fmt;

use datagate_core::decision::{Decision, Outcome};
use datagate_core::workload::KnownKind;
use jiff::Timestamp;

/// Where workloads are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In one namespace.
    Namespace(String),
    /// In all, and outside of them.
    Everything,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where.
    pub scope: Scope,
    /// Also what has ended.
    pub finished: bool,
    /// The moment to judge for.
    pub at: Timestamp,
    /// Namespaces about which the webhook is never asked.
    pub excluded: Vec<String>,
}

/// Something that keeps the whole from being told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// What could not be read.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What comes of a root, compared with what came of it before the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Refused only with the edit.
    NewlyRefused,
    /// Refused only without it.
    NoLongerRefused,
    /// Refused with and without it, or there is no edit.
    Refused,
}

/// A root that is refused, or was without the edit.
#[derive(Debug)]
pub struct Told<'a> {
    /// Its kind.
    pub kind: KnownKind,
    /// The version it was read in.
    pub version: &'static str,
    /// Its namespace; empty if it has none.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// How many pods of it run.
    pub running: usize,
    /// What the edit does to it.
    pub change: Change,
    /// The decision with the edit, or the only one.
    pub decision: &'a Decision,
    /// The decision without it, if there is one.
    pub before: Option<&'a Decision>,
}

/// How many there were of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Roots by what comes of them, with the edit if there is one.
    pub outcomes: HashMap<Outcome, usize>,
    /// Of the refused ones, those that are not without the edit.
    pub newly: usize,
    /// Those that are refused only without it.
    pub no_longer: usize,
    /// Of the refused ones, those with running pods.
    pub running_roots: usize,
    /// Their running pods.
    pub running_pods: usize,
    /// Children, which are told with their roots.
    pub children: usize,
    /// Left out because they have ended.
    pub finished: usize,
    /// Left out because the webhook is never asked about their namespaces.
    pub excluded: usize,
}

impl Totals {
    /// How many have this outcome.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// How many were judged.
    #[must_use]
    pub fn judged(&self) -> usize {
        self.outcomes.values().sum()
    }
}

impl Change {
    /// The spelling in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewlyRefused => "NewlyRefused",
            Self::NoLongerRefused => "NoLongerRefused",
            Self::Refused => "Refused",
        }
    }
}

impl<'a> Told<'a> {
    /// The decision that refuses it.
    #[must_use]
    pub fn refusal(&self) -> &'a Decision {
        match (self.change, self.before) {
            (Change::NoLongerRefused, Some(before)) => before,
            _ => self.decision,
        }
    }
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}
