//! One problem in one place.

use enumset::EnumSet;
use jiff::Timestamp;

use crate::declaration::Invalid;
use crate::path::At;
use crate::policy::Period;
use crate::purpose::Purposes;
use crate::reason::Reason;
use crate::region::Region;
use crate::submission::{Place, Unseen, Void};
use crate::vocabulary::{
    Action, DataCategory, DeclarationKind, Evidence, RunningWorkloads, SourceCategory, StepType,
};

/// A problem, and what its policy says to do about it. `F` is the field: an index while judging, text when told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding<F = String> {
    /// The policy it belongs to.
    pub policy: Box<str>,
    /// The entry of the policy, if it comes from one.
    pub entry: Option<Box<str>>,
    /// The record it is about.
    pub dataset: Option<Box<str>>,
    /// Where.
    pub field: F,
    /// What is done about it.
    pub actions: EnumSet<Action>,
    /// The date from which the policy refuses what it only warns of now.
    pub deny_from: Option<Timestamp>,
    /// For pauses: what the pause does to workloads that run already.
    pub pause: Option<RunningWorkloads>,
    /// What.
    pub detail: Detail,
}

/// What a finding says. Reason, JSON and prose derive from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Detail {
    /// No data is declared in a way the policy accepts.
    DataUndeclared {
        given: Option<DeclarationKind>,
        accepted: EnumSet<DeclarationKind>,
    },
    /// A declaration cannot be read.
    DeclarationInvalid(Invalid),
    /// A region is no code.
    RegionInvalid { message: String },
    /// No purpose is declared, so every purpose is assumed.
    PurposeUndeclared,
    /// The record does not permit the purposes.
    PurposeNotPermitted {
        purposes: Purposes,
        permitted: Purposes,
        contact: Option<Box<str>>,
    },
    /// The namespace does not allow the purposes.
    PurposeAboveCeiling {
        purposes: Purposes,
        allowed: Purposes,
        namespace: Box<str>,
    },
    /// There is no such record.
    DatasetUnknown { parent_of: Option<Box<str>> },
    /// The record, or an ancestor, cannot be read or is its own ancestor.
    DatasetUnreadable { error: Box<str> },
    /// Its owner withdrew it.
    DatasetWithdrawn {
        since: Option<Timestamp>,
        reason: Option<Box<str>>,
        superseded_by: Option<Box<str>>,
    },
    /// It is pinned to another digest than the record's.
    DigestMismatch {
        pinned: Box<str>,
        recorded: Option<Box<str>>,
    },
    /// The record does not know where its people live.
    RegionUnknown { pause: bool },
    /// People of a paused region are in it.
    RegionPaused {
        people: Vec<Region>,
        paused: Vec<Region>,
        purposes: Purposes,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    },
    /// People of regions that are not allowed are in it.
    RegionNotAllowed {
        people: Vec<Region>,
        allowed: Vec<Region>,
    },
    /// A pause matches by something other than region.
    DataPaused {
        because: Because,
        purposes: Purposes,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    },
    /// Nothing does the step before what trains, which stands in so many pods.
    StepMissing {
        step: StepType,
        accepted: EnumSet<Evidence>,
        nothing_trains: bool,
        pods: usize,
        place: Place,
    },
    /// Something does it, but not provably before training; and the way round it.
    StepNotFirst {
        step: StepType,
        node: Box<str>,
        trainer: Box<str>,
        void: Void,
        way: Box<[Box<str>]>,
        place: Place,
    },
    /// The list is too old, or its date unknown.
    OptOutListStale {
        step: StepType,
        age_days: Option<i64>,
        allowed_days: u16,
        accepted: EnumSet<Evidence>,
    },
    /// The step is shown by other evidence than the policy accepts; perhaps only because another pod that has its name
    /// could stand in for it.
    EvidenceInsufficient {
        step: StepType,
        have: Evidence,
        accepted: EnumSet<Evidence>,
        by_name: Option<Box<str>>,
    },
    /// The record states no lowest age.
    AgeUnknown { minimum: u8 },
    /// People below the age are in it.
    AgeBelowMinimum { age: u8, minimum: u8 },
    /// The record states no data categories.
    CategoryUnknown { excluded: EnumSet<DataCategory> },
    /// Excluded categories are in it.
    CategoryExcluded { found: EnumSet<DataCategory> },
    /// It rests on a legal basis that is not allowed.
    LegalBasisNotAllowed {
        bases: Vec<Box<str>>,
        allowed: Vec<Box<str>>,
    },
    /// The owner it names could not be verified, so it inherits nothing.
    OwnerUnverified { owner: Box<str>, why: Unverified },
    /// It claims to be an operator's own, which did not make it.
    ClaimForged { operator: &'static str, by: Box<str> },
    /// The policy cannot be read.
    PolicyUnreadable { error: Box<str> },
    /// The workload is not what its kind says.
    WorkloadUnreadable { field: Box<str>, what: Box<str> },
    /// What it will run cannot be seen.
    WorkloadOpaque { reference: Box<str>, why: Unseen },
}

/// By what a pause without regions matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Because {
    /// The time of collection, if the data says it, and the one that is paused.
    Collected { said: Option<Period>, paused: Period },
    /// The time of what it tells of, if the data says it, and the one that is paused.
    Content { said: Option<Period>, paused: Period },
    /// Data categories; empty: the data does not say.
    Categories(EnumSet<DataCategory>),
    /// Source categories; empty: the data does not say.
    Sources(EnumSet<SourceCategory>),
    /// Data controllers; empty: the data does not say.
    Controllers(Vec<Box<str>>),
    /// The purpose alone.
    Purpose,
}

/// All that judging one workload found.
#[derive(Debug, Default)]
pub struct Found {
    /// Problems.
    pub list: Vec<Finding<At>>,
    /// What is admitted now and refused later.
    pub notices: Vec<Notice>,
    /// Steps that are there.
    pub evidence: Shown,
}

/// Which steps are there, and what shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown([EnumSet<Evidence>; StepType::ALL.len()]);

impl Shown {
    /// Adds one.
    pub fn add(&mut self, step: StepType, evidence: Evidence) {
        if let Some(set) = self.0.get_mut(step as usize) {
            set.insert(evidence);
        }
    }

    /// Each step with what shows it.
    pub fn iter(&self) -> impl Iterator<Item = (StepType, Evidence)> {
        StepType::ALL
            .iter()
            .zip(&self.0)
            .flat_map(|(step, set)| set.iter().map(|evidence| (*step, evidence)))
    }
}

/// Something that is admitted now and refused later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The policy, with the entry.
    pub rule: String,
    /// The record, if it is about one.
    pub dataset: Option<Box<str>>,
    /// From when.
    pub from: Timestamp,
    /// What.
    pub what: Coming,
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Coming {
    /// A pause starts.
    Pause { people: Vec<Region>, purposes: Purposes },
    /// The opt-out list becomes too old.
    ListAges { step: StepType },
}

/// Why an owner could not be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unverified {
    /// The requester is not the account that makes such children.
    Requester,
    /// There is no such owner, or it has another UID.
    Gone,
    /// It could not be fetched in time.
    Unreachable,
    /// The chain of owners is too long.
    TooLong,
}

impl Detail {
    /// The stable reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::DataUndeclared { .. } => Reason::DataUndeclared,
            Self::DeclarationInvalid(_) => Reason::DeclarationInvalid,
            Self::RegionInvalid { .. } => Reason::RegionInvalid,
            Self::PurposeUndeclared => Reason::PurposeUndeclared,
            Self::PurposeNotPermitted { .. } | Self::PurposeAboveCeiling { .. } => {
                Reason::PurposeNotPermitted
            }
            Self::DatasetUnknown { .. } => Reason::DatasetUnknown,
            Self::DatasetUnreadable { .. } => Reason::DatasetUnreadable,
            Self::DatasetWithdrawn { .. } => Reason::DatasetWithdrawn,
            Self::DigestMismatch { .. } => Reason::DigestMismatch,
            Self::RegionUnknown { .. } => Reason::RegionUnknown,
            Self::RegionPaused { .. } => Reason::RegionPaused,
            Self::RegionNotAllowed { .. } => Reason::RegionNotAllowed,
            Self::DataPaused { .. } => Reason::DataPaused,
            Self::StepMissing { .. } => Reason::StepMissing,
            Self::StepNotFirst { .. } => Reason::StepNotFirst,
            Self::OptOutListStale { .. } => Reason::OptOutListStale,
            Self::EvidenceInsufficient { .. } => Reason::EvidenceInsufficient,
            Self::AgeUnknown { .. } => Reason::AgeUnknown,
            Self::AgeBelowMinimum { .. } => Reason::AgeBelowMinimum,
            Self::CategoryUnknown { .. } => Reason::CategoryUnknown,
            Self::CategoryExcluded { .. } => Reason::CategoryExcluded,
            Self::LegalBasisNotAllowed { .. } => Reason::LegalBasisNotAllowed,
            Self::OwnerUnverified { .. } | Self::ClaimForged { .. } => Reason::OwnerUnverified,
            Self::PolicyUnreadable { .. } => Reason::PolicyUnreadable,
            Self::WorkloadUnreadable { .. } => Reason::WorkloadUnreadable,
            Self::WorkloadOpaque { .. } => Reason::WorkloadOpaque,
        }
    }
}

impl<F> Finding<F> {
    /// The stable reason.
    pub const fn reason(&self) -> Reason {
        self.detail.reason()
    }

    /// The strongest thing that is done about it.
    pub fn action(&self) -> Option<Action> {
        self.actions.iter().max()
    }

    /// `policy/entry`, or the policy alone.
    pub fn rule(&self) -> String {
        match &self.entry {
            Some(entry) => format!("{}/{entry}", self.policy),
            None => self.policy.to_string(),
        }
    }

    /// The same with another field.
    pub fn at<G>(self, field: G) -> Finding<G> {
        Finding {
            policy: self.policy,
            entry: self.entry,
            dataset: self.dataset,
            field,
            actions: self.actions,
            deny_from: self.deny_from,
            pause: self.pause,
            detail: self.detail,
        }
    }
}
