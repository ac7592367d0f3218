//! Steps: how to add one, and why one that is there does not come first.

use crate::render::shown;
use crate::submission::{Place, Void};
use crate::vocabulary::{Evidence, StepType};

/// How to get a step in, by what the policy accepts.
pub(super) fn add_step(
    step: StepType,
    accepted: enumset::EnumSet<Evidence>,
    pods: usize,
    place: Place,
) -> String {
    let (what, templates) = match place {
        Place::InitContainers => ("an init container", "pod templates"),
        Place::Steps => ("a first step", "tasks"),
    };
    let to = if pods > 1 {
        format!(" to all {pods} {templates} that train")
    } else {
        String::new()
    };
    let container = if accepted.contains(Evidence::TrustedImage) {
        Some(format!("Add {what} with an image the policy trusts{to}"))
    } else if accepted.contains(Evidence::Declared) {
        Some(format!(
            "Add {what}{to} and name it: datagate.dev/steps {step}=NAME"
        ))
    } else {
        None
    };
    match (container, accepted.contains(Evidence::Catalogued)) {
        (Some(container), true) => format!("{container}, or use a dataset whose record lists it"),
        (Some(container), false) => container,
        (None, _) => "Use a dataset whose record lists it".to_owned(),
    }
}

pub(super) fn not_first(
    step: StepType,
    (node, trainer): (&str, &str),
    void: Void,
    way: &[Box<str>],
    place: Place,
    p: &str,
) -> String {
    let in_steps = place == Place::Steps;
    let (how, remedy) = match void {
        Void::Beside if in_steps => ("runs beside", "Make it the first step"),
        Void::Beside => (
            "runs beside",
            "Move it to initContainers, without restartPolicy Always",
        ),
        Void::After if in_steps => ("runs after", "Make it the first step"),
        Void::After => ("runs after", "Move it before in initContainers"),
        Void::Elsewhere if in_steps => (
            "is not waited for by",
            "Wait until it completed, or make it the first step here",
        ),
        Void::Elsewhere => (
            "is not waited for by",
            "Wait until it completed, or add it to initContainers here",
        ),
        Void::Sidecar => (
            "keeps running beside",
            "Remove its restartPolicy, so that it must complete first",
        ),
        Void::ZeroReplicas => (
            "has a count of 0 and so proves nothing for",
            "Give it a count of at least 1",
        ),
        Void::Ephemeral => ("is an ephemeral container beside", "Make it an init container"),
        Void::TrainsEphemeral => (
            "cannot come before the ephemeral container",
            "Train in a pod of its own, behind the step",
        ),
        Void::Conditional => ("runs only under a condition before", "Remove the condition"),
        Void::ContinuesOnFailure => ("may fail unnoticed before", "Let its failure stop the workload"),
        Void::MayBeEmpty => (
            "runs once for each item of a list that may be empty, before",
            "Run it once, without a list",
        ),
        Void::ReadinessOnly => (
            "only has to be ready, not to complete, before",
            "Wait for its completion",
        ),
        Void::SkippedCounts => (
            "may be skipped before",
            "Depend on its success (depends: NAME.Succeeded)",
        ),
        Void::Daemon => (
            "runs as a daemon beside",
            "Remove daemon, so that it must complete",
        ),
        Void::Memoized => (
            "may be taken from a cache before",
            "Remove memoize, so that it runs",
        ),
        Void::CompletesEarly => (
            "counts as completed before all of it succeeded, before",
            "Remove what completes it early",
        ),
    };
    // Steps of Tekton need no name.
    let named = |name: &str| {
        if name.is_empty() {
            String::new()
        } else {
            format!(" ({name})")
        }
    };
    let trainer = if trainer.is_empty() {
        "what trains"
    } else {
        trainer
    };
    let trainer = match (void, way) {
        // One name says nothing that the trainer's own does not.
        (Void::Elsewhere | Void::After, [first, rest @ ..]) if !rest.is_empty() && **first != *node => {
            let way = match rest {
                [] | [_] | [_, _] => way
                    .iter()
                    .map(|name| shown(name))
                    .collect::<Vec<_>>()
                    .join(" -> "),
                [.., last] => format!("{} -> ... -> {}", shown(first), shown(last)),
            };
            format!("{trainer} (it starts by {way})")
        }
        _ => trainer.to_owned(),
    };
    let node = named(node);
    format!("{step}{node} {how} {trainer}, but {p} needs it to complete first. {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_told_all_the_same() {
        assert_eq!(
            not_first(
                StepType::OptOutFilter,
                ("", ""),
                Void::Beside,
                &[],
                Place::InitContainers,
                "p/r"
            ),
            "OptOutFilter runs beside what trains, but p/r needs it to complete first. Move it to initContainers, \
             without restartPolicy Always"
        );
    }
}
