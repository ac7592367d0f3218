//! A record may be tightened, never loosened: what each field may become, and why, is in
//! `docs/decisions/0002-records-only-tighten.md`.
//!
//! All rules stand on an object that is always there (the spec, or a step found by its type), with `has()` on both sides:
//! a rule on an optional field does not run when the field is removed, nor when it is added again.

use kube::core::{Message, Reason, Rule};

/// What to do instead.
const INSTEAD: &str = "make a new record and set withdrawn on this one";

fn rule(expression: impl Into<String>, what: &str, field: &str) -> Rule {
    Rule::new(expression.into())
        .message(Message::Message(format!("{what}; {INSTEAD}")))
        .reason(Reason::FieldValueForbidden)
        .field_path(field)
}

/// Another version is other data.
pub(crate) fn version() -> Rule {
    rule(
        "!has(oldSelf.version) || (has(self.version) && self.version == oldSelf.version)",
        "a version once set stays",
        ".version",
    )
}

/// Another digest is other data.
pub(crate) fn digest() -> Rule {
    rule(
        "!has(oldSelf.digest) || (has(self.digest) && self.digest.sha256 == oldSelf.digest.sha256)",
        "a digest once set stays, since other bytes are other data",
        ".digest",
    )
}

/// A place that is taken out is no longer covered by what the record says.
pub(crate) fn locations() -> Rule {
    rule(
        "!has(oldSelf.locations) || (has(self.locations) && oldSelf.locations.all(x, x in self.locations))",
        "locations may be added, not removed",
        ".locations",
    )
}

/// Any other category may be the one that no pause matches.
pub(crate) fn source_category() -> Rule {
    rule(
        "self.sourceCategory == oldSelf.sourceCategory",
        "the source category stays",
        ".sourceCategory",
    )
}

/// `NoAssertion` is judged as `Present`, so that `Present` is the only way.
pub(crate) fn personal_data() -> Rule {
    rule(
        "self.personalData == oldSelf.personalData || self.personalData == 'Present'",
        "personalData may only become Present",
        ".personalData",
    )
}

/// `Unknown` and `World` meet every region.
pub(crate) fn regions() -> Rule {
    rule(
        "!has(oldSelf.dataSubjects) || !has(oldSelf.dataSubjects.regions) || \
         (has(self.dataSubjects) && has(self.dataSubjects.regions) && \
         (self.dataSubjects.regions.exists(x, x in ['Unknown', 'World']) || \
         oldSelf.dataSubjects.regions.all(x, x in self.dataSubjects.regions)))",
        "regions may be added, not removed",
        ".dataSubjects.regions",
    )
}

/// No age is the strictest.
pub(crate) fn minimum_age() -> Rule {
    rule(
        "!has(self.dataSubjects) || !has(self.dataSubjects.minimumAge) || \
         (has(oldSelf.dataSubjects) && has(oldSelf.dataSubjects.minimumAge) && \
         self.dataSubjects.minimumAge <= oldSelf.dataSubjects.minimumAge)",
        "minimumAge may fall or go, not rise or be added",
        ".dataSubjects.minimumAge",
    )
}

/// No controller matches every pause; another one may match none.
pub(crate) fn data_controller() -> Rule {
    rule(
        "!has(self.dataController) || (has(oldSelf.dataController) && self.dataController.id == oldSelf.dataController.id)",
        "a data controller may go, not change or be added",
        ".dataController",
    )
}

/// What is unsaid matches every pause and satisfies no condition, so that the whole list may go and not come back.
pub(crate) fn may_grow_or_go(field: &str, what: &str) -> Rule {
    rule(
        format!("!has(self.{field}) || (has(oldSelf.{field}) && oldSelf.{field}.all(x, x in self.{field}))"),
        &format!("{what} may be added to the list, not removed; the list may go, not come back"),
        &format!(".{field}"),
    )
}

/// No list means no restriction, so that it may come, shrink, and not go.
pub(crate) fn permitted_purposes() -> Rule {
    rule(
        "!has(oldSelf.permittedPurposes) || (has(self.permittedPurposes) && \
         self.permittedPurposes.all(x, x in oldSelf.permittedPurposes || \
         (x in ['GenerativeAITraining', 'NonGenerativeAITraining'] && 'AITraining' in oldSelf.permittedPurposes) || \
         (x == 'AITraining' && ['GenerativeAITraining', 'NonGenerativeAITraining'].all(y, y in oldSelf.permittedPurposes))))",
        "permitted purposes may be removed, not added, and the list may not go",
        ".permittedPurposes",
    )
}

/// Pauses match periods that overlap, and no period overlaps everything.
pub(crate) fn period(field: &str) -> Rule {
    let (new, old) = (format!("self.{field}"), format!("oldSelf.{field}"));
    rule(
        format!(
            "!has({new}) || (has({old}) && \
             (!has({new}.start) || (has({old}.start) && {new}.start <= {old}.start)) && \
             (!has({new}.end) || (has({old}.end) && {new}.end >= {old}.end)))"
        ),
        &format!("{field} may widen or go, not narrow or be added"),
        &format!(".{field}"),
    )
}

/// What comes from a parent is inherited from it.
pub(crate) fn derived_from() -> Rule {
    rule(
        "!has(oldSelf.derivedFrom) || (has(self.derivedFrom) && oldSelf.derivedFrom.all(x, self.derivedFrom.exists(y, \
         y.name == x.name && (!has(x.digest) || (has(y.digest) && y.digest.sha256 == x.digest.sha256)))))",
        "parents may be added, not removed, and their digests stay",
        ".derivedFrom",
    )
}

/// A step is a claim that lets data pass.
pub(crate) fn steps_added() -> Rule {
    rule(
        "!has(self.steps) || self.steps.all(x, has(oldSelf.steps) && oldSelf.steps.exists(y, y.type == x.type))",
        "steps may be removed, not added",
        ".steps",
    )
}

/// Bytes under a digest cannot have been filtered again. Here rather than on the step, which cannot see the digest.
pub(crate) fn steps_renewed() -> Rule {
    rule(
        "!has(self.digest) || !has(self.steps) || !has(oldSelf.steps) || \
         self.steps.all(x, !has(x.optOutList) || !has(x.optOutList.asOf) || !oldSelf.steps.exists(y, y.type == x.type && \
         has(y.optOutList) && has(y.optOutList.asOf) && y.optOutList.asOf < x.optOutList.asOf))",
        "data with a digest cannot have been filtered again with a newer list",
        ".steps",
    )
}

/// What was removed shortens the list of regions that are inherited.
pub(crate) fn removed_regions() -> Rule {
    rule(
        "!has(self.removedRegions) || (has(oldSelf.removedRegions) && self.removedRegions.all(x, x in oldSelf.removedRegions))",
        "removed regions may become fewer, not more",
        ".removedRegions",
    )
}

/// A step in the future is not believed, so that an earlier moment, or none, can make one count.
pub(crate) fn completed_at() -> Rule {
    rule(
        "!has(oldSelf.completedAt) || (has(self.completedAt) && self.completedAt >= oldSelf.completedAt)",
        "completedAt may move to a later moment, not to an earlier one",
        ".completedAt",
    )
}

/// A newer list is a new run of the filter, which ends later than the one before.
pub(crate) fn as_of() -> Rule {
    rule(
        "!has(self.optOutList) || !has(self.optOutList.asOf) || \
         (has(oldSelf.optOutList) && has(oldSelf.optOutList.asOf) && \
         (self.optOutList.asOf <= oldSelf.optOutList.asOf || \
         (has(self.completedAt) && has(oldSelf.completedAt) && self.completedAt > oldSelf.completedAt)))",
        "a newer asOf needs a newer run of the filter (completedAt later than before), and none cannot be added",
        ".optOutList",
    )
}

/// What is withdrawn stays withdrawn.
pub(crate) fn withdrawn() -> Rule {
    Rule::new(
        "!has(oldSelf.withdrawn) || (has(self.withdrawn) && self.withdrawn.since <= oldSelf.withdrawn.since)",
    )
    .message("a record stays withdrawn, and since may only move to an earlier moment; make a new record")
    .reason(Reason::FieldValueForbidden)
    .field_path(".withdrawn")
}
