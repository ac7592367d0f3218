//! A record of the catalogue as the decision uses it.
//!
//! `Record` is what its owner wrote, parsed; `Dataset` is that joined with what it inherits from the datasets it was
//! derived from, made once when the catalogue changes (`world`), so that a decision reads and never walks.

use enumset::EnumSet;
use jiff::Timestamp;

use crate::policy::Period;
use crate::purpose::Purposes;
use crate::region::Regions;
use crate::vocabulary::{DataCategory, PersonalData, SourceCategory, StepType};

/// A `DatasetRecord`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name.
    pub name: Box<str>,
    /// Its `metadata.uid`; empty offline.
    pub uid: Box<str>,
    /// Its `metadata.generation`; 0 offline.
    pub generation: i64,
    /// The digest of the sorted manifest of its files: 64 lower-case hexadecimal digits (SHA-256).
    pub sha256: Option<Box<str>>,
    /// Where it came from.
    pub source: SourceCategory,
    /// Whether it holds personal data.
    pub personal_data: PersonalData,
    /// Where the people live; absent only without personal data.
    pub regions: Option<Regions>,
    /// The lowest age of the people in it, in years.
    pub minimum_age: Option<u8>,
    /// The id of the data controller.
    pub controller: Option<Box<str>>,
    /// Whom to ask about it.
    pub contact: Option<Box<str>>,
    /// What kind of data it is; absent: not said.
    pub categories: Option<EnumSet<DataCategory>>,
    /// What it may be used for; absent: not restricted.
    pub permitted: Option<Purposes>,
    /// The legal bases it rests on, with DPV's identifiers; empty: not said.
    pub legal_bases: Box<[Box<str>]>,
    /// When what it tells of happened.
    pub content_period: Option<Period>,
    /// When it was collected.
    pub collection_period: Option<Period>,
    /// The records it was derived from.
    pub derived_from: Box<[Box<str>]>,
    /// What was done to it, at most one of each type.
    pub steps: Box<[RecordedStep]>,
    /// Set if it may not be used any more.
    pub withdrawn: Option<Withdrawn>,
}

/// A step as the catalogue lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedStep {
    /// Which step.
    pub step: StepType,
    /// When it was done. A step said to be done in the future is not believed.
    pub completed_at: Option<Timestamp>,
    /// The date of the opt-out list it used.
    pub list_as_of: Option<Timestamp>,
    /// The regions a `RegionFilter` removed.
    pub removed_regions: Option<Regions>,
}

/// Why and since when a record may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Since when; absent: always.
    pub since: Option<Timestamp>,
    /// The owner's words.
    pub reason: Option<Box<str>>,
    /// The record to use instead.
    pub superseded_by: Option<Box<str>>,
}

/// What is known of the data of one record, its ancestors included.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Whether no personal data is in it, so that it meets no region and satisfies age and legal-basis conditions.
    pub impersonal: bool,
    /// Where the people live; absent: not said.
    pub regions: Option<Regions>,
    /// The same without believing the record's own `RegionFilter`.
    pub regions_unfiltered: Option<Regions>,
    /// Source categories of the record and its ancestors.
    pub sources: Option<EnumSet<SourceCategory>>,
    /// Data categories; absent: some part does not say.
    pub categories: Option<EnumSet<DataCategory>>,
    /// Ids of data controllers; absent: some part does not say.
    pub controllers: Option<Box<[Box<str>]>>,
    /// The lowest age; absent: some part does not say.
    pub minimum_age: Option<u8>,
    /// When what it tells of happened; absent: not said.
    pub content_period: Option<Period>,
    /// When it was collected; absent: not said.
    pub collection_period: Option<Period>,
}

/// A record that can be judged: what was written, and what follows from its ancestors.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// As written.
    pub record: std::sync::Arc<Record>,
    /// With what it inherits.
    pub facts: Facts,
    /// What is wrong with its ancestry, if anything: the ancestor's name and what about it.
    pub broken: Option<(Box<str>, Ancestry)>,
}

/// What can be wrong with the chain of `derivedFrom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancestry {
    /// An ancestor has no record.
    Missing,
    /// An ancestor's record cannot be read.
    Unreadable,
    /// The chain leads back to the record itself.
    Cycle,
}

impl Record {
    /// The step of that type that the record lists, unless it lies in the future.
    #[must_use]
    pub fn step(&self, step: StepType, now: Timestamp) -> Option<&RecordedStep> {
        self.steps
            .iter()
            .find(|it| it.step == step && it.completed_at.is_none_or(|at| believed(at, now)))
    }

    /// Whether its owner withdrew it before `now`.
    #[must_use]
    pub fn withdrawn(&self, now: Timestamp) -> Option<&Withdrawn> {
        self.withdrawn
            .as_ref()
            .filter(|it| it.since.is_none_or(|since| since <= now))
    }
}

/// Clocks differ a little; a date further in the future than this is not believed.
pub const CLOCK_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// Whether a date is not in the future, give or take `CLOCK_SKEW`.
#[must_use]
pub fn believed(at: Timestamp, now: Timestamp) -> bool {
    age(at, now) >= -CLOCK_SKEW.as_nanos()
}

/// How long ago something was, in nanoseconds; in plain numbers, because every step of every policy asks.
#[must_use]
pub fn age(at: Timestamp, now: Timestamp) -> i128 {
    now.as_nanosecond().saturating_sub(at.as_nanosecond())
}
