//! Does the workload say what data it uses, in a way that can be read and that the policy accepts?

use enumset::EnumSet;

use super::{Case, Findings, weakened};
use crate::declaration::{Invalid, Source};
use crate::finding::Detail;
use crate::policy::Policy;
use crate::vocabulary::{DeclarationKind, Undeclared};

/// `DeclarationInvalid`, `RegionInvalid`, `DataUndeclared`.
pub fn check(case: &Case<'_>, policy: &Policy, findings: &mut Findings<'_>) {
    for problem in &case.declared.problems {
        let detail = match &problem.what {
            Invalid::Region { message } => Detail::RegionInvalid {
                message: message.clone(),
            },
            other => Detail::DeclarationInvalid(other.clone()),
        };
        findings.policy(None, problem.at, detail);
    }
    let given = given(case);
    if given.is_disjoint(policy.accepted_declarations) {
        let actions = match policy.undeclared {
            Undeclared::Deny => policy.actions,
            Undeclared::Warn => weakened(policy.actions),
            Undeclared::Ignore => return,
        };
        // An unreadable declaration is told as such; that nothing is declared would be said twice.
        if given.is_empty() && !case.declared.problems.is_empty() {
            return;
        }
        let at = case
            .data
            .first()
            .map(|data| data.at)
            .or(case.declared.none)
            .unwrap_or(case.root);
        let detail = Detail::DataUndeclared {
            given: given.iter().next(),
            accepted: policy.accepted_declarations,
        };
        findings.push(None, actions, None, at, detail);
    }
}

fn given(case: &Case<'_>) -> EnumSet<DeclarationKind> {
    let of_data = case.declared.uses.iter().map(|it| match it.source {
        Source::Record { .. } => DeclarationKind::Records,
        Source::Regions(_) => DeclarationKind::Regions,
    });
    of_data
        .chain(case.declared.none.map(|_| DeclarationKind::None))
        .collect()
}
