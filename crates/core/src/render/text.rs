//! The words of each finding.

mod step;

use jiff::Timestamp;

use self::step::{add_step, not_first};
use super::invalid::{cause, correction};
use super::{cut, instant, period, shown, window};
use crate::finding::{Because, Detail, Unverified};
use crate::policy::Period;
use crate::purpose::Purposes;
use crate::submission::{Place, Unseen};
use crate::vocabulary::{DeclarationKind, Evidence, list};

/// Record names may have 253 characters; a line has about 240.
fn name(dataset: Option<&str>) -> String {
    dataset.map_or_else(|| "the declared data".to_owned(), shown)
}

/// What a finding says: cause, policy, remedy.
pub(super) fn text(
    detail: &Detail,
    dataset: Option<&str>,
    rule: &str,
    deny_from: Option<Timestamp>,
) -> String {
    let mut text = plain(detail, &name(dataset), &shown(rule));
    if !text.ends_with(['.', '?', ')']) {
        text.push('.');
    }
    match deny_from {
        Some(from) => format!("from {} this is refused: {text}", instant(from)),
        None => text,
    }
}

fn plain(detail: &Detail, r: &str, p: &str) -> String {
    match detail {
        Detail::DataUndeclared { given, accepted } => undeclared(*given, *accepted, p),
        Detail::DeclarationInvalid(invalid) => format!(
            "{}, so {p} cannot be checked. {}",
            cause(invalid),
            correction(invalid)
        ),
        Detail::RegionInvalid { message } => format!("{message} ({p} needs where the people live)"),
        Detail::PurposeUndeclared => format!(
            "{p} assumes every purpose, generative training included. Set the true one, for example NonGenerativeAITraining"
        ),
        Detail::PurposeNotPermitted {
            purposes,
            permitted,
            contact,
        } => {
            let ask = contact
                .as_ref()
                .map_or_else(|| "its owner".to_owned(), |contact| shown(contact));
            format!(
                "{r} permits {permitted}, not {purposes} ({p}). Use a dataset permitted for it, or ask {ask}"
            )
        }
        Detail::PurposeAboveCeiling {
            purposes,
            allowed,
            namespace,
        } => {
            let allows = if allowed.is_empty() {
                "no readable purpose".to_owned()
            } else {
                allowed.to_string()
            };
            format!(
                "namespace {namespace} allows {allows}, not {purposes} ({p}). Set a purpose it allows, or use another namespace"
            )
        }
        Detail::DatasetUnknown { parent_of: None } => {
            format!("no DatasetRecord {r} ({p}). List: kubectl get dsr")
        }
        Detail::DatasetUnknown {
            parent_of: Some(child),
        } => {
            let child = shown(child);
            format!(
                "{child} is derived from {r}, which has no DatasetRecord ({p}). Its owner must add the record or correct derivedFrom"
            )
        }
        Detail::DatasetUnreadable { error } => {
            format!(
                "record {r} is unreadable ({}), so {p} refuses it. Its owner must fix it: kubectl describe dsr {r}",
                shown(error)
            )
        }
        Detail::DatasetWithdrawn {
            since,
            reason,
            superseded_by,
        } => {
            let since = since
                .map(|since| format!(" on {}", instant(since)))
                .unwrap_or_default();
            let reason = reason
                .as_ref()
                .map(|reason| format!(" ({})", shown(reason)))
                .unwrap_or_default();
            let remedy = superseded_by
                .as_ref()
                .map_or_else(|| "another dataset".to_owned(), |other| shown(other));
            format!("{r} was withdrawn{since}{reason}; {p} refuses it. Use {remedy}")
        }
        Detail::DigestMismatch { pinned, recorded } => {
            let (says, remedy) = match recorded {
                Some(hex) => (
                    format!("says {}", short(hex)),
                    "The data changed: review it, then pin the new digest",
                ),
                None => (
                    "has no digest".to_owned(),
                    "Leave the digest out, or ask its owner to record it",
                ),
            };
            format!(
                "{r} is pinned to {}, the record {says} ({p}). {remedy}",
                short(pinned)
            )
        }
        Detail::RegionUnknown { .. } => {
            format!(
                "{r} does not know where its people live, so {p} applies. Use a dataset with known regions"
            )
        }
        Detail::RegionPaused {
            people,
            paused,
            purposes,
            from,
            until,
        } => format!(
            "{r} has people in {}; {p} pauses {}{}{}. Use a dataset without these regions",
            cut(people, 6),
            cut(paused, 4),
            for_purposes(*purposes),
            window(*from, *until)
        ),
        Detail::RegionNotAllowed { people, allowed } => format!(
            "{r} has people in {}; {p} allows only {}. Use a dataset with people from there only",
            cut(people, 6),
            cut(allowed, 8)
        ),
        Detail::DataPaused {
            because,
            purposes,
            from,
            until,
        } => {
            let (what, paused, remedy) = matched(because);
            format!(
                "{r} {what}; {p} pauses {paused}{}{}. {remedy}",
                for_purposes(*purposes),
                window(*from, *until)
            )
        }
        Detail::StepMissing {
            step,
            accepted,
            nothing_trains,
            pods,
            place,
        } => {
            let why = if *nothing_trains {
                "nothing is left that trains"
            } else {
                "nothing does it"
            };
            format!(
                "{r} needs {step} before training ({p}); {why}. {}",
                add_step(*step, *accepted, *pods, *place)
            )
        }
        Detail::StepNotFirst {
            step,
            node,
            trainer,
            void,
            way,
            place,
        } => not_first(*step, (&shown(node), &shown(trainer)), *void, way, *place, p),
        Detail::OptOutListStale {
            step,
            age_days,
            allowed_days,
            accepted,
        } => {
            let how = match age_days {
                Some(days) => format!("{r}'s list for {step} is {days} days old; {p} allows {allowed_days}"),
                None => format!(
                    "the list of {step} for {r} has no date that counts; {p} needs one of the last {allowed_days} days"
                ),
            };
            let image = accepted.contains(Evidence::TrustedImage);
            let remedy = match (accepted.contains(Evidence::Catalogued), image) {
                (true, true) => {
                    "Ask its owner for a new snapshot, or use a trusted image that reads its list at start"
                }
                (true, false) => "Ask its owner for a new snapshot",
                (false, _) => "Use a trusted image that reads its list at start",
            };
            format!("{how}. {remedy}")
        }
        Detail::EvidenceInsufficient {
            step,
            accepted,
            by_name: Some(node),
            ..
        } => format!(
            "{step} ({}) is a pod of its own, for which any pod of its name is taken, so it is only Declared; {p} accepts {}. Run it first in the pod of what trains",
            shown(node),
            list(*accepted)
        ),
        Detail::EvidenceInsufficient {
            step, have, accepted, ..
        } => {
            format!(
                "{r}'s {step} is only {have}; {p} accepts {}. {}",
                list(*accepted),
                add_step(*step, *accepted, 1, Place::InitContainers)
            )
        }
        Detail::AgeUnknown { minimum } => {
            format!(
                "{r} states no lowest age; {p} needs {minimum}. Its owner must set dataSubjects.minimumAge"
            )
        }
        Detail::AgeBelowMinimum { age, minimum } => {
            format!(
                "{r} includes people aged {age}; {p} needs {minimum}. Use a dataset of people of {minimum} and over"
            )
        }
        Detail::CategoryUnknown { excluded } => format!(
            "{r} states no data categories; {p} excludes {}. Its owner must set dataCategories",
            cut(*excluded, 4)
        ),
        Detail::CategoryExcluded { found } => {
            format!(
                "{r} contains {}, excluded by {p}. Use a dataset without them",
                cut(*found, 4)
            )
        }
        Detail::LegalBasisNotAllowed { bases, allowed } => {
            let rests = if bases.is_empty() {
                "states no legal basis".to_owned()
            } else {
                format!("rests on {}", bases_text(bases))
            };
            format!(
                "{r} {rests}; {p} allows {}. Use another dataset, or ask the contact",
                bases_text(allowed)
            )
        }
        Detail::OwnerUnverified { owner, why } => {
            let why = match why {
                Unverified::Requester => "did not make this object itself",
                Unverified::Gone => "does not exist with that UID",
                Unverified::Unreachable => "could not be read in time",
                Unverified::TooLong => "has too many owners above it",
            };
            format!(
                "{owner} {why}, so nothing is inherited from it ({p}). Put the keys on the object or its pod template"
            )
        }
        Detail::ClaimForged { operator, by } => format!(
            "{by} makes {operator} take this for its own, which it did not make ({p}). Remove it, or let {operator} make the object"
        ),
        Detail::PolicyUnreadable { error } => {
            format!(
                "policy {p} is unreadable ({}); not your fault. Its owner must fix it: kubectl describe dsp {p}",
                shown(error)
            )
        }
        Detail::WorkloadUnreadable { what, .. } => {
            format!(
                "{what}, so {p} cannot be checked. Correct it; if the API server accepts it, report a bug"
            )
        }
        Detail::WorkloadOpaque { reference, why } => {
            let (why, remedy) = unseen(*why);
            format!("{reference} {why}, so {p} cannot be checked. {remedy}")
        }
    }
}

fn short(hex: &str) -> &str {
    hex.get(..8).unwrap_or(hex)
}

fn for_purposes(purposes: Purposes) -> String {
    if purposes.is_empty() {
        String::new()
    } else {
        format!(" for {}", cut(purposes.words(), 2))
    }
}

fn undeclared(
    given: Option<DeclarationKind>,
    accepted: enumset::EnumSet<DeclarationKind>,
    p: &str,
) -> String {
    let set = if accepted.contains(DeclarationKind::Records) {
        "Set record names (kubectl get dsr), comma-separated"
    } else if accepted.contains(DeclarationKind::Regions) {
        "Set datagate.dev/regions to where its people live, for example US, CA"
    } else {
        "Set datagate.dev/datasets to none, if it uses none"
    };
    match given {
        None => format!("{p} governs this workload and needs to know its data. {set}"),
        Some(DeclarationKind::Records) => format!("{p} does not accept record names. {set}"),
        Some(DeclarationKind::Regions) => format!("{p} does not accept bare regions. {set}"),
        Some(DeclarationKind::None) => format!("{p} does not accept none. {set}"),
    }
}

/// By what a pause matched: what the data is, what is paused, and what to do.
fn matched(because: &Because) -> (String, String, &'static str) {
    const OTHER: &str = "Use data from outside that period";
    let told = |said: &Option<Period>| said.and_then(|it| period(it.start, it.end));
    let paused = |it: &Period| period(it.start, it.end).unwrap_or_default();
    let (what, of, remedy) = match because {
        Because::Collected { said, paused: of } => match told(said) {
            Some(said) => (
                format!("was collected {said}"),
                format!("what was collected {}", paused(of)),
                OTHER,
            ),
            None => (
                "does not say when it was collected".to_owned(),
                format!("what was collected {}", paused(of)),
                "Its owner must set collectionPeriod",
            ),
        },
        Because::Content { said, paused: of } => match told(said) {
            Some(said) => (format!("covers {said}"), format!("content {}", paused(of)), OTHER),
            None => (
                "does not say what time it covers".to_owned(),
                format!("content {}", paused(of)),
                "Its owner must set contentPeriod",
            ),
        },
        Because::Categories(set) if set.is_empty() => (
            "states no data categories".to_owned(),
            "some of them".to_owned(),
            "Its owner must set dataCategories",
        ),
        Because::Categories(set) => (
            format!("contains {}", cut(*set, 4)),
            "it".to_owned(),
            "Use data without it",
        ),
        Because::Sources(set) if set.is_empty() => (
            "states no source category".to_owned(),
            "some of them".to_owned(),
            "Use data of a known source",
        ),
        Because::Sources(set) => (
            format!("is {}", cut(*set, 4)),
            "such data".to_owned(),
            "Use data of another source",
        ),
        Because::Controllers(ids) if ids.is_empty() => (
            "names no data controller".to_owned(),
            "data of some".to_owned(),
            "Its owner must set dataController",
        ),
        Because::Controllers(ids) => (
            format!("belongs to {}", cut(ids.iter().map(|id| shown(id)), 3)),
            "its data".to_owned(),
            "Use data of others",
        ),
        Because::Purpose => (
            "is no exception".to_owned(),
            "all data".to_owned(),
            "Wait, or ask the contact",
        ),
    };
    (what, of, remedy)
}

/// Why something cannot be seen, and what to do.
fn unseen(why: Unseen) -> (&'static str, &'static str) {
    match why {
        Unseen::NotFound => ("does not exist", "Create it first"),
        Unseen::Unreachable => ("could not be read in time", "Try again"),
        Unseen::TooFar => (
            "leads too far to be followed",
            "Nest fewer objects and references",
        ),
        Unseen::Unreadable => ("is not what its kind says", "Correct it"),
        Unseen::UnknownKind => (
            "is of a kind that datagate does not read",
            "Use one that datagate coverage lists as judged",
        ),
        Unseen::Elsewhere => ("is not in the cluster", "Refer to an object of the cluster"),
        Unseen::Late => ("is completed only when it runs", "Write it out"),
        Unseen::NotRead => (
            "is text that datagate does not read",
            "Write it out in the object itself",
        ),
        Unseen::Encoded => ("is encoded", "Train in a kind that shows what runs"),
        Unseen::Status => (
            "was written by somebody else than the controller, which runs by it",
            "Submit it without status",
        ),
    }
}

/// Legal bases with GDPR's words for them, as DPV names them.
fn bases_text(bases: &[Box<str>]) -> String {
    let word = |basis: &str| match basis {
        "A6-1-a" => Some("consent"),
        "A6-1-b" => Some("contract"),
        "A6-1-c" => Some("legal obligation"),
        "A6-1-d" => Some("vital interests"),
        "A6-1-e" => Some("public task"),
        "A6-1-f" => Some("legitimate interests"),
        _ => None,
    };
    cut(
        bases
            .iter()
            .map(|basis| word(basis).map_or_else(|| shown(basis), |word| format!("{basis} ({word})"))),
        3,
    )
}
