//! Namespaces by which a workload might slip through.

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{DATASETS, PAUSED, PURPOSE, UNDECLARED, declare, job, plain_spec, pod};

/// The policy's `Ready` condition, once it is about the policy as it is and has that reason.
#[track_caller]
fn ready(team: &Team, policy: &Value, reason: &str) -> Value {
    let what = format!("a Ready condition with {reason}");
    team.rig.wait(&what, || {
        let policy = team.rig.api.get(policy).admitted();
        let conditions = policy["status"]["conditions"].as_array()?.clone();
        conditions
            .into_iter()
            .find(|it| it["type"] == "Ready" && it["reason"] == reason)
    })
}

#[test]
fn attack_07_all_over_a_namespace_that_is_not_covered() {
    let team = Team::new("attack-07");
    let mut policy = team.policy();
    policy["spec"]["workloads"] = json!("All");
    team.enforce(policy.clone());
    let mut plain = pod(&team.name, "plain");
    plain["spec"] = plain_spec();
    // The API server does not ask about a plain pod here, and the policy's owner is told.
    team.rig.api.dry_run(&plain).admitted();
    let condition = ready(&team, &policy, "NamespacesNotCovered");
    assert_eq!(condition["status"], "False");
    assert!(
        condition["message"].as_str().unwrap().contains("attack-07"),
        "{condition}"
    );

    // Neither does it with a value that only looks right.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "attack-07"}});
    let label = |value: &str| json!({"metadata": {"labels": {"datagate.dev/workloads": value}}});
    team.rig.api.merge(&namespace, &label("all")).admitted();
    team.rig.api.dry_run(&plain).admitted();
    let condition = ready(&team, &policy, "NamespacesNotCovered");
    assert_eq!(condition["status"], "False");

    team.rig.api.merge(&namespace, &label("All")).admitted();
    let ask = || team.rig.api.dry_run(&plain);
    let answer = team.until("the label is honoured", ask, |answer| answer.code == 422);
    answer.refused(422, &[UNDECLARED]);
    let what = "the policy is ready";
    team.rig.wait(what, || {
        let policy = team.rig.api.get(&policy).admitted();
        let conditions = policy["status"]["conditions"].as_array()?.clone();
        conditions
            .into_iter()
            .find(|it| it["type"] == "Ready" && it["status"] == "True")
    });
}

#[test]
fn attack_07_a_namespace_made_a_moment_ago() {
    let team = Team::new("attack-07-new");
    let mut policy = team.policy();
    let labels = json!({"example.com/attack-07": "yes"});
    policy["spec"]["namespaceSelector"] = json!({"matchLabels": labels});
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    team.rig
        .api
        .merge(
            &namespace("attack-07-new"),
            &json!({"metadata": {"labels": labels}}),
        )
        .admitted();
    team.enforce(policy);
    for i in 0..20 {
        let name = format!("attack-07-new-{i}");
        team.rig.api.create(&namespace(&name)).admitted();
        let answer = team.rig.api.create(&declare(job(&name, "train"), PAUSED));
        answer.refused(422, &["RegionPaused metadata.annotations[datagate.dev/datasets]"]);
    }
}

#[test]
fn a_namespace_sets_defaults_and_a_ceiling() {
    let team = Team::governed("attack-06-namespace");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team.name}});
    let annotations = json!({DATASETS: PAUSED, PURPOSE: "GenerativeAITraining", "datagate.dev/allowed-purposes": "GenerativeAITraining"});
    team.rig
        .api
        .merge(&namespace, &json!({"metadata": {"annotations": annotations}}))
        .admitted();
    let silent = job(&team.name, "silent");
    let ask = || team.rig.api.dry_run(&silent);
    let answer = team.until("the defaults are known", ask, |answer| {
        !answer.findings().contains(&UNDECLARED.to_owned())
    });
    answer.refused(
        422,
        &["RegionPaused Namespace/attack-06-namespace metadata.annotations[datagate.dev/datasets]"],
    );
    let mut lie = declare(job(&team.name, "lie"), PAUSED);
    lie["metadata"]["annotations"][PURPOSE] = json!("Evaluation");
    team.rig.api.dry_run(&lie).refused(
        422,
        &["PurposeNotPermitted metadata.annotations[datagate.dev/purpose]"],
    );
}
