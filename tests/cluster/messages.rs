//! What people read: kubectl's output, taken from real runs and kept in `tests/golden`.
//!
//! `DATAGATE_UPDATE=1 cargo test --test cluster messages` writes it anew; then read the difference as an engineer who
//! wants to know why a job does not start.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use snapbox::Data;

use crate::webhook::Team;
use crate::webhook::objects::{
    FILTER, FINE, PAUSED, RAW, cron_job, declare, job, replicated, spec_of, with_filter,
};

const APPLY: &[&str] = &["apply", "--filename=-"];

/// Compares what kubectl printed with the recorded text.
#[track_caller]
fn golden(name: &str, command: &[&str], output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    compare(
        name,
        &format!("$ kubectl {}\n{}", command.join(" "), said.concat()),
    );
}

#[track_caller]
pub fn compare(name: &str, text: &str) {
    let path = crate::webhook::repository(&format!("tests/golden/{name}.txt"));
    let said = masked(text);
    if std::env::var_os("DATAGATE_UPDATE").is_some() {
        fs::write(path, said).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    snapbox::assert_data_eq!(said, Data::text(expected).raw());
}

/// Without what differs from run to run: the decision's id.
fn masked(text: &str) -> String {
    let mut parts = text.split("decision ");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        let id = part.len() - rest.len();
        assert_eq!(id, 8, "no decision id in: {part}");
        masked += &format!("decision 7c1e0f3a{rest}");
    }
    masked
}

#[track_caller]
fn kubectl(team: &Team, name: &str, command: &[&str], input: &Value) -> Output {
    let mut kubectl = team.rig.cluster.kubectl(command);
    let output = team
        .rig
        .cluster
        .with_input(&mut kubectl, &input.to_string())
        .unwrap()
        .output()
        .unwrap();
    golden(name, command, &output);
    output
}

#[track_caller]
fn refused(team: &Team, name: &str, command: &[&str], input: &Value) {
    assert!(!kubectl(team, name, command, input).status.success());
}

#[track_caller]
fn admitted(team: &Team, name: &str, command: &[&str], input: &Value) {
    assert!(kubectl(team, name, command, input).status.success());
}

#[test]
fn refusals_of_a_creation() {
    let team = Team::governed("ml");
    let ns = &team.name;
    let paused = declare(job(ns, "finetune-posts"), PAUSED);
    refused(&team, "create-paused", APPLY, &paused);
    refused(
        &team,
        "create-dry-run",
        &["apply", "--dry-run=server", "--filename=-"],
        &paused,
    );
    refused(
        &team,
        "create-server-side",
        &["apply", "--server-side", "--filename=-"],
        &paused,
    );
    refused(&team, "create-undeclared", APPLY, &job(ns, "undeclared"));
    refused(
        &team,
        "create-cronjob",
        APPLY,
        &declare(cron_job(ns, "nightly"), PAUSED),
    );

    let mut several = declare(job(ns, "several"), &format!("{PAUSED}, {RAW}, member-post"));
    several["metadata"]["annotations"]["datagate.dev/dataset"] = json!("x");
    several["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("datagate.dev/purpose");
    refused(&team, "create-several", APPLY, &several);

    let mut beside = declare(job(ns, "beside"), RAW);
    let containers = spec_of(&mut beside)["containers"].as_array_mut().unwrap();
    containers.insert(0, json!({"name": "opt-out", "image": FILTER}));
    refused(&team, "create-filter-beside", APPLY, &beside);

    // The name is that of the object, whatever was asked for.
    let mut generated = declare(job(ns, "x"), PAUSED);
    generated["metadata"]["name"].take();
    generated["metadata"]["generateName"] = json!("finetune-");
    let answer = team.rig.api.create(&generated);
    answer.refused(422, &[crate::webhook::objects::REGION_PAUSED]);
    let name = answer.body["details"]["name"].as_str().unwrap();
    assert!(
        name.starts_with("finetune-") && name.len() == "finetune-".len() + 5,
        "{name}"
    );
    assert_eq!(answer.body["details"]["group"], "batch");
    assert_eq!(answer.body["details"]["kind"], "Job");
}

#[test]
fn refusals_of_an_update() {
    let team = Team::governed("ml-updates");
    let ns = &team.name;
    let apply = |object: &Value| {
        let output = team.rig.cluster.apply(&object.to_string()).unwrap();
        assert!(output.status.success(), "{output:?}");
    };

    let serving = declare(replicated("Deployment", ns, "serving"), FINE);
    apply(&serving);
    let edited = declare(serving, PAUSED);
    refused(&team, "update-apply", APPLY, &edited);
    refused(
        &team,
        "update-server-side",
        &["apply", "--server-side", "--force-conflicts", "--filename=-"],
        &edited,
    );
    refused(&team, "update-replace", &["replace", "--filename=-"], &edited);

    let mut held = with_filter(declare(job(ns, "held"), RAW), FILTER);
    held["spec"]["suspend"] = json!(true);
    apply(&held);
    let annotate = [
        "annotate",
        "--namespace=ml-updates",
        "--overwrite",
        "job/held",
        "datagate.dev/datasets=member-posts-2024",
    ];
    refused(&team, "update-annotate", &annotate, &Value::Null);
    let unset = [
        "annotate",
        "--namespace=ml-updates",
        "job/held",
        "datagate.dev/datasets-",
    ];
    refused(&team, "update-annotate-remove", &unset, &Value::Null);
}

#[test]
fn warnings() {
    let team = Team::new("ml-warned");
    let mut policy = team.policy();
    policy["spec"]["validationActions"] = json!(["Warn"]);
    policy["spec"]["undeclared"] = json!("Warn");
    team.enforce(policy);
    admitted(
        &team,
        "warn",
        APPLY,
        &declare(job(&team.name, "finetune-posts"), PAUSED),
    );
    admitted(&team, "warn-undeclared", APPLY, &job(&team.name, "undeclared"));

    let team = Team::new("ml-later");
    let mut policy = team.policy();
    policy["spec"]["denyFrom"] = json!("2099-02-01T00:00:00Z");
    team.enforce(policy);
    admitted(
        &team,
        "warn-deny-from",
        APPLY,
        &declare(job(&team.name, "finetune-posts"), PAUSED),
    );

    let team = Team::new("ml-soon");
    let mut policy = team.policy();
    policy["spec"]["pauses"][0]["effectiveFrom"] = json!("2099-02-01T00:00:00Z");
    team.enforce(policy);
    let coming = with_filter(declare(job(&team.name, "finetune-posts"), PAUSED), FILTER);
    admitted(&team, "warn-coming-pause", APPLY, &coming);
}

#[test]
fn a_refused_run_is_an_event_of_its_cron_job() {
    let team = Team::new("ml-nightly");
    let cron = declare(cron_job(&team.name, "nightly"), FINE);
    team.rig.api.create(&cron).admitted();
    team.child("jobs", "nightly");
    let mut policy = team.policy();
    policy["spec"]["pauses"][0]["match"]["regions"] = json!(["US"]);
    team.enforce(policy);
    // The run that was there before the policy keeps the next from starting.
    for job in team.children("jobs", "nightly") {
        team.rig.api.delete(&job, "Foreground");
    }
    let event = team.event("nightly", &["FailedCreate", "RegionPaused"]);
    compare("event-cronjob", &format!("{event}\n"));
}

/// What stays in the audit log of a decision, by the name of the webhook's entry.
#[test]
fn audit_annotations() {
    let team = Team::governed("ml-audited");
    let audited = |name: &str| {
        team.rig.wait("an audit event", || {
            let log = team.rig.cluster.audit_log().unwrap();
            let events = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut events = events.filter(|event| {
                let object = &event["objectRef"];
                object["namespace"] == *team.name && object["resource"] == "jobs" && object["name"] == name
            });
            let annotations = events.next()?["annotations"].clone();
            let ours = annotations.as_object()?.iter();
            let ours = ours.filter(|(key, _)| key.starts_with("core.datagate.dev/"));
            let mut ours: Vec<String> = ours.map(|(key, value)| format!("{key}: {value}")).collect();
            let decision = ours
                .iter()
                .position(|it| it.starts_with("core.datagate.dev/decision: "))?;
            // The uid of the review.
            assert!(ours.remove(decision).matches('-').count() == 4);
            Some(ours.join("\n"))
        })
    };
    let mut several = declare(job(&team.name, "refused"), PAUSED);
    several["metadata"]["annotations"]["datagate.dev/dataset"] = json!("x");
    assert_eq!(team.rig.api.apply(&several).code, 422);
    let admitted = with_filter(declare(job(&team.name, "admitted"), RAW), FILTER);
    team.rig.api.apply(&admitted).admitted();
    let text = ["refused", "admitted"].map(|name| format!("{name}:\n{}\n", audited(name)));
    compare("audit", &text.concat());
}
