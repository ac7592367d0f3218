//! What controllers make of a workload that was admitted: honest children pass, and a pause reaches the next one.
//!
//! The controllers are the real ones, each with its own service account.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{
    DATASETS, FILTER, FINE, PURPOSE, RAW, cron_job, declare, job, replicated, with_filter,
};

/// A pause for people in the US, in the place of that for Europe.
fn pause_the_us(policy: &mut Value) {
    policy["spec"]["pauses"][0]["name"] = json!("us");
    policy["spec"]["pauses"][0]["match"]["regions"] = json!(["US"]);
}

/// Who asked for a child, on what ground it was decided, and how.
#[track_caller]
fn decision(team: &Team, child: &Value) -> (String, String, String) {
    let what = format!("a line about {}", child["metadata"]["name"]);
    let line = team.rig.wait(&what, || {
        let all = team.decisions(child["kind"].as_str().unwrap());
        all.into_iter()
            .find(|line| line["object"]["name"] == child["metadata"]["name"])
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let user = text(&line["user"]).replace("system:serviceaccount:kube-system:", "");
    (user, text(&line["ground"]), text(&line["decision"]))
}

fn told(user: &str, ground: &str) -> (String, String, String) {
    (user.to_owned(), ground.to_owned(), "Allowed".to_owned())
}

/// The reasons in a text.
fn reasons(text: &str) -> Vec<&str> {
    let parts = text.split('[').filter_map(|part| part.split_once("];"));
    parts.map(|(reason, _)| reason).collect()
}

/// Says in the place of the node that does not exist that a pod has ended.
fn end(team: &Team, pod: &Value, phase: &str) {
    team.rig
        .api
        .patch_sub(pod, "status", &json!({"status": {"phase": phase}}))
        .admitted();
}

#[test]
fn pods_of_a_job_need_no_keys() {
    let team = Team::governed("children-job");
    team.rig
        .api
        .create(&declare(job(&team.name, "train"), FINE))
        .admitted();
    let pod = team.child("pods", "train");
    assert_eq!(pod["metadata"]["annotations"][DATASETS], Value::Null);
    assert_eq!(decision(&team, &pod), told("job-controller", "Child"));

    // By itself the same pod says nothing.
    let mut alone = pod.clone();
    alone["metadata"] = json!({"namespace": team.name, "name": "alone", "ownerReferences": pod["metadata"]["ownerReferences"]});
    alone["spec"]
        .as_object_mut()
        .unwrap()
        .retain(|field, _| ["containers", "restartPolicy"].contains(&field.as_str()));
    alone["spec"]["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("volumeMounts");
    team.rig.api.create(&alone).refused(
        422,
        &[
            crate::webhook::objects::UNDECLARED,
            "OwnerUnverified metadata.ownerReferences",
        ],
    );
}

#[test]
fn a_cron_job_makes_jobs_and_pods() {
    let team = Team::governed("children-cronjob");
    team.rig
        .api
        .create(&declare(cron_job(&team.name, "nightly"), FINE))
        .admitted();
    let job = team.child("jobs", "nightly");
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(job["metadata"]["annotations"][DATASETS], Value::Null);
    assert_eq!(decision(&team, &job), told("cronjob-controller", "Judged"));
    let pod = team.child("pods", &name);
    assert_eq!(decision(&team, &pod), told("job-controller", "Child"));

    // Made by a person the Job has the same owner, and is judged alone: nothing is inherited, and nothing is forged.
    let command = [
        "create",
        "job",
        "by-hand",
        "--from=cronjob/nightly",
        "--namespace=children-cronjob",
    ];
    let output = team.rig.cluster.kubectl(command).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: failed to create job: admission webhook"),
        "{said}"
    );
    assert_eq!(reasons(&said), ["DataUndeclared", "OwnerUnverified"], "{said}");
}

#[test]
fn keys_on_the_job_template_reach_the_jobs() {
    let team = Team::governed("children-template");
    let mut cron = cron_job(&team.name, "nightly");
    cron["spec"]["jobTemplate"]["metadata"] =
        json!({"annotations": {PURPOSE: "GenerativeAITraining", DATASETS: FINE}});
    team.rig.api.create(&cron).admitted();
    let job = team.child("jobs", "nightly");
    assert_eq!(job["metadata"]["annotations"][DATASETS], FINE);
    let pod = team.child("pods", job["metadata"]["name"].as_str().unwrap());
    assert_eq!(decision(&team, &pod), told("job-controller", "Child"));
    // So that one made by hand declares the same and passes.
    let command = [
        "create",
        "job",
        "by-hand",
        "--from=cronjob/nightly",
        "--namespace=children-template",
    ];
    let output = team.rig.cluster.kubectl(command).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_deployment_and_a_stateful_set_make_pods() {
    let team = Team::governed("children-apps");
    let deployment = declare(replicated("Deployment", &team.name, "serving"), FINE);
    team.rig.api.create(&deployment).admitted();
    let set = team.child("replicasets", "serving");
    assert_eq!(decision(&team, &set).0, "deployment-controller");
    let pod = team.child("pods", set["metadata"]["name"].as_str().unwrap());
    assert_eq!(decision(&team, &pod), told("replicaset-controller", "Child"));

    team.rig
        .api
        .create(&declare(replicated("StatefulSet", &team.name, "sharded"), FINE))
        .admitted();
    let pod = team.child("pods", "sharded");
    assert_eq!(decision(&team, &pod), told("statefulset-controller", "Child"));

    // There is no node for its pods.
    team.rig
        .api
        .create(&declare(replicated("DaemonSet", &team.name, "everywhere"), FINE))
        .admitted();
    team.rig
        .api
        .create(&replicated("DaemonSet", &team.name, "undeclared"))
        .refused(422, &[crate::webhook::objects::UNDECLARED]);
}

#[test]
fn a_new_pause_reaches_the_next_pod_unless_it_lets_finish() {
    let team = Team::governed("children-pause");
    let (mut job, mut policy) = (declare(job(&team.name, "train"), FINE), team.policy());
    job["spec"]["completions"] = json!(3);
    team.rig.api.create(&job).admitted();
    let first = team.child("pods", "train");
    pause_the_us(&mut policy);
    team.enforce(policy.clone());
    end(&team, &first, "Succeeded");
    let event = team.event("train", &["FailedCreate", "[RegionPaused]"]);
    assert!(
        event.contains("Job/train metadata.annotations[datagate.dev/datasets]: Forbidden"),
        "{event}"
    );
    assert!(event.contains("children-pause/us pauses US"), "{event}");
    assert_eq!(team.children("pods", "train").len(), 1);

    policy["spec"]["pauses"][0]["runningWorkloads"] = json!("LetFinish");
    team.enforce(policy);
    let what = "the next pod, after some back-off";
    let next = || (team.children("pods", "train").len() == 2).then_some(());
    team.rig.wait(what, next);
    // What begins anew is refused.
    job["metadata"]["name"] = json!("another");
    team.rig
        .api
        .create(&job)
        .refused(422, &[crate::webhook::objects::REGION_PAUSED]);
}

#[test]
fn a_retry_passes_although_a_rule_came_since() {
    let team = Team::governed("children-retry");
    let train = with_filter(declare(job(&team.name, "train"), RAW), FILTER);
    team.rig.api.create(&train).admitted();
    let first = team.child("pods", "train");
    let mut policy = team.policy();
    policy["spec"]["requirements"][0]["minimumAge"] = json!(21);
    policy["spec"]["requirements"][0]["steps"][0] =
        json!({"type": "OptOutFilter", "acceptedEvidence": ["Catalogued"], "maxListAgeDays": 1});
    team.enforce(policy);
    let mut again = train;
    again["metadata"]["name"] = json!("again");
    team.rig.api.create(&again).refused(
        422,
        &[
            "EvidenceInsufficient metadata.annotations[datagate.dev/datasets]",
            "AgeBelowMinimum metadata.annotations[datagate.dev/datasets]",
        ],
    );
    end(&team, &first, "Failed");
    let what = "a second pod of the same job";
    let next = || {
        team.children("pods", "train")
            .into_iter()
            .find(|pod| pod["metadata"]["uid"] != first["metadata"]["uid"])
    };
    let second = team.rig.wait(what, next);
    assert_eq!(decision(&team, &second), told("job-controller", "Child"));
}
