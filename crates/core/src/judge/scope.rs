//! What is governed, and what is not looked at.

use std::sync::Arc;

use crate::decide::governs;
use crate::review::Review;
use crate::submission::Submission;
use crate::workload::{Class, KnownKind, ReadError};
use crate::world::PolicySlot;

/// A version whose shape nobody has read may hold its templates anywhere, so nothing is guessed.
pub(super) fn known_version(kind: KnownKind, review: &Review<'_>) -> Result<(), ReadError> {
    let version = review.kind.version.as_str();
    if kind.version(version).is_some() {
        return Ok(());
    }
    let (info, known) = (kind.info(), kind.info().versions.join(", "));
    Err(ReadError {
        field: "apiVersion".to_owned(),
        what: format!("version {version} of {} is not read, only {known}", info.kind),
    })
}

/// The policies that govern any of a family: the object, what it was, and its verified ancestors.
pub(super) fn governed_by<'p, 's, 'x: 's>(
    slots: &[&'p Arc<PolicySlot>],
    family: impl IntoIterator<Item = (KnownKind, &'s Submission<'x>)>,
) -> Vec<&'p Arc<PolicySlot>> {
    let attributes: Vec<(bool, bool, bool)> = family
        .into_iter()
        .filter(|(kind, it)| {
            // A template runs nothing, and what is empty runs nothing either.
            let inert = kind.info().class == Class::Template || it.is_empty() && !kind.info().trains();
            !it.keys.is_empty() || !inert
        })
        .map(|(kind, it)| (kind.info().trains(), !it.keys.is_empty(), it.accelerated()))
        .collect();
    let governed = |slot: &&&Arc<PolicySlot>| {
        attributes
            .iter()
            .any(|(trains, has_keys, accelerated)| governs(slot, *trains, *has_keys, *accelerated))
    };
    slots.iter().filter(governed).copied().collect()
}

pub(super) fn governing(slots: &[&Arc<PolicySlot>]) -> Vec<Arc<PolicySlot>> {
    slots.iter().map(|slot| Arc::clone(slot)).collect()
}
