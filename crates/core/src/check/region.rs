//! Are all people of the data from regions that a requirement allows?

use super::{Data, Findings, regions};
use crate::finding::Detail;
use crate::policy::{Policy, Requirement};

/// `RegionNotAllowed`, `RegionUnknown`.
pub fn check(policy: &Policy, requirement: &Requirement, data: &Data<'_>, findings: &mut Findings<'_>) {
    let (Some(allowed), Some(facts)) = (&requirement.allowed_regions, data.facts()) else {
        return;
    };
    if facts.impersonal {
        return;
    }
    let detail = match regions(facts, policy) {
        Some(regions) if regions.set().within(allowed.set()) && !regions.is_empty() => return,
        Some(regions) if !regions.set().is_unknown() && !regions.is_empty() => Detail::RegionNotAllowed {
            people: regions.outside(allowed.set()).collect(),
            allowed: allowed.written().to_vec(),
        },
        _ => Detail::RegionUnknown { pause: false },
    };
    findings.entry(&requirement.entry, data.name(), data.at, detail);
}
