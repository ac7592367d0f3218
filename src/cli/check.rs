//! `datagate check`: the webhook's decision, offline or (`cluster`) on what is in a cluster.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use datagate_core::decision::{Decision, Outcome};
use datagate_core::fetched::Fetched;
use datagate_core::judge::{Verdict, judge};
use datagate_core::render::{self, Answer};
use datagate_core::review::{Operation, Review};
use datagate_core::workload::{KnownKind, Scope};
use jiff::Timestamp;

use super::document::{Bad, Document, Node};
use super::inputs::{DEFAULT_NAMESPACE, Inputs, Reader, Role};
use super::report::{CheckFinding, CheckReport, CheckResult, ObjectId};
use super::settings::SettingsFlags;
use super::{Done, Error, cluster};

/// What names a decision that nobody has a log of.
const UID: &str = "offline";

/// A chain of owners has at most ten hops; a decision that asks for more asks in circles.
const MAX_ROUNDS: usize = 64;

/// The flags of `datagate check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// DatasetPolicies: a file, or a directory that is read with all below it. May be given more than once.
    #[arg(long, value_name = "PATH", env = "DATAGATE_POLICY", value_delimiter = ',')]
    policy: Vec<PathBuf>,
    /// DatasetRecords, and what else workloads refer to (namespaces, owners): read, not judged. As --policy.
    #[arg(long, value_name = "PATH", env = "DATAGATE_RECORD", value_delimiter = ',')]
    record: Vec<PathBuf>,
    /// The moment to judge for, such as 2026-02-01T00:00:00Z. Default: now.
    #[arg(long, value_name = "RFC3339", env = "DATAGATE_AT")]
    at: Option<Timestamp>,
    /// Labels of the namespaces that are not among the files.
    #[arg(long, value_name = "k=v,...", env = "DATAGATE_NAMESPACE_LABELS", value_delimiter = ',', value_parser = label)]
    namespace_labels: Vec<(Box<str>, Box<str>)>,
    /// What is printed: what kubectl would print, or a CheckReport.
    #[arg(short, long, value_enum, default_value_t = Output::Text, env = "DATAGATE_OUTPUT")]
    output: Output,
    /// Workloads; policies, records, namespaces and owners may stand among them. A directory is read with all below it,
    /// - is standard input.
    #[arg(required_unless_present = "cluster", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsFlags,
    #[command(flatten)]
    cluster: cluster::Flags,
}

/// How the outcome is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// What kubectl would print.
    Text,
    /// A CheckReport.
    Json,
}

/// An object that was judged.
struct Judged<'a> {
    document: &'a Document,
    object: Object<'a>,
    decision: Decision,
    answer: Answer,
}

/// What is said of an object.
struct Object<'a> {
    api_version: String,
    kind: &'a str,
    namespace: Option<&'a str>,
    operation: Operation,
}

impl Check {
    /// Reads, judges, prints.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from telling.
    pub fn run(self, out: &mut dyn Write, err: &mut dyn Write) -> Result<Done, Error> {
        if self.cluster.cluster {
            return self.of_cluster(out);
        }
        let mut reader = Reader::new(self.settings.settings()?);
        for (paths, role) in [
            (&self.policy, Role::Policy),
            (&self.record, Role::Record),
            (&self.files, Role::Judged),
        ] {
            for path in paths {
                reader.path(path, role);
            }
        }
        let inputs = reader.finish(self.namespace_labels)?;
        if inputs.policies == 0 {
            writeln!(
                err,
                "datagate: no DatasetPolicy was given, so nothing is governed"
            )?;
        }
        let at = self.at.unwrap_or_else(Timestamp::now);
        let mut all = Vec::new();
        let mut bad = Vec::new();
        for document in &inputs.workloads {
            match judged(document, &inputs, at) {
                Ok(judged) => all.push(judged),
                Err(error) => bad.push(error),
            }
        }
        if !bad.is_empty() {
            return Err(bad.into());
        }
        let printed = match self.output {
            Output::Text => all.iter().try_for_each(|it| text(out, it)),
            Output::Json => json(out, at, &all),
        };
        match printed.and_then(|()| out.flush()) {
            // Whoever reads has read enough; the status still tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            printed => printed?,
        }
        let refused = all.iter().any(|it| it.decision.outcome == Outcome::Denied);
        Ok(if refused { Done::Refused } else { Done::Fine })
    }

    /// Judges what is in the cluster; the policies and records of files are an edit of the cluster's.
    fn of_cluster(self, out: &mut dyn Write) -> Result<Done, Error> {
        let settings = self.settings.settings()?;
        let mut reader = Reader::new(settings.clone());
        for (paths, role) in [(&self.policy, Role::Policy), (&self.record, Role::Record)] {
            for path in paths {
                reader.path(path, role);
            }
        }
        let edited = !(self.policy.is_empty() && self.record.is_empty());
        let inputs = reader.finish(Vec::new())?;
        let ask = cluster::Ask {
            flags: self.cluster,
            settings,
            edit: edited.then_some(&inputs),
            at: self.at.unwrap_or_else(Timestamp::now),
            json: self.output == Output::Json,
        };
        Ok(cluster::run(ask, out)?)
    }
}

fn label(text: &str) -> Result<(Box<str>, Box<str>), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value")?;
    Ok((key.trim().into(), value.trim().into()))
}

fn judged<'a>(document: &'a Document, inputs: &Inputs, at: Timestamp) -> Result<Judged<'a>, Bad> {
    let bad = |what: String| document.bad(document.root.at, what);
    let (object, request) = match Object::of_review(&document.root) {
        Some(object) => (object, document.root.json()),
        None => {
            let object = Object::of(&document.root);
            let request = object.request(&document.root);
            (object, request)
        }
    };
    let request = request.map_err(|error| bad(error.to_string()))?;
    let mut fetched = Fetched::default();
    for _ in 0..MAX_ROUNDS {
        let review = Review::read(&request).map_err(|error| {
            // The position is one in the text that was made of the document.
            let what = error.to_string();
            bad(what.split(" at line ").next().unwrap_or(&what).replace('`', ""))
        })?;
        let uid = review.uid.to_string();
        match judge(review, &inputs.world, &fetched, at) {
            Verdict::Needs(needs) => needs
                .into_iter()
                .for_each(|need| inputs.bring(need, &mut fetched)),
            Verdict::Decided(decision) => {
                let answer = render::answer(&decision, &uid, object.operation);
                return Ok(Judged {
                    document,
                    object,
                    decision: *decision,
                    answer,
                });
            }
        }
    }
    Err(bad("it refers to more objects than are followed".to_owned()))
}

impl<'a> Object<'a> {
    /// The object as it stands in a file.
    fn of(root: &'a Node) -> Self {
        let api_version = root.text("apiVersion").unwrap_or_default();
        let kind = root.text("kind").unwrap_or_default();
        let namespaced = |kind: KnownKind| kind.info().scope == Scope::Namespaced;
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let default = KnownKind::find(group, kind)
            .filter(|kind| namespaced(*kind))
            .map(|_| DEFAULT_NAMESPACE);
        let namespace = root.get("metadata").and_then(|meta| meta.text("namespace"));
        Self {
            api_version: api_version.to_owned(),
            kind,
            namespace: namespace.or(default),
            operation: Operation::Create,
        }
    }

    /// The object of an AdmissionReview.
    fn of_review(root: &'a Node) -> Option<Self> {
        if root.text("kind") != Some("AdmissionReview") {
            return None;
        }
        let request = root.get("request");
        let kind = request.and_then(|it| it.get("kind"));
        let text = |key| kind.and_then(|kind| kind.text(key)).unwrap_or_default();
        let api_version = match text("group") {
            "" => text("version").to_owned(),
            group => format!("{group}/{}", text("version")),
        };
        let update = request.and_then(|it| it.text("operation")) == Some("UPDATE");
        Some(Self {
            api_version,
            kind: text("kind"),
            namespace: request.and_then(|it| it.text("namespace")),
            operation: if update {
                Operation::Update
            } else {
                Operation::Create
            },
        })
    }

    /// The request by which the API server would ask about its creation.
    fn request(&self, root: &Node) -> Result<String, serde_json::Error> {
        let (group, version) = self
            .api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version));
        let meta = root.get("metadata");
        let text = |key| meta.and_then(|meta| meta.text(key));
        // The name is not known yet if the API server is to complete it.
        let name = text("name").or_else(|| text("generateName")).unwrap_or_default();
        let request = serde_json::json!({
            "uid": UID,
            "kind": {"group": group, "version": version, "kind": self.kind},
            "name": name,
            "namespace": self.namespace.unwrap_or_default(),
            "operation": "CREATE",
            "userInfo": {"username": "", "groups": ["system:masters"]},
        });
        // The object stays text with its keys in order, which a map of serde_json would not keep.
        let mut request = request.to_string();
        request.pop();
        Ok(format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request},"object":{}}}}}"#,
            root.json()?
        ))
    }
}

/// What kubectl would print.
fn text(out: &mut dyn Write, judged: &Judged<'_>) -> io::Result<()> {
    let (kind, name, answer) = (judged.object.kind, &judged.decision.name, &judged.answer);
    for warning in &answer.warnings {
        writeln!(out, "Warning: {warning}")?;
    }
    match judged.decision.outcome {
        Outcome::Denied if judged.object.operation == Operation::Update => {
            writeln!(out, "Error from server ({}): {}", answer.reason, answer.message)
        }
        Outcome::Denied => {
            writeln!(out, "The {kind} \"{name}\" is invalid:")?;
            let mut lines = answer.causes.iter();
            lines.try_for_each(|cause| writeln!(out, "* {}: {}", cause.field, cause.message))
        }
        Outcome::NotGoverned => writeln!(out, "The {kind} \"{name}\" is not governed."),
        Outcome::Allowed | Outcome::AllowedWithWarnings => writeln!(out, "The {kind} \"{name}\" is allowed."),
    }
}

fn json(out: &mut dyn Write, at: Timestamp, all: &[Judged<'_>]) -> io::Result<()> {
    let results = all.iter().map(Judged::result).collect();
    serde_json::to_writer_pretty(&mut *out, &CheckReport::new(at, results))?;
    writeln!(out)
}

impl Judged<'_> {
    fn result(&self) -> CheckResult<'_> {
        CheckResult {
            file: &self.document.file,
            document: self.document.index,
            object: ObjectId {
                api_version: &self.object.api_version,
                kind: self.object.kind,
                namespace: self.object.namespace.filter(|it| !it.is_empty()),
                name: &self.decision.name,
            },
            decision: self.decision.outcome.as_str(),
            findings: self.decision.findings.iter().map(CheckFinding::from).collect(),
            warnings: self.answer.warnings.clone(),
        }
    }
}
