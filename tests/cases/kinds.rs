//! The fixtures of kinds (`tests/kinds/`): every step of each by the core, by the router and by the program.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::dataset::Record;
use datagate_core::decision::Outcome;
use datagate_core::policy::Policy;
use datagate_core::render;
use datagate_core::settings::Settings;
use datagate_core::workload::KnownKind;
use datagate_core::world::Catalogue;
use jiff::Timestamp;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::fixture::{
    self, FINALIZER, Fixture, Owner, PERSON, Strictness, child_of, paused, placed, sorted, with_meta,
};
use crate::judge::{Asked, Cluster};
use crate::router;

/// The namespace of all of them.
const NAMESPACE: &str = "ml";

/// Kinds of which nothing that trains is ever admitted, so that no fixture can start from an admitted one: a TaskAction is
/// encoded, and a StepAction has no place for a second step. `tests/cases/kinds` has cases of them.
const NEVER_ADMITTED: &[(&str, &str)] = &[("flyte.org", "TaskAction"), ("tekton.dev", "StepAction")];

/// One request and what must come of it.
struct Step {
    name: String,
    policy: Strictness,
    /// What is in the cluster.
    cluster: Vec<Value>,
    user: String,
    object: Value,
    old: Option<Value>,
    findings: Vec<String>,
    /// Whether it must be governed, so that it is not admitted for nobody looking.
    governed: bool,
}

/// A test for each step of each fixture and each way to judge it.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut kinds = Vec::new();
    for (name, fixture) in fixture::all() {
        let fixture = match fixture {
            Ok(fixture) => fixture,
            Err(error) => {
                trials.push(Trial::test(format!("{name}/fixture"), move || Err(error.into())));
                continue;
            }
        };
        kinds.extend(fixture.kind());
        let steps: Arc<Vec<Step>> = Arc::new(steps(&fixture));
        for i in 0..steps.len() {
            for (how, run) in [("judge", by_judge as fn(&Step)), ("router", by_router)] {
                let steps = Arc::clone(&steps);
                trials.push(Trial::test(
                    format!("{name}/{}::{how}", steps[i].name),
                    move || {
                        run(&steps[i]);
                        Ok(())
                    },
                ));
            }
        }
        trials.push(Trial::test(format!("{name}::cli"), move || {
            by_program(&steps);
            Ok(())
        }));
    }
    trials.push(Trial::test("every_kind_has_a_fixture", move || {
        let missing: Vec<String> = KnownKind::ALL
            .iter()
            .filter(|kind| !kinds.contains(kind))
            .filter(|kind| !NEVER_ADMITTED.contains(&(kind.info().group, kind.info().kind)))
            .map(|kind| format!("{}.{}", kind.info().kind, kind.info().group))
            .collect();
        assert!(
            missing.is_empty(),
            "no tests/kinds/*.yaml of {}",
            missing.join(", ")
        );
        Ok(())
    }));
    trials
}

fn steps(fixture: &Fixture) -> Vec<Step> {
    let place = |object: &Value| placed(object, NAMESPACE);
    let cluster = |more: &[Value]| -> Vec<Value> { fixture.cluster.iter().chain(more).map(place).collect() };
    let object = place(&fixture.object);
    let stored = stored(object.clone(), 0);
    let create = |name: &str, object: Value| Step {
        name: name.to_owned(),
        policy: fixture.policy,
        cluster: cluster(&[]),
        user: PERSON.to_owned(),
        object,
        old: None,
        findings: Vec::new(),
        governed: false,
    };
    let mut steps = vec![
        Step {
            governed: true,
            ..create("admitted", object.clone())
        },
        Step {
            cluster: cluster(&[]).iter().map(paused).collect(),
            findings: fixture.region_paused(),
            ..create("paused", paused(&object))
        },
    ];
    for variant in &fixture.variants {
        let new = fixture::patched(&object, &variant.patch).unwrap();
        steps.push(Step {
            policy: variant.policy.unwrap_or(fixture.policy),
            cluster: cluster(&variant.cluster),
            findings: variant.findings.clone(),
            ..create(&format!("variant-{}", variant.name), new)
        });
    }
    for update in &fixture.updates {
        let new = fixture::patched(&stored, &update.patch).unwrap();
        steps.push(Step {
            policy: update.policy.unwrap_or(fixture.policy),
            cluster: cluster(&update.cluster),
            user: fixture::user(&update.user, NAMESPACE),
            old: Some(stored.clone()),
            findings: update.findings.clone(),
            ..create(&format!("update-{}", update.name), new)
        });
    }
    // Nothing may keep what is refused today from being cleaned up.
    steps.push(Step {
        cluster: cluster(&[]).iter().map(paused).collect(),
        old: Some(with_meta(paused(&stored), "finalizers", json!([FINALIZER]))),
        ..create("update-finalizer-removed", paused(&stored))
    });
    for release in &fixture.releases {
        let held = paused(&fixture::patched(&stored, &release.held).unwrap());
        let new = fixture::patched(&held, &release.release).unwrap();
        steps.push(Step {
            cluster: cluster(&[]).iter().map(paused).collect(),
            old: Some(held),
            findings: fixture.region_paused(),
            ..create(&format!("release-{}", release.name), new)
        });
    }
    let mut made: Vec<(&str, Value)> = Vec::new();
    for (child, i) in fixture.children.iter().zip(1..) {
        let mut new = place(&child.object);
        let mut owners = vec![stored.clone()];
        owners.extend(made.iter().map(|(_, child)| child.clone()));
        match &child.owner {
            Owner::Object(true) => new = child_of(&new, &stored),
            Owner::Object(false) => {}
            Owner::Child(name) => {
                let (_, owner) = made.iter().find(|(it, _)| it == name).unwrap();
                new = child_of(&new, owner);
            }
        }
        steps.push(Step {
            cluster: cluster(&owners),
            user: fixture::user(&child.user, NAMESPACE),
            findings: child.findings.clone(),
            ..create(&format!("child-{}", child.name), new.clone())
        });
        steps.push(Step {
            cluster: cluster(&owners),
            findings: child.forged.clone(),
            ..create(&format!("forged-{}", child.name), new.clone())
        });
        made.push((&child.name, self::stored(new, i)));
    }
    steps
}

/// As the API server keeps it.
fn stored(mut object: Value, i: usize) -> Value {
    let meta = &mut object["metadata"];
    if meta["name"].is_null() {
        meta["name"] = json!(format!(
            "{}x{i}",
            meta["generateName"].as_str().unwrap_or_default()
        ));
    }
    with_meta(object, "uid", json!(format!("7c1e0f3a-0000-4000-8000-{i:012}")))
}

fn now() -> Timestamp {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

impl Step {
    /// The request.
    fn asked(&self) -> Asked {
        let (group, version) = fixture::group_version(&self.object);
        let meta = &self.object["metadata"];
        let name = meta["name"].as_str().or_else(|| meta["generateName"].as_str());
        let mut request = json!({
            "uid": "offline",
            "kind": {"group": group, "version": version, "kind": self.object["kind"]},
            "name": name,
            "namespace": meta["namespace"].as_str().unwrap_or_default(),
            "operation": "CREATE",
            "userInfo": {"username": self.user},
            "object": self.object,
        });
        if let Some(old) = &self.old {
            request["operation"] = json!("UPDATE");
            request["oldObject"] = old.clone();
        }
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        Asked {
            document: 0,
            body: review.to_string(),
            review,
        }
    }

    fn cluster(&self) -> Cluster {
        let mut catalogue = Catalogue::new(Settings::default());
        let policy: DatasetPolicy = serde_json::from_value(self.policy.policy()).unwrap();
        catalogue.put_policy(Policy::try_from(&policy).unwrap());
        let records = fs::read_to_string(records()).unwrap();
        for record in serde_saphyr::from_multiple::<Value>(&records).unwrap() {
            let record: DatasetRecord = serde_json::from_value(record).unwrap();
            catalogue.put_record(Record::try_from(&record).unwrap());
        }
        catalogue.put_namespace(
            NAMESPACE,
            crate::judge::namespace(NAMESPACE, Vec::new(), Vec::new()),
        );
        Cluster::with(catalogue.publish(), self.cluster.clone())
    }

    #[track_caller]
    fn expect(&self, findings: Vec<String>, governed: bool, more: &str) {
        assert_eq!(
            sorted(findings),
            sorted(self.findings.clone()),
            "{}: left is what came of it, right is what the fixture says\n{more}",
            self.name
        );
        assert!(governed || !self.governed, "{}: nothing governs it", self.name);
    }
}

fn records() -> std::path::PathBuf {
    fixture::folder().join("records.yaml")
}

fn by_judge(step: &Step) {
    let decision = step.cluster().judge(&step.asked().body, now());
    let findings = decision
        .findings
        .iter()
        .map(|it| format!("{} {}", it.reason(), render::field(it)));
    let governed = decision.outcome != Outcome::NotGoverned;
    step.expect(findings.collect(), governed, &format!("{:#?}", decision.findings));
}

fn by_router(step: &Step) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let told = runtime.block_on(router::post(&Arc::new(step.cluster()), &step.asked(), now()));
    told.check(&step.name);
    let causes = told.causes.iter().filter(|(field, _)| field != "help");
    let findings = causes.map(|(field, message)| {
        let reason = message.rsplit_once('[').map_or("", |(_, reason)| reason);
        format!("{} {field}", reason.trim_end_matches(']'))
    });
    let findings: Vec<String> = findings.collect();
    assert_eq!(told.allowed, step.findings.is_empty(), "{told:#?}");
    step.expect(findings, told.governed, &told.message);
}

/// All steps, with one run of the program for those that share policy and cluster.
fn by_program(steps: &[Step]) {
    let mut groups: Vec<Vec<&Step>> = Vec::new();
    for step in steps {
        let shares =
            |group: &&mut Vec<&Step>| group[0].policy == step.policy && group[0].cluster == step.cluster;
        match groups.iter_mut().find(shares) {
            Some(group) => group.push(step),
            None => groups.push(vec![step]),
        }
    }
    for group in groups {
        let reviews: Vec<Value> = group.iter().map(|step| step.asked().review).collect();
        let (report, _) = check(group[0], &reviews);
        let results = report["results"].as_array().unwrap();
        assert_eq!(results.len(), group.len(), "{report:#}");
        for (step, result) in group.iter().zip(results) {
            let findings = result["findings"].as_array().unwrap().iter();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let findings = findings.map(|it| format!("{} {}", text(&it["reason"]), text(&it["field"])));
            step.expect(
                findings.collect(),
                result["decision"] != "NotGoverned",
                &format!("{result:#}"),
            );
        }
        // As it stands in a file of its author's.
        for step in group
            .iter()
            .filter(|step| step.old.is_none() && step.user == PERSON)
        {
            if step.name != "admitted" && step.name != "paused" {
                continue;
            }
            let (report, status) = check(step, std::slice::from_ref(&step.object));
            assert_eq!(status, i32::from(!step.findings.is_empty()), "{report:#}");
        }
    }
}

/// What the program says of some documents, and the status it exits with.
fn check(step: &Step, documents: &[Value]) -> (Value, i32) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, documents: &[Value]| {
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        let path = folder.path().join(name);
        fs::write(&path, texts.join("\n---\n")).unwrap();
        path
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
    command.args(["check", "-o", "json", "--at", &now().to_string()]);
    command.arg("--policy").arg(step.policy.file());
    command.arg("--record").arg(records());
    if !step.cluster.is_empty() {
        command.arg("--record").arg(write("cluster.yaml", &step.cluster));
    }
    let output = command.arg(write("workloads.yaml", documents)).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.is_empty(), "on standard error: {told}");
    (
        serde_json::from_slice(&output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}
