//! `CheckReport`: the machine-readable outcome of `datagate check`.

use std::collections::BTreeMap;

use datagate_core::decision::Outcome;
use datagate_core::finding::Finding;
use datagate_core::render;
use jiff::Timestamp;
use serde::Serialize;

/// The outcome for all files.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport<'a> {
    /// `datagate.dev/v1alpha1`.
    pub api_version: &'static str,
    /// `CheckReport`.
    pub kind: &'static str,
    /// The moment that was judged for.
    pub at: Timestamp,
    /// One for each object that was judged.
    pub results: Vec<CheckResult<'a>>,
    /// How often each decision was taken; all of them are listed.
    pub summary: BTreeMap<&'static str, usize>,
}

/// The outcome for one object.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult<'a> {
    /// The file as it was named.
    pub file: &'a str,
    /// Which of the file's documents, from 0.
    pub document: usize,
    /// The object.
    pub object: ObjectId<'a>,
    /// `Allowed`, `AllowedWithWarnings`, `Denied` or `NotGoverned`.
    pub decision: &'static str,
    /// What was found.
    pub findings: Vec<CheckFinding>,
    /// What kubectl would warn of: findings that only warn, and what is refused later.
    pub warnings: Vec<String>,
}

/// Which object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId<'a> {
    /// Group and version.
    pub api_version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Its namespace, unless it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// Its name; with `generateName` what the name starts with.
    pub name: &'a str,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct CheckFinding {
    /// The stable reason.
    pub reason: &'static str,
    /// `Deny`, `Warn` or `Audit`; none if the policy leaves it at that.
    pub action: Option<&'static str>,
    /// The policy.
    pub policy: String,
    /// Its pause or requirement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The field of the workload.
    pub field: String,
    /// Cause, policy, remedy.
    pub message: String,
}

impl<'a> CheckReport<'a> {
    /// Of these results.
    #[must_use]
    pub fn new(at: Timestamp, results: Vec<CheckResult<'a>>) -> Self {
        let all = [
            Outcome::Allowed,
            Outcome::AllowedWithWarnings,
            Outcome::Denied,
            Outcome::NotGoverned,
        ];
        let mut summary: BTreeMap<&str, usize> = all.iter().map(|it| (it.as_str(), 0)).collect();
        for result in &results {
            let count = summary.entry(result.decision).or_default();
            *count = count.saturating_add(1);
        }
        Self {
            api_version: "datagate.dev/v1alpha1",
            kind: "CheckReport",
            at,
            results,
            summary,
        }
    }
}

impl From<&Finding> for CheckFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            reason: finding.reason().as_str(),
            action: finding.action().map(|action| action.as_str()),
            policy: finding.policy.to_string(),
            entry: finding.entry.as_deref().map(Into::into),
            dataset: finding.dataset.as_deref().map(Into::into),
            field: render::field(finding),
            message: render::message(finding),
        }
    }
}
