//! The statuses, pure: from a snapshot, some facts and a moment in time.

use std::collections::{BTreeMap, HashMap};

use datagate_api::v1alpha1::{PolicyStatus, RecordStatus};
use datagate_core::policy::Policy;
use datagate_core::render::{self, Ready};
use datagate_core::vocabulary::WorkloadScope;
use datagate_core::world::{PolicySlot, RecordSlot, World};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::facts::{Facts, Webhook};
use super::replicas::Standing;

/// The label by which the API server is told to ask about every workload of a namespace.
const WORKLOADS_LABEL: &str = "datagate.dev/workloads";

/// The names of namespaces in a message.
const MAX_NAMES: usize = 3;

/// How each policy meets the namespaces.
#[derive(Debug, Default)]
pub struct Survey<'w>(HashMap<&'w str, Coverage>);

/// How a policy meets the namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many it governs.
    pub governed: usize,
    /// How many it governs in full and the API server does not ask about in full.
    pub uncovered: usize,
    /// The first of these.
    pub names: Vec<Box<str>>,
    /// Those that it names by a selector of its own and that the platform team leaves out.
    pub left_out: Vec<Box<str>>,
}

impl<'w> Survey<'w> {
    /// Looks at all namespaces once. The webhook is never asked about `excluded` ones, so they need not be covered.
    #[must_use]
    pub fn of(world: &'w World, excluded: &[String]) -> Self {
        let namespaces: BTreeMap<_, _> = world.namespaces().collect();
        let mut survey = Self::default();
        for (name, namespace) in namespaces {
            let labelled = namespace
                .labels
                .get(WORKLOADS_LABEL)
                .is_some_and(|value| **value == *"All");
            let left_out = excluded.iter().any(|it| it == name);
            for slot in world.governing(name).into_iter().flatten() {
                let coverage = survey.0.entry(&slot.name).or_default();
                coverage.governed = coverage.governed.saturating_add(1);
                if left_out {
                    // Who selects everything does not expect to govern the platform itself.
                    let meant = slot
                        .reach()
                        .is_some_and(|reach| !reach.namespaces.requirements.is_empty());
                    if meant {
                        coverage.left_out.push(name.into());
                    }
                    continue;
                }
                let wants_all = slot
                    .reach()
                    .is_some_and(|reach| reach.workloads == WorkloadScope::All);
                if wants_all && !labelled {
                    coverage.uncovered = coverage.uncovered.saturating_add(1);
                    if coverage.names.len() < MAX_NAMES {
                        coverage.names.push(name.into());
                    }
                }
            }
        }
        survey
    }

    /// Of one policy.
    #[must_use]
    pub fn coverage(&self, policy: &str) -> Coverage {
        self.0.get(policy).cloned().unwrap_or_default()
    }
}

/// The status of a policy whose newest version has this generation.
#[must_use]
pub fn policy_status(
    slot: &PolicySlot,
    generation: i64,
    coverage: &Coverage,
    facts: &Facts,
    now: Timestamp,
) -> PolicyStatus {
    let condition = |kind: &str, status: &str, reason: &str, message: String| {
        condition(kind, status, reason, message, generation, now)
    };
    let accepted = match &slot.error {
        None => condition(
            "Accepted",
            "True",
            "Valid",
            "The policy is understood.".to_owned(),
        ),
        Some(error) => condition(
            "Accepted",
            "False",
            "InvalidSpec",
            render::not_accepted(error, slot.policy.is_some()),
        ),
    };
    let ready = readiness(slot, coverage, facts);
    let (status, reason) = ready.verdict();
    let mut conditions = vec![accepted, condition("Ready", status, reason, render::ready(ready))];
    let policy = slot.policy.as_deref();
    if let Some((due, message)) = policy.and_then(|policy| review(policy, now)) {
        let (status, reason) = if due {
            ("True", "ReviewDue")
        } else {
            ("False", "NotYetDue")
        };
        conditions.push(condition("ReviewDue", status, reason, message));
    }
    PolicyStatus {
        observed_generation: Some(generation),
        // Of the version that is in force.
        summary: policy.map(|policy| render::summary(policy, now)),
        paused_regions: policy
            .map(|policy| render::paused_regions(policy, now))
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect(),
        next_change: policy.and_then(|policy| policy.next_change(now)).map(Time),
        governed_namespaces: i64::try_from(coverage.governed).ok(),
        conditions,
    }
}

/// The status of a record whose newest version has this generation.
#[must_use]
pub fn record_status(slot: &RecordSlot, generation: i64, now: Timestamp) -> RecordStatus {
    let (status, reason, message) = match slot {
        RecordSlot::Unreadable(error) => ("False", "InvalidSpec", render::record_not_accepted(error)),
        RecordSlot::Ready(dataset) => match &dataset.broken {
            Some((parent, ancestry)) => ("False", "DerivedFromBroken", render::ancestry(parent, *ancestry)),
            None => ("True", "Valid", "The record is understood.".to_owned()),
        },
    };
    RecordStatus {
        observed_generation: Some(generation),
        conditions: vec![condition("Accepted", status, reason, message, generation, now)],
    }
}

/// The next moment at which the status of a policy may be another one without anybody changing anything.
#[must_use]
pub fn next_change(policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let reviews = policy
        .pauses
        .iter()
        .filter_map(|pause| midnight(pause.review_by?));
    reviews
        .chain(policy.next_change(now))
        .filter(|at| *at > now)
        .min()
}

/// The first of what is missing, worst first: what lets everything pass, what lets some of it pass, and what refuses or
/// delays.
fn readiness<'a>(slot: &PolicySlot, coverage: &'a Coverage, facts: &'a Facts) -> Ready<'a> {
    match &facts.webhook {
        _ if slot.error.is_some() => return Ready::NotAccepted,
        Webhook::Missing { name } => return Ready::WebhookMissing { name },
        Webhook::Altered { name, alterations } => return Ready::WebhookAltered { name, alterations },
        Webhook::Unknown { .. } | Webhook::Present | Webhook::NotLookedFor => {}
    }
    if facts.observe {
        return Ready::ObserveMode;
    }
    if coverage.uncovered > 0 {
        return Ready::NamespacesNotCovered {
            names: &coverage.names,
            count: coverage.uncovered,
        };
    }
    match &facts.standing {
        Standing::Known { counting: 0, .. } => return Ready::NoReplicaReady,
        Standing::Known { counting, behind } => {
            if let Some(names) = behind.get(&slot.name) {
                return Ready::ReplicasBehind { names, of: *counting };
            }
        }
        Standing::NotLookedFor | Standing::Unknown => {}
    }
    match &facts.webhook {
        Webhook::Unknown { name } => Ready::WebhookUnknown { name },
        _ if facts.standing == Standing::Unknown => Ready::ReplicasUnknown,
        _ => Ready::Enforced {
            left_out: &coverage.left_out,
        },
    }
}

/// Whether a pause in effect is to be looked at again, and which; nothing if no pause names a day.
fn review(policy: &Policy, now: Timestamp) -> Option<(bool, String)> {
    let pauses = policy.pauses.iter();
    let mut reviews: Vec<_> = pauses
        .filter(|pause| pause.entry.window.until.is_none_or(|until| now < until))
        .filter_map(|pause| Some((&*pause.entry.name, pause.review_by?)))
        .collect();
    reviews.sort_by_key(|(_, by)| *by);
    let next = *reviews.first()?;
    reviews.retain(|(_, by)| midnight(*by).is_some_and(|from| from <= now));
    let due = !reviews.is_empty();
    if !due {
        reviews.push(next);
    }
    Some((due, render::reviews(reviews.into_iter())))
}

fn midnight(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn condition(
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    generation: i64,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: Some(generation),
        // The API has whole seconds.
        last_transition_time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    }
}
