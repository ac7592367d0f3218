//! A decision: what comes of a request, and all that an answer and a log line say of it.

use std::sync::Arc;

use crate::dataset::Dataset;
use crate::finding::{Finding, Notice, Shown};
use crate::purpose::Purposes;
use crate::region::Regions;
use crate::world::PolicySlot;

/// The decision on one request, with all that an answer and a log line say of it.
#[derive(Debug, Default)]
pub struct Decision {
    /// What comes of it.
    pub outcome: Outcome,
    /// On what ground.
    pub ground: Ground,
    /// Problems, in the order in which they are told.
    pub findings: Vec<Finding>,
    /// What comes.
    pub notices: Vec<Notice>,
    /// Steps that are there, with what shows them.
    pub evidence: Shown,
    /// The purposes declared; empty: none.
    pub purposes: Purposes,
    /// The policies that govern it.
    pub policies: Vec<Arc<PolicySlot>>,
    /// The data it uses.
    pub datasets: Vec<UsedData>,
    /// Name of the object; final even with `generateName`.
    pub name: Box<str>,
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// No policy governs it, or it is no workload.
    #[default]
    NotGoverned,
    /// Admitted.
    Allowed,
    /// Admitted with warnings.
    AllowedWithWarnings,
    /// Refused.
    Denied,
}

impl Outcome {
    /// The spelling in reports and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotGoverned => "NotGoverned",
            Self::Allowed => "Allowed",
            Self::AllowedWithWarnings => "AllowedWithWarnings",
            Self::Denied => "Denied",
        }
    }
}

/// On what ground an outcome rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ground {
    /// Not a kind of workload, or not a request that starts or changes one.
    #[default]
    NoWorkload,
    /// No policy selects the namespace.
    NoPolicy,
    /// The policies that do leave this workload out.
    OutOfScope,
    /// An update that does not change what would run.
    Unchanged,
    /// Judged by all its policies.
    Judged,
    /// Judged as the child of a verified root.
    Child,
}

/// A body of data the workload uses.
#[derive(Clone, Debug)]
pub enum UsedData {
    /// A record, readable or not.
    Record(Box<str>, Option<Arc<Dataset>>),
    /// Only its regions are declared.
    Regions(Regions),
}

impl UsedData {
    /// The record's name, or `regions` for bare regions.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Record(name, _) => name,
            Self::Regions(_) => "regions",
        }
    }

    /// Where its people live, as far as that is said.
    #[must_use]
    pub fn regions(&self) -> Option<&Regions> {
        match self {
            Self::Record(_, dataset) => dataset.as_ref()?.facts.regions.as_ref(),
            Self::Regions(regions) => Some(regions),
        }
    }

    /// The generation of its record.
    #[must_use]
    pub fn generation(&self) -> Option<i64> {
        match self {
            Self::Record(_, dataset) => Some(dataset.as_ref()?.record.generation),
            Self::Regions(_) => None,
        }
    }
}
