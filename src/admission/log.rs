//! The decision log: one line of JSON on standard output for each governed decision.
//!
//! The lines are evidence, so their shape is stable and documented in `docs/decision-log.md`. Writing happens on a thread
//! of its own, and no request waits for it: a node whose log pipe is stuck must not stop who is being admitted. What is
//! lost is counted.

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use datagate_core::decision::{Decision, Ground};
use jiff::Timestamp;
use serde::Serialize;

use super::pseudonym::Pseudonyms;
use super::{Mode, Subject};

/// Lines that may wait for the writer: about four MiB.
const QUEUE: usize = 4096;

/// Where decisions are written.
#[derive(Clone, Debug)]
pub struct DecisionLog {
    lines: SyncSender<Vec<u8>>,
    pseudonyms: Option<Arc<Pseudonyms>>,
}

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    r#type: &'static str,
    time: Timestamp,
    uid: String,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_seconds: Option<u64>,
    ground: &'static str,
    operation: &'static str,
    dry_run: bool,
    object: Object,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pseudonym_key: Option<String>,
    purposes: Vec<&'static str>,
    policies: Vec<Policy>,
    datasets: Vec<Dataset>,
    evidence: Vec<Evidence>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct Policy {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Dataset {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Evidence {
    step: &'static str,
    evidence: &'static str,
}

#[derive(Debug, Serialize)]
struct Finding {
    reason: &'static str,
    action: &'static str,
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<String>,
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl DecisionLog {
    /// Writes to `out` on a thread of its own, until the last clone of the log is gone.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn to(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || drain(&queue, out))?;
        Ok(Self {
            lines,
            pseudonyms: None,
        })
    }

    /// Replaces what names people, from now on.
    #[must_use]
    pub fn with_pseudonyms(mut self, pseudonyms: Option<Pseudonyms>) -> Self {
        self.pseudonyms = pseudonyms.map(Arc::new);
        self
    }

    /// Writes one line; says whether that could be done.
    pub fn write(&self, mut record: Record) -> bool {
        if let Some(pseudonyms) = &self.pseudonyms {
            record.pseudonymise(pseudonyms);
        }
        let Ok(mut line) = serde_json::to_vec(&record) else {
            return false;
        };
        line.push(b'\n');
        match self.lines.try_send(line) {
            Ok(()) => true,
            // Diagnostics go to the same runtime as our output, and would stop us where it has stopped.
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!(
                    uid = record.uid,
                    decision = record.decision,
                    "the decision log is closed"
                );
                false
            }
        }
    }
}

fn drain(queue: &Receiver<Vec<u8>>, out: impl Write) {
    let mut out = BufWriter::new(out);
    while let Ok(line) = queue.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            if out.write_all(&line).is_err() {
                return;
            }
            next = queue.try_recv().ok();
        }
        if out.flush().is_err() {
            return;
        }
    }
}

impl Record {
    /// `stale` says how old the policies are, if it was refused only for that.
    pub(super) fn new(
        subject: &Subject,
        decision: &Decision,
        mode: Mode,
        stale: Option<Duration>,
        time: Timestamp,
    ) -> Self {
        let kind = &subject.kind;
        let api_version = if kind.group.is_empty() {
            kind.version.to_string()
        } else {
            format!("{}/{}", kind.group, kind.version)
        };
        Self {
            r#type: "decision",
            time,
            uid: subject.uid.clone(),
            decision: decision.outcome.as_str(),
            mode: (mode == Mode::Observe).then_some("Observe"),
            stale_seconds: stale.map(|age| age.as_secs()),
            ground: ground(decision.ground),
            operation: subject.operation.as_str(),
            dry_run: subject.dry_run,
            object: Object {
                api_version,
                kind: kind.kind.to_string(),
                namespace: subject.namespace.clone(),
                name: decision.name.to_string(),
            },
            user: subject.user.clone(),
            pseudonym_key: None,
            purposes: decision.purposes.words(),
            policies: decision
                .policies
                .iter()
                .map(|it| Policy {
                    name: it.name.to_string(),
                    uid: it.policy.as_ref().map(|policy| policy.uid.to_string()),
                    generation: it.policy.as_ref().map(|policy| policy.generation),
                })
                .collect(),
            datasets: decision
                .datasets
                .iter()
                .map(|it| Dataset {
                    name: it.name().to_owned(),
                    generation: it.generation(),
                    regions: it
                        .regions()
                        .map(|them| them.written().iter().map(ToString::to_string).collect()),
                })
                .collect(),
            evidence: decision
                .evidence
                .iter()
                .map(|(step, evidence)| Evidence {
                    step: step.as_str(),
                    evidence: evidence.as_str(),
                })
                .collect(),
            findings: decision
                .findings
                .iter()
                .map(|it| Finding {
                    reason: it.reason().as_str(),
                    action: super::action(it),
                    policy: it.policy.to_string(),
                    entry: it.entry.as_ref().map(ToString::to_string),
                    dataset: it.dataset.as_ref().map(ToString::to_string),
                    field: it.field.clone(),
                    message: Some(datagate_core::render::message(it)),
                })
                .collect(),
        }
    }

    /// Replaces what names people, or may. A message holds words of the object in sentences, so it is left out; its
    /// reason, policy, data and field stay.
    fn pseudonymise(&mut self, by: &Pseudonyms) {
        self.user = by.of("user", &self.user);
        self.object.namespace = by.of("object.namespace", &self.object.namespace);
        self.object.name = by.of("object.name", &self.object.name);
        for finding in &mut self.findings {
            finding.message = None;
        }
        self.pseudonym_key = Some(by.id().to_owned());
    }
}

pub(super) const fn ground(ground: Ground) -> &'static str {
    match ground {
        Ground::NoWorkload => "NoWorkload",
        Ground::NoPolicy => "NoPolicy",
        Ground::OutOfScope => "OutOfScope",
        Ground::Unchanged => "Unchanged",
        Ground::Judged => "Judged",
        Ground::Child => "Child",
    }
}
