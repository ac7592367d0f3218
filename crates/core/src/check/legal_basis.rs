//! Does the data rest on legal bases that the requirement allows?

use super::{Data, Findings};
use crate::finding::Detail;
use crate::policy::Requirement;

/// `LegalBasisNotAllowed`. A record that states no basis has none that is allowed.
pub fn check(requirement: &Requirement, data: &Data<'_>, findings: &mut Findings<'_>) {
    let (Some(allowed), Some(facts)) = (&requirement.legal_bases, data.facts()) else {
        return;
    };
    if facts.impersonal {
        return;
    }
    let stated = data
        .dataset()
        .map(|dataset| &*dataset.record.legal_bases)
        .unwrap_or_default();
    let bases: Vec<_> = stated
        .iter()
        .filter(|basis| !allowed.contains(basis))
        .cloned()
        .collect();
    if stated.is_empty() || !bases.is_empty() {
        let detail = Detail::LegalBasisNotAllowed {
            bases,
            allowed: allowed.to_vec(),
        };
        findings.entry(&requirement.entry, data.name(), data.at, detail);
    }
}
