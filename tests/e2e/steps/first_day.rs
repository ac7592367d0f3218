//! Installing, and what a team meets on the first day.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use datagate_env::{NodeCluster, stdout_of};
use serde_json::json;

use super::Done;
use crate::rig::{RELEASE, Rig, SYSTEM};
use crate::workloads::{CANADA, FREE, LOAD, PAUSED, TEAM, nightly, policy, records, training};

/// The chart as it is now.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/datagate")
}

/// The last version of the chart before this one: a tag once there are releases, until then the last commit of the chart
/// that made its certificate by a template function.
const PREVIOUS: &str = "b98aefd7cdbd3363a6d6fea8f516e0b27eeaa7b8";

/// The previous chart out of the history, if this checkout has it.
fn previous_chart(rig: &Rig) -> Option<PathBuf> {
    let dir = rig.cluster.dir().join("previous");
    std::fs::create_dir(&dir).unwrap();
    let mut archive = Command::new("git")
        .args(["archive", PREVIOUS, "charts/datagate"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let tar = Command::new("tar")
        .arg("-x")
        .current_dir(&dir)
        .stdin(archive.stdout.take().unwrap())
        .stderr(Stdio::null())
        .status();
    let written = archive.wait().unwrap().success() && tar.unwrap().success();
    written.then(|| dir.join("charts/datagate"))
}

/// The image of the step program under its digest, which is what a policy trusts.
pub fn filter_image(rig: &Rig) -> String {
    let list = ["--namespace=k8s.io", "images", "list"];
    let filter = format!("name=={}", NodeCluster::STEP_IMAGE);
    let listed = stdout_of(rig.cluster.on_node("ctr").args(list).arg(filter)).unwrap();
    let digest = listed
        .split_whitespace()
        .find(|word| word.starts_with("sha256:"))
        .unwrap();
    let (name, _) = NodeCluster::STEP_IMAGE.rsplit_once(':').unwrap();
    format!("{name}@{digest}")
}

pub fn install(rig: &mut Rig) -> Done {
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    rig.namespace(SYSTEM, &restricted);
    let previous = previous_chart(rig);
    rig.previous = previous.is_some();
    if !rig.previous {
        println!(
            "      no upgrade from the previous chart: commit {PREVIOUS} is not in this checkout, which has no history or \
             not all of it (`git fetch --unshallow` brings it); today's chart is installed"
        );
    }
    let chart = previous.unwrap_or_else(chart);
    rig.helm(&["install", RELEASE, chart.to_str().unwrap(), "--namespace", SYSTEM]);
    rig.wait_rolled_out();
    assert_eq!(rig.pods().len(), 2);
    for pod in rig.pods() {
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 0, "{status}");
        assert!(pod["metadata"]["name"].as_str().unwrap().starts_with("datagate-"));
    }

    // A GPU, as a device plugin would announce it.
    let patch = r#"[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "64"}]"#;
    rig.kubectl(&[
        "patch",
        "node",
        "node",
        "--subresource=status",
        "--type=json",
        "--patch",
        patch,
    ]);

    let filter = filter_image(rig);
    let tag = [
        "--namespace=k8s.io",
        "images",
        "tag",
        NodeCluster::STEP_IMAGE,
        &filter,
    ];
    stdout_of(rig.cluster.on_node("ctr").args(tag)).unwrap();
    for name in [TEAM, LOAD] {
        rig.namespace(name, &json!({}));
    }
    for record in records() {
        rig.apply(&record);
    }
    rig.apply(&policy(&filter));
    rig.wait_refused(&training(TEAM, "probe", Some(PAUSED), None), "[RegionPaused]");
    Done::Yes
}

pub fn jobs(rig: &mut Rig) -> Done {
    let filter = filter_image(rig);
    let refused = |name: &str, dataset: Option<&str>, filter: Option<&str>, words: &str| {
        let said = rig.try_apply(&training(TEAM, name, dataset, filter)).unwrap_err();
        assert!(said.contains(words) && said.contains("help:"), "{said}");
    };
    refused("europe", Some(PAUSED), Some(&filter), "[RegionPaused]");
    refused("undeclared", None, None, "[DataUndeclared]");
    refused("unfiltered", Some(CANADA), None, "[StepMissing]");
    assert_eq!(
        rig.cluster.get(["jobs", "--namespace", TEAM]).unwrap()["items"],
        json!([])
    );

    rig.apply(&training(TEAM, "canada", Some(CANADA), Some(&filter)));
    assert_eq!(rig.job_outcome(TEAM, "canada"), "Complete");
    let log = rig.kubectl(&["logs", "--namespace", TEAM, "job/canada", "--container=train"]);
    assert_eq!(log, "trained on /data/filtered\n");
    // The proof of the proof: a trainer before whom nothing was filtered fails.
    rig.apply(&training(TEAM, "free", Some(FREE), None));
    assert_eq!(rig.job_outcome(TEAM, "free"), "Failed");
    Done::Yes
}

pub fn cron_job(rig: &mut Rig) -> Done {
    let filter = filter_image(rig);
    rig.apply(&nightly("nightly", CANADA, &filter));
    let jobs = || {
        let jobs = rig.cluster.get(["jobs", "--namespace", TEAM]).unwrap();
        let jobs = jobs["items"].as_array().unwrap().clone();
        let ours = jobs
            .into_iter()
            .filter(|job| job["metadata"]["ownerReferences"][0]["name"] == "nightly");
        ours.collect::<Vec<_>>()
    };
    rig.wait("a job of the CronJob is complete", || {
        jobs()
            .iter()
            .any(|job| crate::rig::is_true(job, "Complete"))
            .then_some(())
    });
    let pause = r#"[{"op": "add", "path": "/spec/pauses/-", "value":
        {"name": "canada", "match": {"regions": ["CA"], "sourceCategories": ["UserData"]}}}]"#;
    rig.kubectl(&[
        "patch",
        "datasetpolicy",
        "members",
        "--type=json",
        "--patch",
        pause,
    ]);
    rig.wait("an event says why its next job was refused", || {
        let events = rig.cluster.get(["events", "--namespace", TEAM]).unwrap();
        let refused = events["items"].as_array().unwrap().iter().any(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            event["involvedObject"]["kind"] == "CronJob" && message.contains("[RegionPaused]")
        });
        refused.then_some(())
    });
    rig.kubectl(&["delete", "cronjob", "nightly", "--namespace", TEAM]);
    let back = r#"[{"op": "remove", "path": "/spec/pauses/1"}]"#;
    rig.kubectl(&[
        "patch",
        "datasetpolicy",
        "members",
        "--type=json",
        "--patch",
        back,
    ]);
    rig.wait_admitted(&training(TEAM, "probe", Some(CANADA), Some(&filter)));
    Done::Yes
}

pub fn helm_test(rig: &mut Rig) -> Done {
    let hooks = rig.helm(&["get", "hooks", RELEASE, "--namespace", SYSTEM]);
    if !hooks.contains("helm.sh/hook") {
        return Done::Skipped("the chart has no test".to_owned());
    }
    rig.helm(&["test", RELEASE, "--namespace", SYSTEM, "--timeout=60s"]);
    Done::Yes
}
