//! The decision: one function for the webhook, the command line, the benches and the tests.

use std::collections::HashMap;
use std::sync::Arc;

use enumset::EnumSet;
use jiff::Timestamp;

use crate::check::{self, Case, Data, Findings, Known};
use crate::dataset::Facts;
use crate::declaration::{Declared, Source, Use};
use crate::finding::{Detail, Finding, Found};
use crate::path::At;
use crate::policy::Policy;
use crate::purpose::Purposes;
use crate::submission::Submission;
use crate::vocabulary::{Action, WorkloadScope};
use crate::world::{PolicySlot, RecordSlot, World};

/// What is decided on: a workload with all that is joined to it.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The workload.
    pub submission: &'a Submission<'a>,
    /// Its declaration, joined with its root's and its namespace's defaults.
    pub declared: &'a Declared<'a>,
    /// The policies that select its namespace and reach it.
    pub policies: &'a [&'a Arc<PolicySlot>],
    /// Whether its kind exists for training.
    pub trains: bool,
    /// The purposes its namespace allows.
    pub ceiling: Option<Ceiling<'a>>,
    /// The field of the object itself.
    pub root: At,
}

/// The purposes that a namespace allows its workloads.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// What it allows; nothing if that cannot be read.
    pub allowed: Purposes,
}

/// Whether a policy that selects the namespace governs the workload.
#[must_use]
pub fn governs(slot: &PolicySlot, trains: bool, has_keys: bool, accelerated: bool) -> bool {
    match slot.reach().map(|reach| reach.workloads) {
        Some(WorkloadScope::TrainingKinds) => trains || has_keys,
        Some(WorkloadScope::Accelerated) => trains || has_keys || accelerated,
        Some(WorkloadScope::All) | None => true,
    }
}

/// Judges a workload by the policies that govern it. Pure: the same inputs, the same findings, in the same order.
#[must_use]
pub fn decide<'a>(subject: &Subject<'a>, world: &'a World, now: Timestamp) -> Found {
    let declared = subject.declared;
    let data: Vec<Data<'a>> = declared.uses.iter().map(|it| data(it, world)).collect();
    let purpose_declared = !declared.purposes.is_empty();
    let purposes = match declared.purposes {
        // A kind that exists for training trains, whatever else it says.
        said if purpose_declared && subject.trains && !said.trains() => said.union(Purposes::training()),
        said if purpose_declared => said,
        _ => Purposes::ALL,
    };
    let submission = subject.submission;
    let case = Case {
        submission,
        declared,
        data: &data,
        purposes,
        root: subject.root,
        now,
    };
    let mut found = Found::default();
    let mut asks = check::step::Asks::default();
    for slot in subject.policies {
        match &slot.policy {
            Some(policy) => by_policy(&case, policy, subject.ceiling, &mut asks, &mut found),
            None => found.list.push(unreadable(slot, subject.root)),
        }
    }
    asks.resolve(&case, &mut found);
    if !purpose_declared {
        purpose_undeclared(&case, subject.policies, &mut found);
    }
    found
}

fn by_policy<'a>(
    case: &Case<'a>,
    policy: &'a Policy,
    ceiling: Option<Ceiling<'_>>,
    asks: &mut check::step::Asks<'a>,
    found: &mut Found,
) {
    let mut findings = Findings::of(policy, case.now, found);
    check::declaration::check(case, policy, &mut findings);
    for opaque in &case.submission.opaque {
        let detail = Detail::WorkloadOpaque {
            reference: (*opaque.reference).into(),
            why: opaque.why,
        };
        findings.policy(None, opaque.at, detail);
    }
    if let Some(ceiling) = ceiling.filter(|it| !case.purposes.within(it.allowed)) {
        let detail = Detail::PurposeAboveCeiling {
            purposes: case.purposes.beyond(ceiling.allowed),
            allowed: ceiling.allowed,
            namespace: ceiling.namespace.into(),
        };
        findings.policy(None, case.root, detail);
    }
    for data in case.data {
        check::dataset::check(data, &mut findings);
        check::purpose::check(case, data, &mut findings);
        check::pause::check(case, policy, data, &mut findings);
        let Some(facts) = data.facts() else { continue };
        for requirement in &policy.requirements {
            let entry = &requirement.entry;
            if !entry.window.contains(case.now)
                || !check::matches(&entry.matching, facts, case.purposes, policy)
            {
                continue;
            }
            check::region::check(policy, requirement, data, &mut findings);
            check::age::check(requirement, data, &mut findings);
            check::category::check(requirement, data, &mut findings);
            check::legal_basis::check(requirement, data, &mut findings);
            check::step::check(case, policy, requirement, data, asks, &mut findings);
        }
    }
}

/// A policy that nobody can read and that was never readable refuses what its readable selectors reach.
#[must_use]
pub fn unreadable(slot: &PolicySlot, at: At) -> Finding<At> {
    Finding {
        policy: slot.name.clone(),
        entry: None,
        dataset: None,
        field: at,
        actions: EnumSet::only(Action::Deny),
        deny_from: None,
        pause: None,
        detail: Detail::PolicyUnreadable {
            error: slot.error.clone().unwrap_or_default(),
        },
    }
}

fn data<'a>(it: &'a Use<'a>, world: &'a World) -> Data<'a> {
    let known = match &it.source {
        Source::Record { name, .. } => match world.record(name) {
            Some(RecordSlot::Ready(dataset)) => Known::Dataset(dataset),
            Some(RecordSlot::Unreadable(error)) => Known::Unreadable(error),
            None => Known::Unknown,
        },
        Source::Regions(regions) => Known::Regions(Box::new(Facts {
            impersonal: false,
            regions: Some(regions.clone()),
            regions_unfiltered: Some(regions.clone()),
            sources: None,
            categories: None,
            controllers: None,
            minimum_age: None,
            content_period: None,
            collection_period: None,
        })),
    };
    Data {
        source: &it.source,
        at: it.at,
        known,
    }
}

/// That no purpose is declared is told with another finding of the policy that depended on it, or as a warning.
fn purpose_undeclared(case: &Case<'_>, policies: &[&Arc<PolicySlot>], found: &mut Found) {
    let mut strictest: HashMap<Box<str>, (EnumSet<Action>, Option<Timestamp>)> = HashMap::new();
    for it in &found.list {
        let known = strictest
            .entry(it.policy.clone())
            .or_insert((it.actions, it.deny_from));
        if it.action() > known.0.iter().max() {
            *known = (it.actions, it.deny_from);
        }
    }
    // The ceiling is the namespace's, so it is the same for every policy.
    let by_ceiling = found
        .list
        .iter()
        .any(|it| matches!(it.detail, Detail::PurposeAboveCeiling { .. }));
    for policy in policies.iter().filter_map(|slot| slot.policy.as_deref()) {
        let depends = |data: &Data<'_>| {
            let by_entry = data.facts().is_some_and(|facts| {
                let asks = policy.entries().filter(|entry| entry.matching.purposes.is_some());
                asks.filter(|entry| entry.window.contains(case.now))
                    .any(|entry| check::matches(&entry.matching, facts, case.purposes, policy))
            });
            by_entry
                || data
                    .dataset()
                    .is_some_and(|dataset| dataset.record.permitted.is_some())
        };
        let beside = strictest.get(&*policy.name).copied();
        if !by_ceiling && !case.data.iter().any(depends) {
            continue;
        }
        let (actions, deny_from) = beside.unwrap_or((check::weakened(policy.actions), None));
        found.list.push(Finding {
            policy: policy.name.clone(),
            entry: None,
            dataset: None,
            field: case.root,
            actions,
            deny_from,
            pause: None,
            detail: Detail::PurposeUndeclared,
        });
    }
}

/// The order in which findings are told: by reason, dataset, field, policy, entry, and then by what they say.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by_cached_key(|it| {
        let place = (it.reason(), it.dataset.clone(), it.field.clone());
        (
            place,
            it.policy.clone(),
            it.entry.clone(),
            crate::render::message(it),
        )
    });
}
