//! The core called directly: the whole list of findings, and what kubectl would print.

use std::sync::Arc;

use datagate::cli::report::{CheckFinding, CheckReport, CheckResult, ObjectId};
use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::dataset::Record;
use datagate_core::decision::{Decision, Outcome};
use datagate_core::fetched::{Absence, Fetched, Need};
use datagate_core::judge::{Verdict, judge};
use datagate_core::policy::Policy;
use datagate_core::render;
use datagate_core::review::Review;
use datagate_core::settings::Settings;
use datagate_core::workload::Scope;
use datagate_core::world::{Catalogue, Namespace, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::case::Case;
use crate::kubectl::{self, Told};

/// What surrounds a workload.
pub struct Cluster {
    pub world: World,
    objects: Vec<Value>,
    no_namespaces: bool,
    no_owners: bool,
}

/// A workload with the request that brings it.
pub struct Asked {
    /// Its place in the file.
    pub document: usize,
    /// The body of the request.
    pub body: String,
    /// As a value.
    pub review: Value,
}

pub fn run(case: &Case) {
    let cluster = Cluster::of(case);
    let asked = asked(case);
    let mut reports = Vec::new();
    let mut texts = Vec::new();
    for at in case.instants() {
        let decisions: Vec<Decision> = asked
            .iter()
            .map(|asked| cluster.judge(&asked.body, *at))
            .collect();
        let told: Vec<Told> = asked
            .iter()
            .zip(&decisions)
            .map(|(asked, it)| told(asked, it))
            .collect();
        let results = asked.iter().zip(&decisions).zip(&told);
        let ids: Vec<(String, String, String)> = asked.iter().map(Asked::id).collect();
        let results = results
            .zip(&ids)
            .map(
                |(((asked, decision), told), (api_version, kind, namespace))| CheckResult {
                    file: "workload.yaml",
                    document: asked.document,
                    object: ObjectId {
                        api_version,
                        kind,
                        namespace: Some(namespace.as_str()).filter(|it| !it.is_empty()),
                        name: &decision.name,
                    },
                    decision: decision.outcome.as_str(),
                    findings: decision.findings.iter().map(CheckFinding::from).collect(),
                    warnings: told.warnings.clone(),
                },
            );
        let report = CheckReport::new(*at, results.collect());
        reports.push(serde_json::to_value(&report).unwrap());
        texts.push(kubectl::print(&told));
        for told in &told {
            told.check(&case.name);
        }
    }
    case.expect("expected.txt", &case.join(&texts), true);
    case.expect("expected.json", &pretty(reports), true);
}

/// One report, or one for each instant.
pub fn pretty(mut reports: Vec<Value>) -> String {
    let value = if reports.len() == 1 {
        reports.remove(0)
    } else {
        Value::Array(reports)
    };
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

fn told(asked: &Asked, decision: &Decision) -> Told {
    let review = Review::read(&asked.body).unwrap();
    let answer = render::answer(decision, &review.uid, review.operation);
    Told {
        kind: review.kind.kind.to_string(),
        name: decision.name.to_string(),
        allowed: answer.allowed,
        governed: decision.outcome != Outcome::NotGoverned,
        code: answer.code,
        reason: answer.reason.to_owned(),
        message: answer.message,
        causes: answer
            .causes
            .into_iter()
            .map(|cause| (cause.field, cause.message))
            .collect(),
        warnings: answer.warnings,
    }
}

impl Asked {
    /// API version, kind, namespace.
    fn id(&self) -> (String, String, String) {
        let request = &self.review["request"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, version) = (text(&request["kind"]["group"]), text(&request["kind"]["version"]));
        let api_version = if group.is_empty() {
            version
        } else {
            format!("{group}/{version}")
        };
        (
            api_version,
            text(&request["kind"]["kind"]),
            text(&request["namespace"]),
        )
    }
}

/// The requests of `workload.yaml`: a review as it stands, anything else as its creation.
pub fn asked(case: &Case) -> Vec<Asked> {
    let asked = |(document, object): (usize, Value)| {
        let review = if object["kind"] == "AdmissionReview" {
            object
        } else {
            let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
            let api_version = text(&object["apiVersion"]).unwrap();
            let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
            let meta = &object["metadata"];
            let name = text(&meta["name"])
                .or_else(|| text(&meta["generateName"]))
                .unwrap_or_default();
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "offline",
                "kind": {"group": group, "version": version, "kind": object["kind"]},
                "name": name,
                "namespace": text(&meta["namespace"]).unwrap_or_else(|| "default".to_owned()),
                "operation": "CREATE",
                "userInfo": {"username": "jane"},
                "object": object,
            }})
        };
        Asked {
            document,
            body: review.to_string(),
            review,
        }
    };
    let asked: Vec<Asked> = case
        .documents("workload.yaml")
        .into_iter()
        .enumerate()
        .map(asked)
        .collect();
    assert!(!asked.is_empty(), "{}: no workload", case.name);
    asked
}

impl Cluster {
    pub fn of(case: &Case) -> Self {
        let mut catalogue = Catalogue::new(Settings::default());
        let typed = |value: &Value| value.to_string();
        for policy in case.documents("policy.yaml") {
            let policy: DatasetPolicy = serde_json::from_str(&typed(&policy)).unwrap();
            catalogue.put_policy(Policy::try_from(&policy).unwrap());
        }
        let records = case
            .documents(case.catalogue)
            .into_iter()
            .chain(case.documents("records.yaml"));
        for record in records {
            let record: DatasetRecord = serde_json::from_str(&typed(&record)).unwrap();
            catalogue.put_record(Record::try_from(&record).unwrap());
        }
        for it in &case.about.unreadable {
            match (&it.policy, &it.record) {
                (Some(policy), None) => {
                    catalogue.put_unreadable_policy(
                        policy,
                        &it.error,
                        datagate_api::convert::reach(&it.spec),
                    );
                }
                (None, Some(record)) => catalogue.put_unreadable_record(record, &it.error),
                _ => panic!("{}: a policy or a record", case.name),
            }
        }
        let objects = case.documents("cluster.yaml");
        let mut named = Vec::new();
        for object in objects.iter().filter(|object| object["kind"] == "Namespace") {
            let name = object["metadata"]["name"].as_str().unwrap();
            let labels = pairs(&object["metadata"]["labels"]);
            catalogue.put_namespace(
                name,
                namespace(name, labels, pairs(&object["metadata"]["annotations"])),
            );
            named.push(name);
        }
        if !case.about.no_namespaces {
            for asked in asked(case) {
                let name = asked.review["request"]["namespace"].as_str().unwrap_or_default();
                if !named.contains(&name) {
                    let labels = case.about.namespace_labels.clone().into_iter().collect();
                    catalogue.put_namespace(name, namespace(name, labels, Vec::new()));
                }
            }
        }
        Self {
            world: catalogue.publish(),
            objects,
            no_namespaces: case.about.no_namespaces,
            no_owners: case.about.no_owners,
        }
    }

    /// With these objects besides; all namespaces are known.
    pub fn with(world: World, objects: Vec<Value>) -> Self {
        Self {
            world,
            objects,
            no_namespaces: false,
            no_owners: false,
        }
    }

    /// Brings what a decision asks for.
    pub fn bring(&self, need: &Need, fetched: &mut Fetched) {
        match need {
            Need::Namespace(name) => {
                assert!(self.no_namespaces, "all namespaces of a case are known");
                fetched.put_namespace(name, Err(Absence::Unreachable));
            }
            Need::Object {
                kind,
                namespace,
                name,
                ..
            } => {
                let default = match kind.info().scope {
                    Scope::Namespaced => "default",
                    Scope::Cluster => "",
                };
                let wanted = |object: &&Value| {
                    let meta = &object["metadata"];
                    let version = object["apiVersion"].as_str().unwrap_or_default();
                    let group = version.split_once('/').map_or("", |(group, _)| group);
                    object["kind"] == kind.info().kind
                        && group == kind.info().group
                        && meta["namespace"].as_str().unwrap_or(default) == &**namespace
                        && meta["name"].as_str() == Some(name)
                };
                let found = self
                    .objects
                    .iter()
                    .find(wanted)
                    .map(|object| Arc::from(object.to_string()));
                let object = if self.no_owners {
                    Err(Absence::Unreachable)
                } else {
                    found.ok_or(Absence::NotFound)
                };
                fetched.put_object(need.clone(), object);
            }
        }
    }

    /// The decision on a request.
    pub fn judge(&self, body: &str, at: Timestamp) -> Decision {
        let mut fetched = Fetched::default();
        for _ in 0..16 {
            match judge(Review::read(body).unwrap(), &self.world, &fetched, at) {
                Verdict::Decided(decision) => return *decision,
                Verdict::Needs(needs) => needs.iter().for_each(|need| self.bring(need, &mut fetched)),
            }
        }
        panic!("asks in circles");
    }
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// With the label that the API server sees to.
pub fn namespace(
    name: &str,
    mut labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
) -> Namespace {
    labels.push(("kubernetes.io/metadata.name".to_owned(), name.to_owned()));
    let boxed = |(key, value): (String, String)| (Box::from(key), Box::from(value));
    Namespace::new(
        labels.into_iter().map(boxed).collect(),
        annotations.into_iter().map(boxed),
    )
}
