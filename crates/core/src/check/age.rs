//! Are all people of the data old enough?

use super::{Data, Findings};
use crate::finding::Detail;
use crate::policy::Requirement;

/// `AgeUnknown`, `AgeBelowMinimum`.
pub fn check(requirement: &Requirement, data: &Data<'_>, findings: &mut Findings<'_>) {
    let (Some(minimum), Some(facts)) = (requirement.minimum_age, data.facts()) else {
        return;
    };
    let detail = match facts.minimum_age {
        _ if facts.impersonal => return,
        None => Detail::AgeUnknown { minimum },
        Some(age) if age < minimum => Detail::AgeBelowMinimum { age, minimum },
        Some(_) => return,
    };
    findings.entry(&requirement.entry, data.name(), data.at, detail);
}
