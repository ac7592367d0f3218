//! Is any excluded kind of data in it?

use super::{Data, Findings};
use crate::finding::Detail;
use crate::policy::Requirement;

/// `CategoryUnknown`, `CategoryExcluded`.
pub fn check(requirement: &Requirement, data: &Data<'_>, findings: &mut Findings<'_>) {
    let excluded = requirement.excluded_categories;
    let (false, Some(facts)) = (excluded.is_empty(), data.facts()) else {
        return;
    };
    let detail = match facts.categories {
        None => Detail::CategoryUnknown { excluded },
        Some(categories) if !categories.is_disjoint(excluded) => Detail::CategoryExcluded {
            found: categories & excluded,
        },
        Some(_) => return,
    };
    findings.entry(&requirement.entry, data.name(), data.at, detail);
}
