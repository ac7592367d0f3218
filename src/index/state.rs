//! What has been seen, folded into the catalogue. Pure: changes go in, snapshots come out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::selector::Labels;
use datagate_core::settings::Settings;
use datagate_core::world::{Catalogue, Namespace};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;

use super::Snapshot;
use super::crd::Presence;
use super::gate::Gate;
use super::stored::{Stored, read_policy, read_record};

/// Something that happened in the cluster.
#[derive(Clone, Debug)]
pub enum Change {
    /// To a policy.
    Policy(Event<Stored<DatasetPolicy>>),
    /// To a record.
    Record(Event<Stored<DatasetRecord>>),
    /// To a namespace.
    Namespace(Event<PartialObjectMeta<core::Namespace>>),
}

/// The kinds that datagate defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Catalogued {
    /// DatasetPolicy.
    Policy,
    /// DatasetRecord.
    Record,
}

/// Which version of an object it is. Status and labels do not change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.generation`.
    pub generation: i64,
}

/// Versions by kind and name.
pub type Versions = BTreeMap<(Catalogued, Box<str>), Version>;

/// Where the newest version of each policy stands in the order of all changes, by name.
pub type Sightings = BTreeMap<Box<str>, Sighting>;

/// A version of a policy, and a moment at which the API server had it: whoever has folded in all changes up to then
/// knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The version.
    pub version: Version,
    /// The lowest `metadata.resourceVersion` with which it was seen.
    pub at: u128,
}

/// How far the changes of policies have been folded into the published snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// All changes up to this `resourceVersion` are in it.
    pub at: u128,
    /// The newest change of what a policy says, as far as it is seen. One that is above `at` is part of a list that is
    /// still being read.
    pub changed: u128,
    /// The newest versions of the objects that cannot be read.
    pub unreadable: Arc<Versions>,
}

/// How much is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub policies: usize,
    pub policies_unreadable: usize,
    pub records: usize,
    pub records_unreadable: usize,
    pub namespaces: usize,
    pub held: usize,
}

/// Everything seen so far.
#[derive(Debug)]
pub struct State {
    catalogue: Catalogue,
    policies: Shelf<Version>,
    records: Shelf<Version>,
    /// Namespaces have no generation, so what matters of them is kept and compared.
    namespaces: Shelf<Namespace>,
    unreadable: Arc<Versions>,
    sightings: Arc<Sightings>,
    folded: u128,
    /// During a list: the highest version it has brought.
    listed: u128,
    gates: [(Catalogued, Gate); 2],
    changed: bool,
}

/// The objects of one watch.
#[derive(Debug)]
struct Shelf<V> {
    seen: HashMap<Box<str>, V>,
    /// During a list: what it has brought.
    listed: Option<HashSet<Box<str>>>,
    /// Whether a list was read to its end.
    synced: bool,
}

impl State {
    /// Nothing seen.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            catalogue: Catalogue::new(settings),
            policies: Shelf::default(),
            records: Shelf::default(),
            namespaces: Shelf::default(),
            unreadable: Arc::default(),
            sightings: Arc::default(),
            folded: 0,
            listed: 0,
            gates: [Catalogued::Policy, Catalogued::Record].map(|kind| (kind, Gate::default())),
            changed: false,
        }
    }

    /// Folds in a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Policy(event) => {
                self.sight(&event);
                self.apply_catalogued(Catalogued::Policy, event, Self::put_policy);
            }
            Change::Record(event) => self.apply_catalogued(Catalogued::Record, event, Self::put_record),
            Change::Namespace(event) => self.apply_namespace(event),
        }
    }

    /// The snapshot, if there is a new one and all three watches have been read once.
    pub fn publish(&mut self) -> Option<Snapshot> {
        let synced = self.policies.synced && self.records.synced && self.namespaces.synced;
        if !synced || !std::mem::take(&mut self.changed) {
            return None;
        }
        Some(Snapshot {
            world: Arc::new(self.catalogue.publish()),
            unreadable: self.unreadable.clone(),
            sightings: self.sightings.clone(),
        })
    }

    /// How far it has come with the policies. Right only of a state that has just been published.
    #[must_use]
    pub fn folded(&self) -> Folded {
        let changes = self.sightings.values().map(|it| it.at);
        Folded {
            at: self.folded,
            changed: changes.max().unwrap_or_default(),
            unreadable: self.unreadable.clone(),
        }
    }

    /// The CRDs that must be looked at, and in how long.
    pub fn questions(&mut self) -> Vec<(Catalogued, Duration)> {
        let question = |(kind, gate): &mut (Catalogued, Gate)| Some((*kind, gate.question()?));
        self.gates.iter_mut().filter_map(question).collect()
    }

    /// What a look has shown.
    pub fn answer(&mut self, kind: Catalogued, presence: Presence) {
        let confirmed = self.gate(kind).map(|gate| gate.answer(presence));
        for name in confirmed.into_iter().flatten() {
            self.forget(kind, &name);
        }
    }

    /// How much is known.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let unreadable = |wanted| self.unreadable.keys().filter(|(kind, _)| *kind == wanted).count();
        Counts {
            policies: self.policies.seen.len(),
            policies_unreadable: unreadable(Catalogued::Policy),
            records: self.records.seen.len(),
            records_unreadable: unreadable(Catalogued::Record),
            namespaces: self.namespaces.seen.len(),
            held: self.gates.iter().map(|(_, gate)| gate.len()).sum(),
        }
    }

    /// Notes where a change of a policy stands in the order of all. A list comes in the order of names, so it counts
    /// only once it is complete, and then with what it brought: after a restore of the API server's store its versions
    /// may be lower than they were.
    fn sight(&mut self, event: &Event<Stored<DatasetPolicy>>) {
        let at = |object: &Stored<DatasetPolicy>| object.metadata.resource_version.as_deref()?.parse().ok();
        match event {
            Event::Init => self.listed = 0,
            Event::InitApply(object) => self.listed = self.listed.max(at(object).unwrap_or_default()),
            Event::InitDone => self.folded = self.listed,
            Event::Apply(object) | Event::Delete(object) => {
                self.folded = self.folded.max(at(object).unwrap_or_default());
            }
        }
        let (Event::InitApply(object) | Event::Apply(object)) = event else {
            return;
        };
        let (name, version) = identify(&object.metadata);
        // What has no place in the order is reached by nobody.
        let at = at(object).unwrap_or(u128::MAX);
        let known = self.sightings.get(&name);
        if known.is_none_or(|known| known.version != version || known.at > at) {
            Arc::make_mut(&mut self.sightings).insert(name, Sighting { version, at });
        }
    }

    fn apply_catalogued<K>(
        &mut self,
        kind: Catalogued,
        event: Event<Stored<K>>,
        put: fn(&mut Self, &str, Version, &Stored<K>),
    ) {
        match event {
            Event::Init => self.shelf(kind).begin(),
            Event::InitApply(object) | Event::Apply(object) => {
                let (name, version) = identify(&object.metadata);
                if let Some(gate) = self.gate(kind) {
                    gate.there(&name);
                }
                // One that could not be read is read again whenever it is seen: what of it is shown depends on the CRD.
                let unreadable = self.unreadable.contains_key(&(kind, name.clone()));
                if self.shelf(kind).put(&name, version.clone()) || unreadable {
                    self.changed = true;
                    put(self, &name, version, &object);
                }
            }
            Event::Delete(object) => {
                let (name, version) = identify(&object.metadata);
                let same = |seen: &Version| seen.uid == version.uid;
                if self.shelf(kind).seen.get(&name).is_some_and(same)
                    && let Some(gate) = self.gate(kind)
                {
                    gate.gone(&name);
                }
            }
            Event::InitDone => {
                let first = !self.shelf(kind).synced;
                let missing = self.shelf(kind).end();
                self.changed |= first;
                if let Some(gate) = self.gate(kind) {
                    missing.iter().for_each(|name| gate.gone(name));
                }
            }
        }
    }

    fn put_policy(&mut self, name: &str, version: Version, object: &Stored<DatasetPolicy>) {
        match read_policy(object) {
            Ok(policy) => {
                self.readable(Catalogued::Policy, name);
                self.catalogue.put_policy(policy);
            }
            Err(error) => {
                tracing::warn!(policy = name, %error, "a policy cannot be read; its last readable version stays in force");
                self.not_readable(Catalogued::Policy, name, version);
                self.catalogue
                    .put_unreadable_policy(name, &error.what, error.reach);
            }
        }
    }

    fn put_record(&mut self, name: &str, version: Version, object: &Stored<DatasetRecord>) {
        match read_record(object) {
            Ok(record) => {
                self.readable(Catalogued::Record, name);
                self.catalogue.put_record(record);
            }
            Err(error) => {
                tracing::warn!(record = name, %error, "a record cannot be read; workloads that use it are refused");
                self.not_readable(Catalogued::Record, name, version);
                self.catalogue.put_unreadable_record(name, &error.what);
            }
        }
    }

    fn apply_namespace(&mut self, event: Event<PartialObjectMeta<core::Namespace>>) {
        match event {
            Event::Init => self.namespaces.begin(),
            Event::InitApply(object) | Event::Apply(object) => {
                let name: Box<str> = object.metadata.name.as_deref().unwrap_or_default().into();
                let namespace = namespace(object.metadata);
                if self.namespaces.put(&name, namespace.clone()) {
                    self.changed = true;
                    self.catalogue.put_namespace(&name, namespace);
                }
            }
            Event::Delete(object) => {
                self.forget_namespace(object.metadata.name.as_deref().unwrap_or_default());
            }
            Event::InitDone => {
                self.changed |= !self.namespaces.synced;
                for name in self.namespaces.end() {
                    self.forget_namespace(&name);
                }
            }
        }
    }

    fn forget_namespace(&mut self, name: &str) {
        if self.namespaces.remove(name) {
            self.changed = true;
            self.catalogue.remove_namespace(name);
        }
    }

    fn forget(&mut self, kind: Catalogued, name: &str) {
        if !self.shelf(kind).remove(name) {
            return;
        }
        self.changed = true;
        self.readable(kind, name);
        match kind {
            Catalogued::Policy => {
                self.catalogue.remove_policy(name);
                Arc::make_mut(&mut self.sightings).remove(name);
            }
            Catalogued::Record => self.catalogue.remove_record(name),
        }
    }

    fn readable(&mut self, kind: Catalogued, name: &str) {
        let key = (kind, name.into());
        if self.unreadable.contains_key(&key) {
            Arc::make_mut(&mut self.unreadable).remove(&key);
        }
    }

    fn not_readable(&mut self, kind: Catalogued, name: &str, version: Version) {
        Arc::make_mut(&mut self.unreadable).insert((kind, name.into()), version);
    }

    fn shelf(&mut self, kind: Catalogued) -> &mut Shelf<Version> {
        match kind {
            Catalogued::Policy => &mut self.policies,
            Catalogued::Record => &mut self.records,
        }
    }

    fn gate(&mut self, wanted: Catalogued) -> Option<&mut Gate> {
        let found = self.gates.iter_mut().find(|(kind, _)| *kind == wanted);
        found.map(|(_, gate)| gate)
    }
}

impl<V: PartialEq> Shelf<V> {
    /// Puts an object; says whether that is news.
    fn put(&mut self, name: &str, value: V) -> bool {
        if let Some(listed) = &mut self.listed {
            listed.insert(name.into());
        }
        match self.seen.get_mut(name) {
            Some(seen) if *seen == value => false,
            Some(seen) => {
                *seen = value;
                true
            }
            None => {
                self.seen.insert(name.into(), value);
                true
            }
        }
    }

    fn remove(&mut self, name: &str) -> bool {
        self.seen.remove(name).is_some()
    }

    /// A list begins. One that had begun before broke off and says nothing.
    fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// A list is complete; gives what is not in it.
    fn end(&mut self) -> Vec<Box<str>> {
        let Some(listed) = self.listed.take() else {
            return Vec::new();
        };
        self.synced = true;
        let missing = self.seen.keys().filter(|name| !listed.contains(*name));
        missing.cloned().collect()
    }
}

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self {
            seen: HashMap::new(),
            listed: None,
            synced: false,
        }
    }
}

fn identify(metadata: &ObjectMeta) -> (Box<str>, Version) {
    let version = Version {
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
        generation: metadata.generation.unwrap_or_default(),
    };
    (metadata.name.as_deref().unwrap_or_default().into(), version)
}

/// What matters of a namespace.
pub(crate) fn namespace(metadata: ObjectMeta) -> Namespace {
    let pairs = |map: Option<BTreeMap<String, String>>| {
        map.unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (Box::<str>::from(key), Box::<str>::from(value)))
    };
    let labels: Labels = pairs(metadata.labels).collect();
    Namespace::new(labels, pairs(metadata.annotations))
}
