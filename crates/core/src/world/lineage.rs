//! What a derived dataset inherits from the datasets it was made from.
//!
//! Regions, source and data categories and controllers are joined, the lowest age counts, and a part that does not say
//! leaves the whole unsaid. Steps are not inherited: a filter of a parent says nothing of what was added since.

use std::collections::HashMap;
use std::sync::Arc;

use enumset::EnumSet;

use crate::dataset::{Ancestry, Dataset, Facts, Record};
use crate::region::Regions;
use crate::vocabulary::{PersonalData, StepType};

type Written = HashMap<Box<str>, Result<Arc<Record>, Arc<str>>>;

/// A chain of derivations longer than this is no catalogue but an attack on it.
const MAX_ANCESTORS: usize = 1024;

/// A record joined with its ancestors.
pub(super) fn resolve(record: &Arc<Record>, written: &Written) -> Dataset {
    let mut walk = Walk {
        written,
        broken: None,
        done: HashMap::new(),
    };
    let facts = walk.facts(record);
    Dataset {
        record: Arc::clone(record),
        facts,
        broken: walk.broken,
    }
}

struct Walk<'w> {
    written: &'w Written,
    broken: Option<(Box<str>, Ancestry)>,
    done: HashMap<Box<str>, Facts>,
}

impl<'w> Walk<'w> {
    /// The facts of a record, its ancestors first; iterative, so that a long chain cannot exhaust the stack.
    fn facts(&mut self, record: &'w Arc<Record>) -> Facts {
        let mut open: Vec<(&'w Record, usize)> = vec![(record, 0)];
        while let Some((current, next)) = open.last().copied() {
            let Some(parent) = current.derived_from.get(next) else {
                let facts = self.join(current);
                self.done.insert(current.name.clone(), facts);
                open.pop();
                continue;
            };
            if let Some(top) = open.last_mut() {
                top.1 = next.saturating_add(1);
            }
            if self.done.contains_key(parent) {
                continue;
            }
            match self.written.get(parent) {
                None => self.broke(parent, Ancestry::Missing),
                Some(Err(_)) => self.broke(parent, Ancestry::Unreadable),
                Some(Ok(_)) if open.iter().any(|(it, _)| it.name == *parent) => {
                    self.broke(parent, Ancestry::Cycle);
                }
                Some(Ok(_)) if open.len() >= MAX_ANCESTORS => self.broke(parent, Ancestry::Cycle),
                Some(Ok(parent)) => open.push((parent, 0)),
            }
        }
        self.done.remove(&record.name).unwrap_or_else(|| own(record))
    }

    fn broke(&mut self, name: &str, how: Ancestry) {
        // The smallest name, so that the outcome does not depend on the order of lists.
        let found = (Box::from(name), how);
        if self.broken.as_ref().is_none_or(|(known, _)| *known > found.0) {
            self.broken = Some(found);
        }
    }

    fn join(&self, record: &Record) -> Facts {
        let own_facts = own(record);
        let parents: Vec<&Facts> = record
            .derived_from
            .iter()
            .filter_map(|name| self.done.get(name))
            .collect();
        if parents.is_empty() {
            return own_facts;
        }
        let has = |step| record.steps.iter().any(|it| it.step == step);
        let from_people = parents.iter().any(|parent| !parent.impersonal);
        let impersonal = own_facts.impersonal && (!from_people || has(StepType::Anonymisation));
        let inherited = |pick: fn(&Facts) -> Option<&Regions>| {
            let people = parents.iter().filter(|parent| !parent.impersonal);
            let sets: Option<Vec<&Regions>> = people.map(|parent| pick(parent)).collect();
            sets.map(|sets| sets.into_iter().fold(Regions::default(), |all, it| all.union(it)))
        };
        let with_own = |inherited: Option<Regions>| match (&own_facts.regions, inherited) {
            (Some(own), Some(inherited)) => Some(own.union(&inherited)),
            // A record without personal data of its own names no regions; its parents' stay.
            (None, Some(inherited)) if own_facts.impersonal => Some(inherited),
            _ => None,
        };
        let removed = record.steps.iter().find(|it| it.step == StepType::RegionFilter);
        let removed = removed.and_then(|it| it.removed_regions.as_ref());
        let believed = inherited(|parent| parent.regions.as_ref());
        let believed = match removed {
            Some(removed) => believed.map(|regions| regions.without(removed.set())),
            None => believed,
        };
        let unfiltered = inherited(|parent| parent.regions_unfiltered.as_ref());
        let ages = parents
            .iter()
            .filter(|parent| !parent.impersonal)
            .map(|parent| parent.minimum_age);
        let minimum_age = if has(StepType::AgeFilter) {
            // Like a region filter: what its own filter removed is not inherited.
            own_facts.minimum_age
        } else if own_facts.impersonal {
            ages.reduce(lowest).unwrap_or(None)
        } else {
            ages.fold(own_facts.minimum_age, lowest)
        };
        Facts {
            impersonal,
            regions: with_own(believed),
            regions_unfiltered: with_own(unfiltered),
            sources: parents
                .iter()
                .fold(own_facts.sources, |all, parent| both(all, parent.sources)),
            categories: parents
                .iter()
                .fold(own_facts.categories, |all, parent| both(all, parent.categories)),
            controllers: parents.iter().fold(own_facts.controllers, |all, parent| {
                let mut ids = all?.into_vec();
                ids.extend(parent.controllers.as_ref()?.iter().cloned());
                ids.sort();
                ids.dedup();
                Some(ids.into())
            }),
            minimum_age,
            content_period: own_facts.content_period,
            collection_period: own_facts.collection_period,
        }
    }
}

fn lowest(a: Option<u8>, b: Option<u8>) -> Option<u8> {
    a.zip(b).map(|(a, b)| a.min(b))
}

fn both<T: enumset::EnumSetType>(a: Option<EnumSet<T>>, b: Option<EnumSet<T>>) -> Option<EnumSet<T>> {
    a.zip(b).map(|(a, b)| a | b)
}

/// What a record says by itself.
fn own(record: &Record) -> Facts {
    Facts {
        impersonal: record.personal_data == PersonalData::Absent,
        regions: record.regions.clone(),
        regions_unfiltered: record.regions.clone(),
        sources: Some(EnumSet::only(record.source)),
        categories: record.categories,
        controllers: record.controllers(),
        minimum_age: record.minimum_age,
        content_period: record.content_period,
        collection_period: record.collection_period,
    }
}

impl Record {
    fn controllers(&self) -> Option<Box<[Box<str>]>> {
        self.controller.as_ref().map(|id| [id.clone()].into())
    }
}
