//! The mutable side of the world: takes changes one by one, publishes snapshots.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::lineage;
use super::{Namespace, PolicySlot, RecordSlot, World};
use crate::bits::Bits;
use crate::dataset::Record;
use crate::policy::{Policy, Reach};
use crate::settings::Settings;

/// Policies, records and namespaces as they change. Each change is folded in where it matters: a policy touches its own
/// column of bits, a namespace its row, a record itself and its descendants.
#[derive(Debug, Default)]
pub struct Catalogue {
    world: World,
    written: HashMap<Box<str>, Result<Arc<Record>, Arc<str>>>,
    children: HashMap<Box<str>, BTreeSet<Box<str>>>,
    stale: BTreeSet<Box<str>>,
}

impl Catalogue {
    /// An empty catalogue.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            world: World {
                settings: Arc::new(settings),
                ..World::default()
            },
            ..Self::default()
        }
    }

    /// Adds or replaces a policy.
    pub fn put_policy(&mut self, policy: Policy) {
        let name = policy.name.clone();
        self.put_slot(PolicySlot {
            name,
            policy: Some(Arc::new(policy)),
            error: None,
            reach: None,
        });
    }

    /// Notes that a policy cannot be read. Its last readable version, if there is one, stays in force.
    pub fn put_unreadable_policy(&mut self, name: &str, error: &str, reach: Option<Reach>) {
        let policy = self
            .bit(name)
            .and_then(|bit| self.world.policies.get(bit)?.as_ref()?.policy.clone());
        self.put_slot(PolicySlot {
            name: name.into(),
            policy,
            error: Some(error.into()),
            reach,
        });
    }

    /// Forgets a policy.
    pub fn remove_policy(&mut self, name: &str) {
        let Some(bit) = self.bit(name) else { return };
        if let Some(slot) = Arc::make_mut(&mut self.world.policies).get_mut(bit) {
            *slot = None;
        }
        for bits in Arc::make_mut(&mut self.world.governing).values_mut() {
            bits.set(bit, false);
        }
    }

    fn bit(&self, name: &str) -> Option<usize> {
        self.world
            .policies
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|slot| &*slot.name == name))
    }

    fn put_slot(&mut self, slot: PolicySlot) {
        let free = || self.world.policies.iter().position(Option::is_none);
        let bit = self
            .bit(&slot.name)
            .or_else(free)
            .unwrap_or(self.world.policies.len());
        let governing = Arc::make_mut(&mut self.world.governing);
        for (name, namespace) in self.world.namespaces.iter() {
            governing
                .entry(name.clone())
                .or_default()
                .set(bit, slot.selects(&namespace.labels));
        }
        let policies = Arc::make_mut(&mut self.world.policies);
        if bit >= policies.len() {
            policies.resize(bit.saturating_add(1), None);
        }
        if let Some(place) = policies.get_mut(bit) {
            *place = Some(Arc::new(slot));
        }
    }

    /// Adds or replaces a namespace.
    pub fn put_namespace(&mut self, name: &str, namespace: Namespace) {
        if self
            .world
            .namespaces
            .get(name)
            .is_some_and(|known| **known == namespace)
        {
            return;
        }
        let mut bits = Bits::default();
        for (slot, bit) in self.world.policies.iter().zip(0..) {
            bits.set(
                bit,
                slot.as_ref().is_some_and(|slot| slot.selects(&namespace.labels)),
            );
        }
        Arc::make_mut(&mut self.world.governing).insert(name.into(), bits);
        Arc::make_mut(&mut self.world.namespaces).insert(name.into(), Arc::new(namespace));
    }

    /// Forgets a namespace.
    pub fn remove_namespace(&mut self, name: &str) {
        Arc::make_mut(&mut self.world.governing).remove(name);
        Arc::make_mut(&mut self.world.namespaces).remove(name);
    }

    /// Adds or replaces a record.
    pub fn put_record(&mut self, record: Record) {
        let name = record.name.clone();
        self.put_written(name, Ok(Arc::new(record)));
    }

    /// Notes that a record cannot be read, so that whatever uses it is refused.
    pub fn put_unreadable_record(&mut self, name: &str, error: &str) {
        self.put_written(name.into(), Err(error.into()));
    }

    fn put_written(&mut self, name: Box<str>, written: Result<Arc<Record>, Arc<str>>) {
        self.unlink(&name);
        if let Ok(record) = &written {
            for parent in &record.derived_from {
                self.children
                    .entry(parent.clone())
                    .or_default()
                    .insert(name.clone());
            }
        }
        self.written.insert(name.clone(), written);
        self.stale.insert(name);
    }

    /// Forgets a record.
    pub fn remove_record(&mut self, name: &str) {
        self.unlink(name);
        self.written.remove(name);
        self.stale.insert(name.into());
    }

    fn unlink(&mut self, name: &str) {
        if let Some(Ok(record)) = self.written.get(name) {
            for parent in &record.derived_from {
                if let Some(children) = self.children.get_mut(parent) {
                    children.remove(name);
                }
            }
        }
    }

    /// The snapshot with all changes so far. Records whose ancestors changed are joined with them anew.
    pub fn publish(&mut self) -> World {
        let mut touched = std::mem::take(&mut self.stale);
        let mut queue: Vec<Box<str>> = touched.iter().cloned().collect();
        while let Some(name) = queue.pop() {
            for child in self.children.get(&name).into_iter().flatten() {
                if touched.insert(child.clone()) {
                    queue.push(child.clone());
                }
            }
        }
        if !touched.is_empty() {
            let records = Arc::make_mut(&mut self.world.records);
            for name in touched {
                match self.written.get(&name) {
                    None => {
                        records.remove(&name);
                    }
                    Some(Err(error)) => {
                        records.insert(name, RecordSlot::Unreadable(Arc::clone(error)));
                    }
                    Some(Ok(record)) => {
                        let dataset = lineage::resolve(record, &self.written);
                        records.insert(name, RecordSlot::Ready(Arc::new(dataset)));
                    }
                }
            }
        }
        self.world.clone()
    }
}
