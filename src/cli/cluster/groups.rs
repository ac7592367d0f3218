//! What is refused, grouped by namespace and reasons. Counts are complete; roots are listed up to a bound, so that a
//! cluster in which everything is refused fits into memory, and on a screen.

use std::collections::{BTreeMap, BTreeSet};

use datagate_core::decision::Decision;
use datagate_core::finding::Finding;
use datagate_core::render::{self, Answer};
use datagate_core::review::Operation;
use datagate_core::vocabulary::Action;

use super::told::{Change, Told};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Roots listed in one group.
    pub per_group: usize,
    /// Roots listed in all.
    pub in_all: usize,
    /// Groups.
    pub groups: usize,
}

/// The groups.
#[derive(Debug)]
pub struct Groups {
    bounds: Bounds,
    groups: BTreeMap<Key, Group>,
    listed: usize,
    /// Roots of groups that found no room.
    pub beyond: usize,
}

/// What the roots of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What the edit does to them.
    pub change: Change,
    /// Where they are; empty: nowhere.
    pub namespace: Box<str>,
    /// Why they are refused.
    pub reasons: BTreeSet<&'static str>,
}

/// Roots that are refused in one namespace for the same reasons.
#[derive(Debug, Default)]
pub struct Group {
    /// How many.
    pub roots: usize,
    /// How many of them have running pods.
    pub running_roots: usize,
    /// These pods.
    pub running_pods: usize,
    /// Some of them.
    pub listed: Vec<Root>,
}

/// A root, as it is told.
#[derive(Debug)]
pub struct Root {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: Box<str>,
    /// The policies and entries that refuse it.
    pub rules: String,
    /// How many pods of it run.
    pub running: usize,
    /// What kubectl would print.
    pub lines: Vec<String>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            per_group: 20,
            in_all: 2000,
            groups: 5000,
        }
    }
}

impl Groups {
    /// No groups.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            groups: BTreeMap::new(),
            listed: 0,
            beyond: 0,
        }
    }

    /// Counts a root, and lists it if there is room.
    pub fn add(&mut self, told: &Told<'_>) {
        let refusal = told.refusal();
        let key = Key {
            change: told.change,
            namespace: told.namespace.into(),
            reasons: denying(refusal).map(|it| it.reason().as_str()).collect(),
        };
        if self.groups.len() >= self.bounds.groups && !self.groups.contains_key(&key) {
            self.beyond = self.beyond.saturating_add(1);
            return;
        }
        let group = self.groups.entry(key).or_default();
        group.roots = group.roots.saturating_add(1);
        if told.running > 0 {
            group.running_roots = group.running_roots.saturating_add(1);
            group.running_pods = group.running_pods.saturating_add(told.running);
        }
        if group.listed.len() < self.bounds.per_group && self.listed < self.bounds.in_all {
            self.listed = self.listed.saturating_add(1);
            group.listed.push(Root::of(told));
        }
    }

    /// Each group, by change, namespace and reasons.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Group)> {
        self.groups.iter()
    }
}

impl Root {
    fn of(told: &Told<'_>) -> Self {
        let refusal = told.refusal();
        let rules: BTreeSet<String> = denying(refusal).map(Finding::rule).collect();
        // The last cause is where to get help, which is the same for all.
        let mut causes = answer(refusal).causes;
        causes.pop();
        let line = |cause: &render::Cause| format!("{}: {}", cause.field, cause.message);
        Self {
            kind: told.kind.info().kind,
            name: told.name.into(),
            rules: rules.into_iter().collect::<Vec<_>>().join(", "),
            running: told.running,
            lines: causes.iter().map(line).collect(),
        }
    }
}

/// The answer that the webhook would give, without a request to name.
#[must_use]
pub fn answer(decision: &Decision) -> Answer {
    render::answer(decision, "", Operation::Create)
}

fn denying(decision: &Decision) -> impl Iterator<Item = &Finding> {
    let denies = |it: &&Finding| it.action() == Some(Action::Deny);
    decision.findings.iter().filter(denies)
}
