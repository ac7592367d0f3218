//! What an object has in common with its root and with what it was.

use std::collections::HashSet;

use crate::declaration::Invalid;
use crate::draft::{Drafted, Identity};
use crate::finding::{Detail, Finding, Unverified};
use crate::path::At;
use crate::reason::Reason;
use crate::vocabulary::RunningWorkloads;

/// Whether an object has a claim or an owner that it had not before.
pub(super) fn claims_more(identity: &Identity<'_>, old: Option<&Drafted<'_>>) -> bool {
    old.is_none_or(|old| {
        let had = &old.identity;
        identity.claims.iter().any(|claim| !had.claims.contains(claim))
            || identity
                .owners
                .iter()
                .any(|owner| !had.owners.iter().any(|it| it.uid == owner.uid))
    })
}

/// What the root itself would be refused for now is forgiven to its child, but never a pause that reaches running
/// workloads. Nor, where the owner takes its parts from templates when it makes the child (`late`), what only the
/// templates can have changed: a step that is gone, or something that cannot be seen any more.
pub(super) fn forgive(list: &mut Vec<Finding<At>>, of_root: &[Finding<At>], late: bool) {
    fn key(it: &Finding<At>) -> (&str, Option<&str>, Option<&str>, Reason) {
        (
            &it.policy,
            it.entry.as_deref(),
            it.dataset.as_deref(),
            it.reason(),
        )
    }
    // Data that was left out was not judged, so nothing about it can be forgiven.
    let unjudged = |it: &Finding<At>| {
        matches!(
            it.detail,
            Detail::DeclarationInvalid(Invalid::TooManyJoined { .. })
        )
    };
    let of_root: HashSet<_> = of_root.iter().map(key).collect();
    list.retain(|it| {
        let pauses = it.pause == Some(RunningWorkloads::BlockNewPods);
        pauses || unjudged(it) || late && is_of_templates(it.reason()) || !of_root.contains(&key(it))
    });
}

/// Whether a change of a template alone brings such findings about.
fn is_of_templates(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::StepMissing | Reason::StepNotFirst | Reason::EvidenceInsufficient | Reason::WorkloadOpaque
    )
}

/// A child that could not be verified inherits nothing; where that is why nothing is declared, it is told.
pub(super) fn tell_unverified(owner: &str, why: Unverified, list: &mut Vec<Finding<At>>) {
    let undeclared: Vec<Finding<At>> = list
        .iter()
        .filter(|it| it.reason() == Reason::DataUndeclared)
        .cloned()
        .collect();
    list.extend(undeclared.into_iter().map(|finding| Finding {
        detail: Detail::OwnerUnverified {
            owner: owner.into(),
            why,
        },
        ..finding
    }));
}
