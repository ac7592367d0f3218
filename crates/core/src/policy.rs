//! A policy as the decision uses it: parsed, so that it cannot be wrong any more.
//!
//! `datagate-api` converts the custom resource into these types; validity *is* that conversion succeeding.

use enumset::EnumSet;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::purpose::Purposes;
use crate::region::Regions;
use crate::selector::Selector;
use crate::vocabulary::{
    Action, DataCategory, DeclarationKind, Evidence, Measure, RunningWorkloads, SourceCategory, StepType,
    Undeclared, WorkloadScope,
};

/// A `DatasetPolicy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: Box<str>,
    /// Its `metadata.uid`; empty offline.
    pub uid: Box<str>,
    /// Its `metadata.generation`; 0 offline.
    pub generation: i64,
    /// What it governs.
    pub reach: Reach,
    /// What happens to a finding.
    pub actions: EnumSet<Action>,
    /// What happens to a governed workload that declares no data. Never harder than `actions`.
    pub undeclared: Undeclared,
    /// Until then `Deny` acts as `Warn`.
    pub deny_from: Option<Timestamp>,
    /// The ways to declare data that count.
    pub accepted_declarations: EnumSet<DeclarationKind>,
    /// Whom to ask, shown in each refusal.
    pub contact: Option<Box<str>>,
    /// Data that may not be used.
    pub pauses: Box<[Pause]>,
    /// Conditions on the use of data.
    pub requirements: Box<[Requirement]>,
    /// The images that count as steps.
    pub trust: Box<[TrustedImage]>,
}

/// Which submissions a policy governs: readable even where the rest of the policy is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// Over the labels of namespaces; empty selects all.
    pub namespaces: Selector,
    /// Over the workloads in them.
    pub workloads: WorkloadScope,
}

/// When an entry is in effect: from `from` (absent: always) until just before `until` (absent: until further notice).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Window {
    /// The first instant in effect.
    pub from: Option<Timestamp>,
    /// The first instant no longer in effect.
    pub until: Option<Timestamp>,
}

/// What both kinds of entry have.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name, unique among the entries of its kind in the policy.
    pub name: Box<str>,
    /// The data it is about.
    pub matching: Match,
    /// When it holds.
    pub window: Window,
    /// The actions left after the entry weakened those of its policy.
    pub actions: EnumSet<Action>,
}

/// Data that may not be used while the pause is in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause {
    /// Name, match, window, actions.
    pub entry: Entry,
    /// A reminder for the policy's owner; never an end.
    pub review_by: Option<Date>,
    /// What happens to workloads admitted before.
    pub running: RunningWorkloads,
    /// What kind of act it rests on.
    pub measure: Option<Measure>,
    /// Who asked for it.
    pub authority: Option<Box<str>>,
    /// Where to read about it.
    pub reference: Option<Box<str>>,
}

/// Conditions under which data may be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// Name, match, window, actions.
    pub entry: Entry,
    /// Steps that must have been done, or provably run first.
    pub steps: Box<[StepRule]>,
    /// Only data of people there.
    pub allowed_regions: Option<Regions>,
    /// The lowest age that may be in the data, in years.
    pub minimum_age: Option<u8>,
    /// Kinds of data that may not be in it.
    pub excluded_categories: EnumSet<DataCategory>,
    /// All legal bases of the record must be among these.
    pub legal_bases: Option<Box<[Box<str>]>>,
}

/// One step that a requirement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRule {
    /// Which step.
    pub step: StepType,
    /// What may show that it was done; never empty.
    pub accepted: EnumSet<Evidence>,
    /// The highest age of the step's list at the start, in days.
    pub max_list_age_days: Option<u16>,
}

/// The data an entry is about: AND between fields, OR inside one. A field left out matches all; at least one is given.
/// What the data leaves unsaid counts as matching.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Match {
    /// Where the people live.
    pub regions: Option<Regions>,
    /// What it is used for.
    pub purposes: Option<Purposes>,
    /// Where it came from.
    pub source_categories: Option<EnumSet<SourceCategory>>,
    /// What kind of data it is.
    pub data_categories: Option<EnumSet<DataCategory>>,
    /// Whose it is: ids of data controllers.
    pub data_controllers: Option<Box<[Box<str>]>>,
    /// When it was collected.
    pub collection_period: Option<Period>,
    /// When what it tells of happened.
    pub content_period: Option<Period>,
}

/// Days, both inclusive, in UTC. An absent end is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first day.
    pub start: Option<Date>,
    /// The last day.
    pub end: Option<Date>,
}

/// An image that counts as a step, known by its digest: registries are mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedImage {
    /// The step it is.
    pub step: StepType,
    /// Its name, for people.
    pub image: Box<str>,
    /// Its digest: `sha256:` and 64 lower-case hexadecimal digits.
    pub digest: Box<str>,
    /// The command a workload may give; otherwise it must leave it unset.
    pub command: Option<Box<[Box<str>]>>,
    /// The arguments a workload may give; otherwise it must leave them unset.
    pub args: Option<Box<[Box<str>]>>,
    /// Whether it fetches the current list when it starts; otherwise it cannot meet a condition on the list's age.
    pub reads_list_at_start: bool,
}

impl Window {
    /// Whether the entry holds at `now`.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// The instants at which the window opens or closes.
    pub fn boundaries(&self) -> impl Iterator<Item = Timestamp> {
        self.from.into_iter().chain(self.until)
    }
}

impl Period {
    /// Whether both have a day in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |end: Option<Date>, start: Option<Date>| matches!((end, start), (Some(end), Some(start)) if end < start);
        !before(self.end, other.start) && !before(other.end, self.start)
    }

    /// The shortest period that covers both.
    #[must_use]
    pub fn cover(&self, other: &Self) -> Self {
        Self {
            start: self.start.zip(other.start).map(|(a, b)| a.min(b)),
            end: self.end.zip(other.end).map(|(a, b)| a.max(b)),
        }
    }
}

impl Policy {
    /// Pauses and requirements alike.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.pauses
            .iter()
            .map(|pause| &pause.entry)
            .chain(self.requirements.iter().map(|r| &r.entry))
    }

    /// The next instant after `now` at which the policy may decide differently.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.entries()
            .flat_map(|entry| entry.window.boundaries())
            .chain(self.deny_from)
            .filter(|at| *at > now)
            .min()
    }

    /// Whether a `RegionFilter` in the catalogue is believed: not if the policy itself asks for one with other evidence.
    #[must_use]
    pub fn believes_region_filter(&self) -> bool {
        !self
            .requirements
            .iter()
            .flat_map(|requirement| &requirement.steps)
            .any(|rule| rule.step == StepType::RegionFilter && !rule.accepted.contains(Evidence::Catalogued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_half_open() {
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        let window = Window {
            from: Some(at("2024-09-18T00:00:00Z")),
            until: Some(at("2025-11-03T00:00:00Z")),
        };
        assert!(!window.contains(at("2024-09-17T23:59:59.999999999Z")));
        assert!(window.contains(at("2024-09-18T00:00:00Z")));
        assert!(window.contains(at("2025-11-02T23:59:59.999999999Z")));
        assert!(!window.contains(at("2025-11-03T00:00:00Z")));
        assert!(Window::default().contains(at("1970-01-01T00:00:00Z")));
    }

    #[test]
    fn periods_include_both_days() {
        let day = |s: &str| Some(s.parse::<Date>().unwrap());
        let may_to_august = Period {
            start: day("2024-05-07"),
            end: day("2024-08-01"),
        };
        assert!(may_to_august.overlaps(&Period {
            start: day("2024-08-01"),
            end: None
        }));
        assert!(!may_to_august.overlaps(&Period {
            start: day("2024-08-02"),
            end: None
        }));
        assert!(may_to_august.overlaps(&Period {
            start: None,
            end: day("2024-05-07")
        }));
        assert!(!may_to_august.overlaps(&Period {
            start: None,
            end: day("2024-05-06")
        }));
    }
}
