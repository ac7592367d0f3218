//! The index against a real API server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::world::RecordSlot;
use datagate_env::{ControlPlane, free_port, wait_until};
use futures::stream::{self, StreamExt as _};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::rig::{self, Indexed, apply, kubectl, policy};

fn paused(name: &str, namespace: &str, regions: &[&str]) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetPolicy",
        "metadata": {"name": name},
        "spec": {
            "validationActions": ["Deny"],
            "undeclared": "Deny",
            "workloads": "TrainingKinds",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "pauses": [{"name": "p", "match": {"regions": regions}}],
        },
    })
}

fn record(name: &str) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetRecord",
        "metadata": {"name": name},
        "spec": {
            "sourceCategory": "UserData",
            "personalData": "Present",
            "dataSubjects": {"regions": ["US", "CA"]},
            "dataCategories": ["PublicPosts", "Profile"],
            "steps": [{"type": "OptOutFilter", "optOutList": {"asOf": "2025-11-01T00:00:00Z"}}],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_within_milliseconds() {
    let plane = rig::shared();
    let client = rig::client(plane).await;
    let mut index = Indexed::start(client.clone());
    index.until("the first snapshot", |_| true).await;
    assert!(
        index.readiness.report().ready,
        "{}",
        index.readiness.report().text
    );

    kubectl(plane, ["create", "namespace", "index-a"]);
    index
        .until("the namespace", |it| it.world.namespace("index-a").is_some())
        .await;
    apply(plane, &paused("index-a", "index-a", &["DE"]).to_string());
    apply(plane, &record("index-a").to_string());
    let snapshot = index
        .until("policy and record", |it| {
            policy(it, "index-a").is_some() && it.world.record("index-a").is_some()
        })
        .await;
    assert_eq!(snapshot.world.governed_namespaces("index-a"), 1);
    assert!(matches!(
        snapshot.world.record("index-a"),
        Some(RecordSlot::Ready(_))
    ));

    let policies = Api::<DatasetPolicy>::all(client.clone());
    let mut took = Vec::new();
    for i in 0..100 {
        let region = ["FR", "IT"][i % 2];
        let patch = json!({"spec": {"pauses": [{"name": "p", "match": {"regions": [region]}}]}});
        let begun = Instant::now();
        let patched = policies
            .patch("index-a", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        let generation = patched.metadata.generation.unwrap();
        index
            .until("the edit", |it| {
                policy(it, "index-a").is_some_and(|it| it.policy.as_ref().unwrap().generation == generation)
            })
            .await;
        took.push(begun.elapsed());
    }
    let begun = Instant::now();
    policies.delete("index-a", &Default::default()).await.unwrap();
    index
        .until("the deletion", |it| policy(it, "index-a").is_none())
        .await;
    let deleted = begun.elapsed();
    took.sort();
    println!(
        "edit to published, the edit included: p50 {:?} p99 {:?}; deletion {deleted:?}",
        took[50], took[98]
    );
    assert!(took[50] < Duration::from_millis(500) && deleted < Duration::from_secs(5));
    index.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_policy_and_a_deleted_crd_lift_no_pause() {
    let plane = rig::own();
    let mut index = Indexed::start(rig::client(&plane).await);
    apply(&plane, &paused("a", "default", &["DE"]).to_string());
    apply(&plane, &paused("b", "default", &["FR"]).to_string());
    apply(&plane, &record("r").to_string());
    index
        .until("all", |it| {
            it.world.policies().count() == 2 && it.world.record("r").is_some()
        })
        .await;

    // As if a newer datagate, since rolled back, had brought a CRD with another word.
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
        .wait_until("the word to be taken", rig::LONG, || {
            let patch = r#"{"spec": {"undeclared": "Pray"}}"#;
            let done = plane
                .kubectl(["patch", "dsp", "a", "--type=merge", "--patch", patch])
                .output()
                .unwrap();
            done.status.success().then_some(())
        })
        .unwrap();
    let snapshot = index
        .until("the error", |it| {
            policy(it, "a").is_some_and(|it| it.error.is_some())
        })
        .await;
    let slot = policy(&snapshot, "a").unwrap();
    assert_eq!(slot.policy.as_ref().unwrap().generation, 1);
    let error = slot.error.as_deref().unwrap();
    assert!(
        error.starts_with("spec.undeclared: unknown variant Pray"),
        "{error}"
    );

    // One that starts now has no past to hold on to.
    let mut late = Indexed::start(rig::client(&plane).await);
    let seen = late.until("the first snapshot", |_| true).await;
    let slot = policy(&seen, "a").unwrap();
    assert!(slot.policy.is_none() && slot.reach.is_some(), "{slot:?}");
    assert_eq!(seen.world.governed_namespaces("a"), 1);
    late.stop().await;

    // Deleting a policy lifts its pause; deleting the CRD does not.
    kubectl(&plane, ["delete", "dsp", "a"]);
    index.until("the deletion", |it| policy(it, "a").is_none()).await;
    kubectl(
        &plane,
        [
            "delete",
            "crd",
            "datasetpolicies.datagate.dev",
            "datasetrecords.datagate.dev",
        ],
    );
    plane
        .wait_until("the loss to be noticed", rig::LONG, || {
            let text = index.readiness.report().text;
            (text.matches("does not know this kind").count() == 2).then_some(())
        })
        .unwrap();
    assert!(
        index
            .metrics
            .encode()
            .unwrap()
            .contains("datagate_held_deletions 2\n")
    );
    let snapshot = index.until("the last snapshot", |_| true).await;
    assert!(policy(&snapshot, "b").is_some() && snapshot.world.record("r").is_some());
    assert!(index.readiness.report().ready);

    // With the CRDs the truth is back.
    rig::install_crds(&plane);
    apply(&plane, &paused("c", "default", &["FR"]).to_string());
    index
        .until("the truth", |it| {
            policy(it, "c").is_some() && policy(it, "b").is_none() && it.world.record("r").is_none()
        })
        .await;
    index.stop().await;
}

/// Takes minutes to prepare: run it by name.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ten_thousand_records_and_a_thousand_policies() {
    let plane = rig::own();
    let client = rig::client(&plane).await;
    let policies = Api::<DatasetPolicy>::all(client.clone());
    let records = Api::<DatasetRecord>::all(client.clone());
    let how = PostParams::default();
    stream::iter(0..1000)
        .for_each_concurrent(16, async |i| {
            let policy =
                serde_json::from_value(paused(&format!("p{i}"), "default", &["DE", "FR", "EEA"])).unwrap();
            policies.create(&how, &policy).await.unwrap();
        })
        .await;
    stream::iter(0..10_000)
        .for_each_concurrent(16, async |i| {
            let record = serde_json::from_value(record(&format!("r{i}"))).unwrap();
            records.create(&how, &record).await.unwrap();
        })
        .await;
    start_the_program(&plane);
    let mut index = Indexed::start(client);
    let snapshot = index.until("the first snapshot", |_| true).await;
    let counts = (
        snapshot.world.policies().count(),
        snapshot.world.records().count(),
    );
    assert_eq!(counts, (1000, 10_000));
    let begun = Instant::now();
    let patch = json!({"spec": {"pauses": [{"name": "p", "match": {"regions": ["IT"]}}]}});
    policies
        .patch("p500", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    index
        .until("the edit", |it| {
            policy(it, "p500").is_some_and(|it| it.policy.as_ref().unwrap().generation == 2)
        })
        .await;
    println!("an edit took {:?}", begun.elapsed());
    index.stop().await;
}

/// Starts the program and tells how long it took to be ready, and its memory. `DATAGATE_BIN` may name a release build.
fn start_the_program(plane: &ControlPlane) {
    let program = std::env::var("DATAGATE_BIN").unwrap_or(env!("CARGO_BIN_EXE_datagate").to_owned());
    let cert = plane.server_cert(&["localhost"]).unwrap();
    let [cert_file, key_file] = ["tls.crt", "tls.key"].map(|name| plane.dir().join(name));
    std::fs::write(&cert_file, cert.cert_pem).unwrap();
    std::fs::write(&key_file, cert.key_pem).unwrap();
    let admin = format!("127.0.0.1:{}", free_port().unwrap());
    let begun = Instant::now();
    let mut process = Command::new(program)
        .args([
            "serve",
            "--listen=127.0.0.1:0",
            "--admin-listen",
            &admin,
            "--tls-cert",
        ])
        .arg(cert_file)
        .arg("--tls-key")
        .arg(key_file)
        .env("KUBECONFIG", plane.kubeconfig())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    plane.end_with(process.id()).unwrap();
    wait_until("the program to be ready", rig::LONG, || {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(&admin).map_err(|error| error.to_string())?;
        let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).map_err(|error| error.to_string())?;
        let _ = stream.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 200").then_some(()).ok_or(answer)
    })
    .unwrap();
    let ready = begun.elapsed();
    println!("ready after {ready:?}; resident {} KiB", resident(process.id()));
    process.kill().unwrap();
    process.wait().unwrap();
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
