//! The chart: what it installs, upgrades and leaves behind, and what it lets the server do.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod filter;
mod guard;
mod install;
mod layer;
mod matrix;
mod rights;
mod running;
mod selftest;
mod values;

use std::collections::BTreeSet;

use datagate_env::{ControlPlane, stdout_of};
use serde_json::json;

use crate::webhook::objects::{declare, job};
use crate::webhook::{SYSTEM, Team, repository, rig};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

fn helm(cluster: &ControlPlane, arguments: &[&str]) -> String {
    stdout_of(&mut cluster.helm(arguments)).unwrap()
}

#[test]
fn every_mode_is_linted() {
    let chart = repository("charts/datagate");
    for set in [
        "mode=Enforce",
        "mode=Observe",
        "webhook.url=https://datagate.example.com/validate",
        "certificate.mode=CertManager",
        "hostNetwork=true",
        "guard.enabled=true,guard.groups={platform},secondLayer.enabled=true,networkPolicy.enabled=true",
    ] {
        helm(&rig().cluster, &["lint", "--strict", &chart, "--set", set]);
    }
    let refused = rig()
        .cluster
        .helm(["lint", "--strict", &chart, "--set", "mode=Off"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
}

#[test]
fn every_resource_of_the_rules_exists() {
    let rig = rig();
    let api = &rig.api;
    crate::rig::install_third_party(&rig.cluster);
    let mut known = BTreeSet::new();
    let groups = api.get_path("/apis").admitted();
    let groups = groups["groups"].as_array().unwrap();
    let versions = groups
        .iter()
        .flat_map(|group| group["versions"].as_array().unwrap())
        .map(|version| format!("/apis/{}", version["groupVersion"].as_str().unwrap()));
    for path in versions.chain(["/api/v1".to_owned()]) {
        let list = api.get_path(&path).admitted();
        let version = list["groupVersion"].as_str().unwrap();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        for resource in list["resources"].as_array().unwrap() {
            known.insert(format!("{group}/{}", resource["name"].as_str().unwrap()));
        }
    }
    let configuration = api.get_path(&format!("{CONFIGURATIONS}/datagate")).admitted();
    let mut named = BTreeSet::new();
    for webhook in configuration["webhooks"].as_array().unwrap() {
        assert_eq!(webhook["timeoutSeconds"], 5);
        for rule in webhook["rules"].as_array().unwrap() {
            assert_eq!(rule["apiVersions"], json!(["*"]));
            assert_eq!(rule["scope"], "*");
            for resource in rule["resources"].as_array().unwrap() {
                named.insert(format!(
                    "{}/{}",
                    rule["apiGroups"][0].as_str().unwrap(),
                    resource.as_str().unwrap()
                ));
            }
        }
    }
    let missing: Vec<&String> = named.difference(&known).collect();
    // A kind that is not installed is no mistake, one that does not exist anywhere is.
    assert_eq!(missing, Vec::<&String>::new());
    assert!(named.len() >= 10, "{named:?}");
}

#[test]
fn with_these_rights_it_syncs_writes_status_and_reads_owners() {
    let team = Team::governed("rights");
    let (code, text) = team.rig.server.readyz().unwrap();
    assert_eq!(code, 200, "{text}");
    for watch in ["policies", "records", "namespaces"] {
        assert!(text.contains(&format!("[+] {watch}")), "{text}");
    }
    let status = team.rig.wait("the policy's status", || {
        let policy = team.rig.api.get(&team.policy()).admitted();
        let current = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
        let status = &policy["status"];
        let ready = status["conditions"]
            .as_array()?
            .iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True");
        (current && ready).then(|| status.clone())
    });
    assert_eq!(status["governedNamespaces"], 1, "{status:#}");
    assert!(
        status["summary"]
            .as_str()
            .unwrap()
            .contains("no GenerativeAITraining on UserData"),
        "{status:#}"
    );
    let record = json!({"apiVersion": "datagate.dev/v1alpha1", "kind": "DatasetRecord", "metadata": {"name": "member-posts-2024"}});
    let record = team.rig.api.get(&record).admitted();
    let accepted = record["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|it| it["type"] == "Accepted" && it["status"] == "True");
    assert!(accepted, "{record:#}");
    let lease = team
        .rig
        .api
        .get_path(&format!(
            "/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/datagate"
        ))
        .admitted();
    assert!(lease["spec"]["holderIdentity"].is_string(), "{lease:#}");

    team.rig
        .api
        .create(&declare(job(&team.name, "train"), crate::webhook::objects::FINE))
        .admitted();
    let pod = team.child("pods", "train");
    let line = team.rig.wait("a line about the pod", || {
        team.decisions("Pod")
            .into_iter()
            .find(|line| line["object"]["name"] == pod["metadata"]["name"])
    });
    assert_eq!(line["ground"], "Child", "{line}");
    team.rig.wait("the kinds of the cluster have been looked at", || {
        let text = team.rig.server.admin("/metrics").ok()?.1;
        let value = |name: &str| {
            let line = text.lines().find_map(|it| it.strip_prefix(name))?;
            line.trim().parse::<i64>().ok()
        };
        assert_eq!(value("datagate_coverage_failures_total"), Some(0), "{text}");
        (value("datagate_coverage_timestamp_seconds")? > 0).then_some(())
    });
    let log = team.rig.server.log();
    assert!(!log.contains("\"ERROR\""), "{log}");
}
