//! The reasons: the one table from which the enum, its spelling and `docs/reasons.md` come.

use std::fmt;

macro_rules! reasons {
    ($($name:ident: $error:ident, $title:literal, $cause:literal, $remedy:literal;)+) => {
        /// A stable reason. Users and tests rely on the spelling.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $(#[doc = $title] $name),+ }

        impl Reason {
            /// All of them, in the order in which findings are told.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What the docs say.
            #[must_use]
            pub const fn page(self) -> Page {
                match self {
                    $(Self::$name => Page { error: ErrorType::$error, title: $title, cause: $cause, remedy: $remedy }),+
                }
            }
        }
    };
}

/// What the docs say about a reason.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// How Kubernetes would call it.
    pub error: ErrorType,
    /// One line.
    pub title: &'static str,
    /// What brings it about.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// The field errors of `k8s.io/apimachinery`, whose words open each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Something that must be there is not.
    Required,
    /// A value cannot be read.
    Invalid,
    /// A name that leads nowhere.
    NotFound,
    /// Readable, and not allowed.
    Forbidden,
}

impl ErrorType {
    /// Kubernetes' words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotFound => "Not found",
            Self::Forbidden => "Forbidden",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

reasons! {
    DataUndeclared: Required, "The workload does not say what data it uses.",
        "A policy governs the workload and it declares no data in a way the policy accepts: no `datagate.dev/datasets` on the object, its templates or its containers' env, and no default on the namespace.",
        "Set `datagate.dev/datasets` to the names of the records it uses (`kubectl get dsr`), comma-separated.";
    DeclarationInvalid: Invalid, "A `datagate.dev/` key cannot be read.",
        "A key does not exist, a value is empty, too long or not a literal, or `none` stands beside names.",
        "Correct the key or value that the message names; it says what was probably meant.";
    PurposeUndeclared: Required, "The workload does not say what it is for.",
        "Without `datagate.dev/purpose` every purpose is assumed, generative training included. Told beside another finding, or alone as a warning.",
        "Set `datagate.dev/purpose` to what the workload really does.";
    PurposeNotPermitted: Forbidden, "The data may not be used for this purpose.",
        "The record's `permittedPurposes` or the namespace's `datagate.dev/allowed-purposes` do not hold one of the workload's purposes.",
        "Use a dataset that permits the purpose, or ask the record's contact.";
    DatasetUnknown: NotFound, "There is no such record.",
        "A name in `datagate.dev/datasets`, or in a record's `derivedFrom`, belongs to no DatasetRecord.",
        "Correct the name (`kubectl get dsr`), or ask data governance to catalogue the dataset.";
    DatasetUnreadable: Invalid, "The record cannot be read.",
        "The record, or one it is derived from, does not parse, or is derived from itself.",
        "Its owner must correct it: `kubectl describe dsr NAME` says what is wrong.";
    DatasetWithdrawn: Forbidden, "The record was withdrawn.",
        "Its owner set `withdrawn`, and the date has come.",
        "Use the record that supersedes it, which the message names if there is one.";
    DigestMismatch: Invalid, "The pinned digest is not the record's.",
        "The workload names the dataset as `name@sha256:...`, and the record has another digest, or none.",
        "Review what changed in the data, then pin the new digest.";
    RegionInvalid: Invalid, "A region is not a region.",
        "A value in `datagate.dev/regions` is no ISO 3166 code and no known group; often a cloud region, or `UK` for `GB`.",
        "Write where the people live as ISO codes; the message suggests one.";
    RegionUnknown: Forbidden, "The record does not know where its people live.",
        "Its regions are `Unknown`, which meets every region, and the policy depends on regions.",
        "Use a dataset with known regions, or have its owner find them out.";
    RegionPaused: Forbidden, "People of a paused region are in the data.",
        "A pause that names regions matches the data and is in effect.",
        "Use a dataset without people from there.";
    RegionNotAllowed: Forbidden, "People of regions that are not allowed are in the data.",
        "A requirement lists `allowedRegions`, and the data holds people from elsewhere.",
        "Use a dataset with people of the allowed regions only.";
    DataPaused: Forbidden, "The data itself is paused.",
        "A pause matches by something other than region: when it was collected, what it holds, whose it is.",
        "Use a dataset outside what is paused.";
    StepMissing: Required, "A step that must come before training is not there.",
        "Nothing in the workload and nothing in the record does the step; or nothing is left that trains.",
        "Add an init container with a trusted image, or use a dataset whose record lists the step, as the policy accepts.";
    StepNotFirst: Invalid, "The step is there, but not provably before training.",
        "The container that does it runs beside or after what trains, keeps running, or may not run at all.",
        "Move it to `initContainers`, before what trains, without `restartPolicy: Always`.";
    OptOutListStale: Forbidden, "The opt-out list is too old.",
        "The list's date is further back than `maxListAgeDays` at the start, in the future, or not known.",
        "Ask the dataset's owner for a version filtered with a newer list.";
    EvidenceInsufficient: Forbidden, "The step is shown by evidence that is not accepted.",
        "The step was done or is in the workload, but the policy accepts other evidence for it.",
        "Provide the evidence that the message names.";
    AgeUnknown: Forbidden, "The record states no lowest age.",
        "A requirement has a `minimumAge`, and the record, or one it is derived from, does not say.",
        "Its owner must set `dataSubjects.minimumAge`.";
    AgeBelowMinimum: Forbidden, "People below the age are in the data.",
        "The record's lowest age is below the requirement's `minimumAge`.",
        "Use a dataset of people of that age.";
    CategoryUnknown: Forbidden, "The record states no data categories.",
        "A requirement excludes categories, and the record, or one it is derived from, does not say what it holds.",
        "Its owner must set `dataCategories`.";
    CategoryExcluded: Forbidden, "Excluded categories are in the data.",
        "A requirement excludes a category that the record, or one it is derived from, lists.",
        "Use a dataset without it.";
    LegalBasisNotAllowed: Forbidden, "The data rests on a legal basis that is not allowed.",
        "A requirement lists `legalBases`, and the record has another one, or states none.",
        "Use a dataset that rests on an allowed basis, or ask the policy's contact.";
    OwnerUnverified: Forbidden, "The owner could not be verified.",
        "The object names a controller, but it was not made by that controller's account, or the controller is not there with that UID. It inherits nothing and is judged alone.",
        "Put the declaration on the object itself, or on the pod template of its owner.";
    PolicyUnreadable: Forbidden, "The policy cannot be read.",
        "The policy object does not parse, and there is no earlier version to go by.",
        "Not the engineer's fault: its owner must correct it, `kubectl describe dsp NAME` says what is wrong.";
    WorkloadUnreadable: Invalid, "The workload cannot be read.",
        "A field is not what its kind says, so nothing can be proved.",
        "Correct the field; if the API server accepts it as it is, report a bug.";
    WorkloadOpaque: Forbidden, "What the workload will run cannot be seen.",
        "It refers to something that does not exist or could not be fetched.",
        "Create first what it refers to, or write it out.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_says_what_and_what_to_do() {
        for reason in Reason::ALL {
            let page = reason.page();
            for text in [page.title, page.cause, page.remedy] {
                assert!(text.len() > 15 && text.ends_with('.'), "{reason}: {text}");
            }
        }
    }
}
