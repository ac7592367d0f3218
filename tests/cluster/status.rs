//! Statuses as people see them.

use std::sync::Arc;

use datagate::metrics::Metrics;
use datagate::status::{self, Config, Inputs};
use datagate::stop::stop;
use datagate::{object, registration};
use datagate_env::ControlPlane;
use jiff::Timestamp;
use serde_json::Value;
use snapbox::{assert_data_eq, str};

use crate::rig::{self, Indexed, LONG, apply, kubectl};

const OBJECTS: &str = r#"
apiVersion: datagate.dev/v1alpha1
kind: DatasetPolicy
metadata: {name: member-data}
spec:
  validationActions: [Deny, Audit]
  undeclared: Deny
  workloads: Accelerated
  denyFrom: "2126-02-01T00:00:00Z"
  pauses:
    - name: eea-uk-ch
      match:
        regions: ["EEA", "GB", "CH"]
        purposes: [GenerativeAITraining]
      effectiveFrom: "2024-09-18T00:00:00Z"
---
apiVersion: datagate.dev/v1alpha1
kind: DatasetPolicy
metadata: {name: everything}
spec: {validationActions: [Warn], undeclared: Warn, workloads: All}
---
apiVersion: datagate.dev/v1alpha1
kind: DatasetRecord
metadata: {name: posts}
spec:
  sourceCategory: UserData
  personalData: Present
  dataSubjects: {regions: ["US", "CA"]}
  steps: [{type: OptOutFilter, optOutList: {name: setting, asOf: "2025-11-01T00:00:00Z"}}]
---
apiVersion: datagate.dev/v1alpha1
kind: DatasetRecord
metadata: {name: orphan}
spec:
  sourceCategory: Synthetic
  personalData: Absent
  derivedFrom: [{name: gone}]
  withdrawn: {since: "2026-01-10T00:00:00Z", reason: "no parent"}
"#;

const WEBHOOK: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: datagate}
webhooks:
- &hook
  name: training.datagate.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {url: "https://localhost:1/validate"}
  # Nobody answers, and nobody is asked.
  matchConditions: [{name: changed, expression: "false"}]
  rules:
  - {apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: [CREATE, UPDATE]}
- {<<: *hook, name: core.datagate.dev}
- {<<: *hook, name: core-all.datagate.dev}
"#;

/// One condition of an object, once it is about this generation.
fn condition(plane: &ControlPlane, object: &str, kind: &str, generation: i64) -> Option<Value> {
    let (resource, name) = object.split_once('/').unwrap();
    let object = plane.get([resource, name]).ok()?;
    let current = object["status"]["observedGeneration"] == generation;
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|it| current && it["type"] == kind)
        .cloned()
}

/// Waits until a condition has this reason, and gives its message.
fn until(plane: &ControlPlane, object: &str, kind: &str, generation: i64, reason: &str) -> String {
    let what = format!("{kind} of {object} to be {reason}");
    plane
        .wait_until(&what, LONG, || {
            let condition = condition(plane, object, kind, generation)?;
            (condition["reason"] == reason).then(|| condition["message"].as_str().unwrap().to_owned())
        })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_writes_what_people_read() {
    let plane = rig::own();
    kubectl(&plane, ["create", "namespace", "datagate-system"]);
    apply(&plane, WEBHOOK);
    apply(&plane, OBJECTS);
    let client = rig::client(&plane).await;
    let index = Indexed::start(client.clone());
    let (registered, registrations) = registration::channel();
    let (watched, watching) = stop();
    let registration = tokio::spawn(registration::run(
        object::Config::default(),
        "datagate".to_owned(),
        client.clone(),
        registered,
        watching,
    ));
    let inputs = Inputs {
        snapshots: index.snapshots.clone(),
        folded: index.folded.clone(),
        readiness: index.readiness.clone(),
        registrations,
    };
    let replica = |identity: &str| {
        let metrics = Metrics::new();
        let (stopper, stop) = stop();
        let config = Config {
            identity: identity.to_owned(),
            replica: identity.to_owned(),
            webhook: Some("datagate".to_owned()),
            ..Config::new("datagate-system")
        };
        let written = metrics.status.clone();
        let run = status::run(
            config,
            client.clone(),
            inputs.clone(),
            Arc::new(Timestamp::now),
            written,
            stop,
        );
        (metrics, stopper, tokio::spawn(run))
    };
    let replicas = [replica("one"), replica("two")];

    until(&plane, "dsp/member-data", "Ready", 1, "Enforced");
    until(&plane, "dsr/posts", "Accepted", 1, "Valid");
    until(&plane, "dsr/orphan", "Accepted", 1, "DerivedFromBroken");
    let uncovered = until(&plane, "dsp/everything", "Ready", 1, "NamespacesNotCovered");
    assert!(
        uncovered.starts_with("3 governed namespaces lack "),
        "{uncovered}"
    );
    assert_data_eq!(
        kubectl(&plane, ["get", "dsp,dsr"]),
        str![[r#"
NAME                                     ACTIONS            PAUSED              NEXT CHANGE            READY   AGE
datasetpolicy.datagate.dev/everything    ["Warn"]                                                      False   [..]
datasetpolicy.datagate.dev/member-data   ["Deny","Audit"]   ["CH","EEA","GB"]   2126-02-01T00:00:00Z   True    [..]

NAME                                REGIONS       PERSONAL DATA   OPT-OUT AS OF          WITHDRAWN              AGE
datasetrecord.datagate.dev/orphan                 Absent                                 2026-01-10T00:00:00Z   [..]
datasetrecord.datagate.dev/posts    ["US","CA"]   Present         2025-11-01T00:00:00Z                          [..]

"#]]
    );

    let lease = plane
        .get(["lease", "datagate", "--namespace", "datagate-system"])
        .unwrap();
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    let (leader, other) = if holder == "one" { (0, 1) } else { (1, 0) };
    let writes = replicas
        .each_ref()
        .map(|(metrics, ..)| metrics.status.writes.get());
    assert!(
        writes[leader] >= 4 && writes[other] == 0,
        "{holder} leads: {writes:?}"
    );

    // What datagate wrote says so, and what it says no more goes.
    let patch = r#"{"spec": {"denyFrom": null}}"#;
    kubectl(
        &plane,
        ["patch", "dsp", "member-data", "--type=merge", "--patch", patch],
    );
    until(&plane, "dsp/member-data", "Ready", 2, "Enforced");
    let policy = plane
        .get(["dsp", "member-data", "--show-managed-fields"])
        .unwrap();
    assert_eq!(
        policy["status"]["nextChange"],
        Value::Null,
        "{}",
        policy["status"]
    );
    let managers = policy["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .any(|it| it["manager"] == "datagate" && it["subresource"] == "status"),
        "{managers:?}"
    );

    // A word of the future.
    let word = r#"[{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/undeclared/enum/-", "value": "Pray"}]"#;
    kubectl(
        &plane,
        [
            "patch",
            "crd",
            "datasetpolicies.datagate.dev",
            "--type=json",
            "--patch",
            word,
        ],
    );
    plane
        .wait_until("the word to be taken", LONG, || {
            let patch = r#"{"spec": {"undeclared": "Pray"}}"#;
            let done = plane
                .kubectl(["patch", "dsp", "member-data", "--type=merge", "--patch", patch])
                .output()
                .unwrap();
            done.status.success().then_some(())
        })
        .unwrap();
    let why = until(&plane, "dsp/member-data", "Accepted", 3, "InvalidSpec");
    assert_data_eq!(
        why,
        str![
            "spec.undeclared: unknown variant Pray, expected one of Deny, Warn, Ignore. The last version that could be read stays in force."
        ]
    );
    // One that its CRD no longer allows gets its status all the same.
    let back = r#"[{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/undeclared/enum/3"}]"#;
    let crd = "datasetpolicies.datagate.dev";
    kubectl(&plane, ["patch", "crd", crd, "--type=json", "--patch", back]);
    plane
        .wait_until("the word to be refused again", LONG, || {
            let patch = r#"{"spec": {"undeclared": "Pray"}}"#;
            let dry = [
                "patch",
                "dsp",
                "everything",
                "--type=merge",
                "--dry-run=server",
                "--patch",
                patch,
            ];
            let done = plane.kubectl(dry).output().unwrap();
            (!done.status.success()).then_some(())
        })
        .unwrap();
    kubectl(&plane, ["create", "namespace", "another"]);
    plane
        .wait_until("the status of one that the CRD refuses", LONG, || {
            let policy = plane.get(["dsp", "member-data"]).ok()?;
            (policy["status"]["governedNamespaces"] == 6).then_some(())
        })
        .unwrap();
    kubectl(&plane, ["delete", "validatingwebhookconfiguration", "datagate"]);
    until(&plane, "dsp/everything", "Ready", 1, "WebhookMissing");

    // The other one takes over, at once as the first lets go.
    let [one, two] = replicas;
    let (first, second) = if leader == 0 { (one, two) } else { (two, one) };
    first.1.stop();
    first.2.await.unwrap();
    plane
        .wait_until("the other to lead", LONG, || {
            (second.0.status.leader.get() == 1).then_some(())
        })
        .unwrap();
    apply(&plane, WEBHOOK);
    until(&plane, "dsp/everything", "Ready", 1, "NamespacesNotCovered");
    assert!(second.0.status.writes.get() > 0);
    assert_eq!(second.0.status.write_failures.get(), 0);
    second.1.stop();
    second.2.await.unwrap();
    watched.stop();
    registration.await.unwrap();
    index.stop().await;
}
