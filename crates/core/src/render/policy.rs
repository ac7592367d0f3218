//! What a policy's status says of it.

use jiff::Timestamp;
use jiff::civil::Date;

use super::{cut, window};
use crate::dataset::Ancestry;
use crate::policy::{Entry, Match, Policy};
use crate::region::Region;
use crate::vocabulary::Action;

/// Names in a message.
const MAX_NAMES: usize = 3;

/// One sentence for each entry that is in effect or to come, capped.
#[must_use]
pub fn summary(policy: &Policy, now: Timestamp) -> String {
    let current = |entry: &Entry| entry.window.until.is_none_or(|until| now < until);
    let pauses = policy
        .pauses
        .iter()
        .filter(|pause| current(&pause.entry))
        .map(|pause| {
            let when = window(pause.entry.window.from, pause.entry.window.until);
            sentence(&format!(
                "{}: no {}",
                capital(when.trim_start()),
                about(&pause.entry.matching)
            ))
        });
    let requirements = policy
        .requirements
        .iter()
        .filter(|it| current(&it.entry))
        .map(|it| {
            let mut needs: Vec<String> = it.steps.iter().map(|rule| rule.step.to_string()).collect();
            needs.extend(
                it.allowed_regions
                    .as_ref()
                    .map(|regions| format!("people in {} only", cut(regions.written(), 6))),
            );
            needs.extend(it.minimum_age.map(|age| format!("people of {age} and over")));
            needs.extend(
                (!it.excluded_categories.is_empty())
                    .then(|| format!("no {}", cut(it.excluded_categories, 4))),
            );
            needs.extend(
                it.legal_bases
                    .as_ref()
                    .map(|bases| format!("a legal basis among {}", cut(bases.iter(), 6))),
            );
            let needs = if needs.is_empty() {
                "nothing".to_owned()
            } else {
                needs.join("; ")
            };
            sentence(&format!("{} needs {needs}", capital(&about(&it.entry.matching))))
        });
    let sentences: Vec<String> = pauses.chain(requirements).collect();
    if sentences.is_empty() {
        return "No pause and no requirement is in effect or to come.".to_owned();
    }
    let mut text = sentences
        .iter()
        .take(4)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    if sentences.len() > 4 {
        text.push_str(&format!(" And {} more.", sentences.len().saturating_sub(4)));
    }
    match policy
        .deny_from
        .filter(|from| now < *from && policy.actions.contains(Action::Deny))
    {
        Some(from) => format!("Warns until {}, then refuses. {text}", super::instant(from)),
        None => text,
    }
}

/// The regions that are paused now, as the policy writes them.
#[must_use]
pub fn paused_regions(policy: &Policy, now: Timestamp) -> Vec<Region> {
    let in_effect = policy
        .pauses
        .iter()
        .filter(|pause| pause.entry.window.contains(now));
    let written = in_effect.filter_map(|pause| pause.entry.matching.regions.as_ref());
    let mut regions: Vec<Region> = written
        .flat_map(|regions| regions.written().iter().copied())
        .collect();
    regions.sort();
    regions.dedup();
    regions
}

/// Whether a policy is in force as its owner means it, for the condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Ready<'a> {
    /// Decisions are made by it, but for namespaces that it names and the platform team leaves out.
    Enforced { left_out: &'a [Box<str>] },
    /// The newest version cannot be read.
    NotAccepted,
    /// The webhook configuration of this name does not exist.
    WebhookMissing { name: &'a str },
    /// It is not what it must be.
    WebhookAltered {
        name: &'a str,
        alterations: &'a [Alteration],
    },
    /// Whether it exists could not be found out.
    WebhookUnknown { name: &'a str },
    /// The server only observes.
    ObserveMode,
    /// Namespaces that it governs and the API server does not ask about: some of their names, and how many there are.
    NamespacesNotCovered { names: &'a [Box<str>], count: usize },
    /// Replicas that do not decide by this version yet, of so many.
    ReplicasBehind { names: &'a [Box<str>], of: usize },
    /// No replica is ready to decide.
    NoReplicaReady,
    /// The reports of the replicas cannot be seen.
    ReplicasUnknown,
}

/// How an entry of the webhook configuration lets pass what datagate should be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The entry's name.
    pub entry: Box<str>,
    /// What is wrong with it.
    pub what: Altered,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Altered {
    /// It is gone.
    Gone,
    /// Its `failurePolicy` is not Fail.
    Ignores,
    /// Its rules leave out resources: the first, and how many there are.
    Rules(Box<str>, usize),
    /// It has an `objectSelector`.
    Objects,
    /// Its `namespaceSelector` leaves out this namespace, which the server was not told to leave out.
    Namespace(Box<str>),
    /// Its `namespaceSelector` asks for this label.
    Label(Box<str>),
    /// It has a match condition of this name, which datagate does not know.
    Condition(Box<str>),
    /// Its match condition of this name is not the one that was installed.
    Edited(Box<str>),
    /// It asks a Service of this namespace, which is not datagate's.
    Elsewhere(Box<str>),
}

impl Altered {
    fn text(&self, entry: &str) -> String {
        let shown = super::shown;
        match self {
            Self::Gone => format!("{entry} is gone"),
            Self::Ignores => format!("failurePolicy of {entry} is not Fail"),
            Self::Rules(first, count) => {
                let more = match count.saturating_sub(1) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("the rules of {entry} leave out {first}{more}")
            }
            Self::Objects => format!("{entry} has an objectSelector"),
            Self::Namespace(name) => format!("namespaceSelector of {entry} leaves out {}", shown(name)),
            Self::Label(key) => format!("namespaceSelector of {entry} selects by {}", shown(key)),
            Self::Condition(name) => format!("{entry} has a match condition {}", shown(name)),
            Self::Edited(name) => format!("match condition {} of {entry} was edited", shown(name)),
            Self::Elsewhere(namespace) => {
                format!("{entry} asks a Service in namespace {}", shown(namespace))
            }
        }
    }
}

impl Ready<'_> {
    /// The condition's status and reason.
    #[must_use]
    pub const fn verdict(self) -> (&'static str, &'static str) {
        match self {
            Self::Enforced { .. } => ("True", "Enforced"),
            Self::NotAccepted => ("False", "NotAccepted"),
            Self::WebhookMissing { .. } => ("False", "WebhookMissing"),
            Self::WebhookAltered { .. } => ("False", "WebhookAltered"),
            Self::WebhookUnknown { .. } => ("Unknown", "WebhookUnknown"),
            Self::ObserveMode => ("False", "ObserveMode"),
            Self::NamespacesNotCovered { .. } => ("False", "NamespacesNotCovered"),
            Self::ReplicasBehind { .. } => ("False", "ReplicasBehind"),
            Self::NoReplicaReady => ("False", "NoReplicaReady"),
            Self::ReplicasUnknown => ("Unknown", "ReplicasUnknown"),
        }
    }
}

/// What the condition `Ready` says.
#[must_use]
pub fn ready(ready: Ready<'_>) -> String {
    match ready {
        Ready::Enforced { left_out: [] } => "Workloads are decided by this version.".to_owned(),
        Ready::Enforced { left_out } => format!(
            "Workloads are decided by this version, except in namespaces that the platform team leaves out: {}.",
            cut(left_out, MAX_NAMES)
        ),
        Ready::NotAccepted => "This version cannot be read; see Accepted.".to_owned(),
        Ready::WebhookMissing { name } => format!(
            "The ValidatingWebhookConfiguration {name} does not exist, so the API server asks nobody and admits \
             everything. Install the chart again."
        ),
        Ready::WebhookAltered { name, alterations } => format!(
            "The ValidatingWebhookConfiguration {name} was altered, so that workloads may pass unseen: {}. Install the \
             chart again.",
            cut(alterations.iter().map(|it| it.what.text(&it.entry)), 2)
        ),
        Ready::WebhookUnknown { name } => format!(
            "Cannot see the ValidatingWebhookConfiguration {name}. Allow datagate to get, list and watch it; its log has the error."
        ),
        Ready::ObserveMode => {
            "The server only observes: Deny acts as Audit. Set the chart's mode to Enforce.".to_owned()
        }
        Ready::NamespacesNotCovered { names, count } => {
            let more = match count.saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let (namespaces, lack) = match count {
                1 => ("namespace", "lacks"),
                _ => ("namespaces", "lack"),
            };
            format!(
                "{count} governed {namespaces} {lack} the label datagate.dev/workloads: All, so plain workloads there are not seen: {}{more}.",
                names.join(", ")
            )
        }
        Ready::ReplicasBehind { names, of } => format!(
            "{} of {of} ready replicas do not decide by this version yet: {}. If it lasts, their logs say why.",
            names.len(),
            cut(names, MAX_NAMES)
        ),
        Ready::NoReplicaReady => {
            "No replica is ready to decide, so governed workloads are refused. GET /readyz of the pods says what they \
             wait for."
                .to_owned()
        }
        Ready::ReplicasUnknown => {
            "Cannot see by what the replicas decide. Allow datagate to list, watch, create and patch leases in its \
             namespace; its log has the error."
                .to_owned()
        }
    }
}

/// What the condition `Accepted` says of a policy that cannot be read; `in_force`: an older version is.
#[must_use]
pub fn not_accepted(error: &str, in_force: bool) -> String {
    let meanwhile = if in_force {
        "The last version that could be read stays in force."
    } else {
        "Workloads that it reaches are refused until it can be read."
    };
    format!("{error}. {meanwhile}")
}

/// What the condition `Accepted` says of a record that cannot be read.
#[must_use]
pub fn record_not_accepted(error: &str) -> String {
    format!("{error}. Workloads that use it are refused until it can be read.")
}

/// What the condition `Accepted` says of a record with a broken ancestry.
#[must_use]
pub fn ancestry(parent: &str, ancestry: Ancestry) -> String {
    let parent = super::shown(parent);
    match ancestry {
        Ancestry::Missing => format!("It is derived from {parent}, which has no DatasetRecord. Add one."),
        Ancestry::Unreadable => {
            format!(
                "It is derived from {parent}, whose record cannot be read: kubectl describe dsr {parent}."
            )
        }
        Ancestry::Cycle => format!("It is derived from itself by way of {parent}. Correct derivedFrom."),
    }
}

/// What the condition `ReviewDue` says: the pauses that were to be looked at again, or else the next one.
#[must_use]
pub fn reviews<'a>(pauses: impl Iterator<Item = (&'a str, Date)>) -> String {
    cut(pauses.map(|(name, by)| format!("{name} by {by}")), 4)
}

/// "GenerativeAITraining on UserData of people in EEA, GB, CH".
fn about(matching: &Match) -> String {
    let mut text = matching
        .purposes
        .map_or_else(|| "use".to_owned(), |purposes| purposes.to_string());
    let sources = matching
        .source_categories
        .map(|set| cut(set, 4))
        .unwrap_or_else(|| "data".to_owned());
    text.push_str(&format!(" on {sources}"));
    if let Some(categories) = matching.data_categories {
        text.push_str(&format!(" with {}", cut(categories, 4)));
    }
    if let Some(regions) = &matching.regions {
        text.push_str(&format!(
            " of people in {}",
            cut(regions.written().iter().map(|it| region(*it)), 8)
        ));
    }
    if let Some(ids) = &matching.data_controllers {
        text.push_str(&format!(" of {}", cut(ids.iter().map(|id| super::shown(id)), 3)));
    }
    if let Some(period) = matching
        .collection_period
        .and_then(|it| super::period(it.start, it.end))
    {
        text.push_str(&format!(" collected {period}"));
    }
    if let Some(period) = matching
        .content_period
        .and_then(|it| super::period(it.start, it.end))
    {
        text.push_str(&format!(" about {period}"));
    }
    text
}

fn region(region: Region) -> String {
    match region {
        Region::Group(group) => format!("{region} ({} codes)", group.countries().count()),
        _ => region.to_string(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn sentence(text: &str) -> String {
    format!("{text}.")
}
