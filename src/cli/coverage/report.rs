//! `CoverageReport`: the machine-readable outcome of `datagate coverage`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::coverage::{Coverage, Entry};

/// The outcome for a cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageReport<'a> {
    /// `datagate.dev/v1alpha1`.
    pub api_version: &'static str,
    /// `CoverageReport`.
    pub kind: &'static str,
    /// When it was looked at.
    pub at: Timestamp,
    /// The webhook configurations of datagate; absent if they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_configurations: Option<&'a [String]>,
    /// Kinds that carry pods, or may; those that are not judged stand first.
    pub kinds: Vec<CoverageKind<'a>>,
    /// What could not be read, so that the report is not complete.
    pub unread: &'a [String],
    /// API groups that cannot be looked into, and why.
    pub unseen: &'a [String],
    /// How often each verdict was given; all of them are listed.
    pub summary: BTreeMap<&'static str, usize>,
}

/// The outcome for a kind.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageKind<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Its name in paths and rules.
    pub resource: &'a str,
    /// Served versions.
    pub versions: &'a [String],
    /// Where containers are seen: at most eight places.
    pub containers: &'a [String],
    /// Where the schema allows anything: at most eight places.
    pub open: &'a [String],
    /// `NotCovered`, `VersionNotRead`, `NoRule`, `CannotTell` or `Yes`.
    pub judged: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: &'a str,
}

impl<'a> CoverageReport<'a> {
    /// Of what was found at that time.
    #[must_use]
    pub fn new(at: Timestamp, coverage: &'a Coverage) -> Self {
        Self {
            api_version: "datagate.dev/v1alpha1",
            kind: "CoverageReport",
            at,
            webhook_configurations: coverage.configurations.as_deref(),
            kinds: coverage.entries.iter().map(CoverageKind::from).collect(),
            unread: &coverage.unread,
            unseen: &coverage.unseen,
            summary: coverage.summary(),
        }
    }
}

impl<'a> From<&'a Entry> for CoverageKind<'a> {
    fn from(entry: &'a Entry) -> Self {
        let kind = &entry.kind;
        Self {
            group: &kind.group,
            kind: &kind.kind,
            resource: &kind.plural,
            versions: &kind.versions,
            containers: &kind.seen.places,
            open: &kind.seen.open,
            judged: entry.judged.as_str(),
            message: &entry.why,
        }
    }
}
