//! All policies, records and namespaces at one moment: what a decision is made against.
//!
//! A `World` is immutable and shared behind an `Arc`; `Catalogue` makes a new one whenever something changes. What a
//! request needs is found by name or by bit, so its cost does not grow with what does not concern it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bits::Bits;
use crate::dataset::Dataset;
use crate::policy::{Policy, Reach};
use crate::selector::Labels;
use crate::settings::Settings;

mod catalogue;
mod lineage;

pub use catalogue::Catalogue;

/// The snapshot.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// What the platform team set.
    pub settings: Arc<Settings>,
    /// By bit; gone policies leave a hole that the next one fills.
    policies: Arc<Vec<Option<Arc<PolicySlot>>>>,
    /// The policies whose namespace selector selects a namespace.
    governing: Arc<HashMap<Box<str>, Bits>>,
    namespaces: Arc<HashMap<Box<str>, Arc<Namespace>>>,
    records: Arc<HashMap<Box<str>, RecordSlot>>,
}

/// A policy, readable or not.
#[derive(Clone, Debug)]
pub struct PolicySlot {
    /// Its name.
    pub name: Box<str>,
    /// Its last readable version, which stays in force.
    pub policy: Option<Arc<Policy>>,
    /// Why the newest version cannot be read.
    pub error: Option<Box<str>>,
    /// What the newest version says it governs, if that part can be read.
    pub reach: Option<Reach>,
}

/// A record, readable or not.
#[derive(Clone, Debug)]
pub enum RecordSlot {
    /// With what it inherits.
    Ready(Arc<Dataset>),
    /// Why it cannot be read.
    Unreadable(Arc<str>),
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: Labels,
    /// Its `datagate.dev/` annotations, and the labels among them: defaults and ceiling for its workloads.
    pub keys: Box<[(Box<str>, Box<str>)]>,
}

impl PolicySlot {
    /// What it governs as far as is known; absent: cannot be told, so everything.
    #[must_use]
    pub fn reach(&self) -> Option<&Reach> {
        self.policy
            .as_ref()
            .map(|policy| &policy.reach)
            .or(self.reach.as_ref())
    }

    fn selects(&self, labels: &Labels) -> bool {
        self.reach().is_none_or(|reach| reach.namespaces.matches(labels))
    }
}

impl World {
    /// The policies that select a namespace, if the namespace is known.
    #[must_use]
    pub fn governing(&self, namespace: &str) -> Option<impl Iterator<Item = &Arc<PolicySlot>>> {
        let bits = self.governing.get(namespace)?;
        Some(bits.ones().filter_map(|bit| self.policies.get(bit)?.as_ref()))
    }

    /// The policies that select a namespace with these labels.
    pub fn selecting(&self, labels: &Labels) -> impl Iterator<Item = &Arc<PolicySlot>> {
        self.policies().filter(|slot| slot.selects(labels))
    }

    /// All policies.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<PolicySlot>> {
        self.policies.iter().filter_map(Option::as_ref)
    }

    /// How many namespaces each policy governs, by name.
    #[must_use]
    pub fn governed_namespaces(&self, policy: &str) -> usize {
        let Some(bit) = self
            .policies
            .iter()
            .position(|it| it.as_ref().is_some_and(|it| &*it.name == policy))
        else {
            return 0;
        };
        self.governing.values().filter(|bits| bits.contains(bit)).count()
    }

    /// A namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name).map(Arc::as_ref)
    }

    /// The names of all namespaces with what is known of them.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.namespaces
            .iter()
            .map(|(name, namespace)| (&**name, &**namespace))
    }

    /// A record.
    #[must_use]
    pub fn record(&self, name: &str) -> Option<&RecordSlot> {
        self.records.get(name)
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = (&str, &RecordSlot)> {
        self.records.iter().map(|(name, slot)| (&**name, slot))
    }
}

impl Namespace {
    /// From the labels and annotations of the object.
    #[must_use]
    pub fn new(labels: Labels, annotations: impl IntoIterator<Item = (Box<str>, Box<str>)>) -> Self {
        let wanted = |key: &str| {
            [
                crate::declaration::DATASETS,
                crate::declaration::PURPOSE,
                crate::declaration::ALLOWED_PURPOSES,
            ]
            .contains(&key)
        };
        let of_labels = labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut keys: Vec<_> = of_labels
            .chain(annotations)
            .filter(|(key, _)| wanted(key))
            .collect();
        keys.sort();
        Self {
            labels,
            keys: keys.into(),
        }
    }

    /// A value of one of its keys.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.keys
            .iter()
            .filter(move |(name, _)| &**name == key)
            .map(|(_, value)| &**value)
    }

    /// Whether it has defaults or a ceiling.
    #[must_use]
    pub fn says_something(&self) -> bool {
        !self.keys.is_empty()
    }
}
