//! `ClusterCheckReport`: the same for programs. Results are written as they are found, so all of them are there
//! however many they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use datagate_core::decision::{Decision, Outcome};
use jiff::Timestamp;
use serde::Serialize;

use super::Outlook;
use super::groups::{Groups, answer};
use super::told::{Scope, Told, Totals, Wanted};
use super::worlds::Edit;
use crate::cli::report::{CheckFinding, ObjectId};

/// What stands before the results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    api_version: &'static str,
    kind: &'static str,
    at: Timestamp,
    /// Absent: all namespaces, and what is outside of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    /// What the edit consists of; absent without one.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    edit: &'a [Edit],
}

/// A root that is refused, or was without the edit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterResult<'a> {
    object: ObjectId<'a>,
    /// With an edit: `NewlyRefused`, `NoLongerRefused` or `Refused` (either way).
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    decision: &'static str,
    findings: Vec<CheckFinding>,
    warnings: Vec<String>,
    running_pods: usize,
    /// Without the edit.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Before>,
}

/// The decision without the edit.
#[derive(Debug, Serialize)]
struct Before {
    decision: &'static str,
    findings: Vec<CheckFinding>,
}

/// What stands behind the results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tail<'a> {
    /// Counts by namespace and reasons.
    groups: Vec<GroupCount<'a>>,
    /// Results of groups for which there was no room.
    in_no_group: usize,
    /// Notes on how it was read.
    notes: &'a [String],
    /// What could not be read; if there is anything, what is not among the results may be refused as well.
    unread: Vec<Unread<'a>>,
    summary: Summary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupCount<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    reasons: &'a BTreeSet<&'static str>,
    roots: usize,
    running_roots: usize,
    running_pods: usize,
}

#[derive(Debug, Serialize)]
struct Unread<'a> {
    what: &'a str,
    why: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// How often each decision was taken.
    #[serde(flatten)]
    decisions: BTreeMap<&'static str, usize>,
    running_roots: usize,
    running_pods: usize,
    #[serde(flatten)]
    edit: Option<EditSummary>,
    children: usize,
    finished_left_out: usize,
    excluded_left_out: usize,
    unread: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EditSummary {
    newly_refused: usize,
    no_longer_refused: usize,
    refused_either_way: usize,
}

/// Writes a report in pieces.
#[derive(Debug, Default)]
pub struct Report {
    results: usize,
}

impl Report {
    /// Begins.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn begin(out: &mut dyn Write, wanted: &Wanted, edit: &[Edit]) -> io::Result<Self> {
        let head = Head {
            api_version: "datagate.dev/v1alpha1",
            kind: "ClusterCheckReport",
            at: wanted.at,
            namespace: match &wanted.scope {
                Scope::Namespace(name) => Some(name),
                Scope::Everything => None,
            },
            edit,
        };
        let mut head = serde_json::to_string(&head)?;
        head.pop();
        write!(out, "{head},\n\"results\":[")?;
        Ok(Self::default())
    }

    /// Writes a result, on a line of its own.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn result(&mut self, out: &mut dyn Write, told: &Told<'_>) -> io::Result<()> {
        let info = told.kind.info();
        let api_version = match info.group {
            "" => told.version.to_owned(),
            group => format!("{group}/{}", told.version),
        };
        let findings = |decision: &Decision| decision.findings.iter().map(CheckFinding::from).collect();
        let result = ClusterResult {
            object: ObjectId {
                api_version: &api_version,
                kind: info.kind,
                namespace: Some(told.namespace).filter(|it| !it.is_empty()),
                name: told.name,
            },
            change: told.before.map(|_| told.change.as_str()),
            decision: told.decision.outcome.as_str(),
            findings: findings(told.decision),
            warnings: answer(told.decision).warnings,
            running_pods: told.running,
            before: told.before.map(|before| Before {
                decision: before.outcome.as_str(),
                findings: findings(before),
            }),
        };
        let comma = if self.results > 0 { "," } else { "" };
        self.results = self.results.saturating_add(1);
        write!(out, "{comma}\n{}", serde_json::to_string(&result)?)
    }

    /// Ends.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn end(
        self,
        out: &mut dyn Write,
        outlook: &Outlook<'_>,
        groups: &Groups,
        totals: &Totals,
    ) -> io::Result<()> {
        let edited = !outlook.edit.is_empty();
        let all = [
            Outcome::Allowed,
            Outcome::AllowedWithWarnings,
            Outcome::Denied,
            Outcome::NotGoverned,
        ];
        let refused = totals.of(Outcome::Denied);
        let tail = Tail {
            groups: groups
                .iter()
                .map(|(key, group)| GroupCount {
                    change: edited.then(|| key.change.as_str()),
                    namespace: &key.namespace,
                    reasons: &key.reasons,
                    roots: group.roots,
                    running_roots: group.running_roots,
                    running_pods: group.running_pods,
                })
                .collect(),
            in_no_group: groups.beyond,
            notes: &outlook.notes.said,
            unread: outlook
                .notes
                .missed
                .iter()
                .map(|it| Unread {
                    what: &it.what,
                    why: &it.why,
                })
                .collect(),
            summary: Summary {
                decisions: all.iter().map(|it| (it.as_str(), totals.of(*it))).collect(),
                running_roots: totals.running_roots,
                running_pods: totals.running_pods,
                edit: edited.then(|| EditSummary {
                    newly_refused: totals.newly,
                    no_longer_refused: totals.no_longer,
                    refused_either_way: refused.saturating_sub(totals.newly),
                }),
                children: totals.children,
                finished_left_out: totals.finished,
                excluded_left_out: totals.excluded,
                unread: outlook.notes.count(),
            },
        };
        let tail = serde_json::to_string(&tail)?;
        let tail = tail.strip_prefix('{').unwrap_or(&tail);
        writeln!(out, "\n],\n{tail}")
    }
}
