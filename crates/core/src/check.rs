//! The checks: one file for each question that a policy asks of a workload.

use enumset::EnumSet;
use jiff::Timestamp;

use crate::dataset::{Dataset, Facts};
use crate::declaration::{Declared, Source};
use crate::finding::{Coming, Detail, Finding, Found, Notice};
use crate::path::At;
use crate::policy::{Entry, Match, Pause, Policy};
use crate::purpose::Purposes;
use crate::region::Regions;
use crate::submission::Submission;
use crate::vocabulary::{Action, Evidence, StepType};

pub mod age;
pub mod category;
pub mod dataset;
pub mod declaration;
pub mod legal_basis;
pub mod pause;
pub mod purpose;
pub mod region;
pub mod step;

/// What is judged.
#[derive(Debug)]
pub struct Case<'a> {
    /// The workload.
    pub submission: &'a Submission<'a>,
    /// What it declares, defaults of its namespace included.
    pub declared: &'a Declared<'a>,
    /// The data it uses.
    pub data: &'a [Data<'a>],
    /// Its purposes; every one if it declares none.
    pub purposes: Purposes,
    /// The object itself, for what has no place of its own.
    pub root: At,
    /// When.
    pub now: Timestamp,
}

/// One body of data, with what is known of it.
#[derive(Debug)]
pub struct Data<'a> {
    /// As declared.
    pub source: &'a Source<'a>,
    /// Where it is declared.
    pub at: At,
    /// What is known.
    pub known: Known<'a>,
}

/// What is known of a body of data.
#[derive(Debug)]
pub enum Known<'a> {
    /// Its record.
    Dataset(&'a Dataset),
    /// Its record cannot be read.
    Unreadable(&'a str),
    /// It has no record.
    Unknown,
    /// Only its regions.
    Regions(Box<Facts>),
}

impl<'a> Data<'a> {
    /// The record's name; absent for bare regions.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        match self.source {
            Source::Record { name, .. } => Some(name),
            Source::Regions(_) => None,
        }
    }

    /// What is known, if anything.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        match &self.known {
            Known::Dataset(dataset) => Some(&dataset.facts),
            Known::Regions(facts) => Some(facts),
            Known::Unknown | Known::Unreadable(_) => None,
        }
    }

    /// Its record.
    #[must_use]
    pub fn dataset(&self) -> Option<&'a Dataset> {
        match self.known {
            Known::Dataset(dataset) => Some(dataset),
            _ => None,
        }
    }
}

/// Where the findings of one policy go.
#[derive(Debug)]
pub struct Findings<'f> {
    policy: &'f Policy,
    now: Timestamp,
    found: &'f mut Found,
}

impl<'f> Findings<'f> {
    /// Findings of that policy go there.
    pub fn of(policy: &'f Policy, now: Timestamp, found: &'f mut Found) -> Self {
        Self { policy, now, found }
    }

    /// Notes what is refused later.
    pub fn notice(&mut self, entry: &Entry, dataset: Option<&str>, from: Timestamp, what: Coming) {
        let rule = format!("{}/{}", self.policy.name, entry.name);
        self.found.notices.push(Notice {
            rule,
            dataset: dataset.map(Into::into),
            from,
            what,
        });
    }

    /// Notes that a step is there, and what shows it.
    pub fn shown(&mut self, step: StepType, evidence: Evidence) {
        self.found.evidence.add(step, evidence);
    }

    /// A finding of a pause.
    pub fn pause(&mut self, pause: &Pause, dataset: Option<&str>, at: At, detail: Detail) {
        self.push(Some(&pause.entry.name), pause.entry.actions, dataset, at, detail);
        if let Some(finding) = self.found.list.last_mut() {
            finding.pause = Some(pause.running);
        }
    }

    /// A finding of the policy as a whole.
    pub fn policy(&mut self, dataset: Option<&str>, at: At, detail: Detail) {
        self.push(None, self.policy.actions, dataset, at, detail);
    }

    /// A finding of one of its entries.
    pub fn entry(&mut self, entry: &Entry, dataset: Option<&str>, at: At, detail: Detail) {
        self.push(Some(&entry.name), entry.actions, dataset, at, detail);
    }

    /// A finding with actions of its own.
    pub fn push(
        &mut self,
        entry: Option<&str>,
        actions: EnumSet<Action>,
        dataset: Option<&str>,
        at: At,
        detail: Detail,
    ) {
        let later = self
            .policy
            .deny_from
            .filter(|from| self.now < *from && actions.contains(Action::Deny));
        let actions = if later.is_some() {
            weakened(actions)
        } else {
            actions
        };
        self.found.list.push(Finding {
            policy: self.policy.name.clone(),
            entry: entry.map(Into::into),
            dataset: dataset.map(Into::into),
            field: at,
            actions,
            deny_from: later,
            pause: None,
            detail,
        });
    }
}

/// The same actions with `Warn` for `Deny`.
#[must_use]
pub fn weakened(actions: EnumSet<Action>) -> EnumSet<Action> {
    if actions.contains(Action::Deny) {
        (actions - Action::Deny) | Action::Warn
    } else {
        actions
    }
}

/// The regions of data as a policy sees them.
#[must_use]
pub fn regions<'f>(facts: &'f Facts, policy: &Policy) -> Option<&'f Regions> {
    if policy.believes_region_filter() {
        facts.regions.as_ref()
    } else {
        facts.regions_unfiltered.as_ref()
    }
}

/// Whether data is what an entry is about. What the data leaves unsaid counts as matching.
#[must_use]
pub fn matches(matching: &Match, facts: &Facts, purposes: Purposes, policy: &Policy) -> bool {
    fn unsaid_or<T>(said: Option<T>, test: impl FnOnce(T) -> bool) -> bool {
        said.is_none_or(test)
    }
    matching.purposes.is_none_or(|wanted| wanted.meets(purposes))
        && matching
            .source_categories
            .is_none_or(|wanted| unsaid_or(facts.sources, |it| !it.is_disjoint(wanted)))
        && matching
            .data_categories
            .is_none_or(|wanted| unsaid_or(facts.categories, |it| !it.is_disjoint(wanted)))
        && matching.data_controllers.as_ref().is_none_or(|wanted| {
            unsaid_or(facts.controllers.as_ref(), |ids| {
                ids.iter().any(|id| wanted.contains(id))
            })
        })
        && matching
            .collection_period
            .is_none_or(|wanted| unsaid_or(facts.collection_period, |it| it.overlaps(&wanted)))
        && matching
            .content_period
            .is_none_or(|wanted| unsaid_or(facts.content_period, |it| it.overlaps(&wanted)))
        && matching.regions.as_ref().is_none_or(|wanted| {
            !facts.impersonal && unsaid_or(regions(facts, policy), |it| it.set().overlaps(wanted.set()))
        })
}
