//! datagate is gone, by accident or on purpose: the cluster must live.

use std::time::Instant;

use datagate_env::stdout_of;
use serde_json::{Value, json};

use super::Done;
use crate::rig::{LONG, RELEASE, Rig, SYSTEM, is_true};
use crate::workloads::{FREE, PAUSED, TEAM, plain, plain_pod, training};

/// What the API server says of a webhook that it cannot call.
const NOT_CALLED: &str = "failed calling webhook";

pub fn all_down(rig: &mut Rig) -> Done {
    scale(rig, 0);
    rig.wait("no replica is left", || rig.pods().is_empty().then_some(()));
    governed_is_refused(rig);
    others_are_not_affected(rig, "down");
    scale(rig, 2);
    recovers(rig, "all replicas down");
    Done::Yes
}

pub fn node(rig: &mut Rig) -> Done {
    rig.apply(&plain("Deployment", TEAM, "app"));
    rig.apply(&plain("DaemonSet", "kube-system", "agent"));
    rig.wait("the app and the agent run", || {
        (ready(rig, TEAM, "app") && ready(rig, "kube-system", "agent")).then_some(())
    });
    // Without its image datagate stays down when the node comes back.
    let names = "ctr --namespace=k8s.io images list --quiet | grep -E '/datagate:|/datagate@'";
    let script = format!("{names} | xargs ctr --namespace=k8s.io images remove --sync");
    stdout_of(rig.cluster.on_node("/bin/sh").args(["-c", &script])).unwrap();
    rig.cluster.power_off().unwrap();
    rig.cluster.power_on().unwrap();

    // Everything is started anew, and what is made anew is asked for nobody's leave.
    for (namespace, name) in [(TEAM, "app"), ("kube-system", "agent")] {
        rig.wait(&format!("{name} runs again"), || {
            ready(rig, namespace, name).then_some(())
        });
        let selector = format!("--selector=app={name}");
        rig.kubectl(&[
            "delete",
            "pods",
            "--namespace",
            namespace,
            &selector,
            "--force",
            "--grace-period=0",
        ]);
        rig.wait(&format!("another {name} runs"), || {
            ready(rig, namespace, name).then_some(())
        });
    }
    assert!(
        !rig.pods().iter().any(|pod| is_true(pod, "Ready")),
        "datagate came back without its image"
    );
    governed_is_refused(rig);
    others_are_not_affected(rig, "lost");

    rig.cluster.load_image(&rig.image).unwrap();
    // Replaced, because a kubelet that failed to pull waits for minutes before it looks again.
    rig.kubectl(&[
        "delete",
        "pods",
        "--namespace",
        SYSTEM,
        "--all",
        "--force",
        "--grace-period=0",
    ]);
    recovers(rig, "a lost node");
    Done::Yes
}

pub fn uninstall(rig: &mut Rig) -> Done {
    rig.wait("every replica reports by a Lease", || {
        (leases(rig).len() == 3).then_some(())
    });
    rig.helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"]);
    let hooks = rig.cluster.get(["validatingwebhookconfigurations"]).unwrap();
    assert_eq!(hooks["items"], json!([]));
    rig.wait_admitted(&training(TEAM, "probe", Some(PAUSED), None));
    others_are_not_affected(rig, "uninstalled");
    rig.apply(&training(TEAM, "ungoverned", Some(PAUSED), None));
    // What people wrote stays.
    for (kind, count) in [("datasetpolicies", 1), ("datasetrecords", 3)] {
        let left = rig.cluster.get([kind]).unwrap();
        assert_eq!(left["items"].as_array().unwrap().len(), count, "{kind}");
    }
    let left = ["deployments,services,pods,serviceaccounts", "--namespace", SYSTEM];
    rig.wait("nothing of datagate runs", || {
        let left = rig.cluster.get(left).ok()?;
        let names: Vec<_> = left["items"]
            .as_array()?
            .iter()
            .map(|it| it["metadata"]["name"].clone())
            .collect();
        (!names
            .iter()
            .any(|name| name.as_str().is_some_and(|name| name.starts_with(RELEASE))))
        .then_some(())
    });
    // What datagate made goes with its owner, save the Lease of the election, which has none; docs/operating.md says so.
    rig.wait("the CA is gone", || {
        let name = ["secrets", "--namespace", SYSTEM];
        let secrets = rig.cluster.get(name).ok()?;
        secrets["items"].as_array()?.is_empty().then_some(())
    });
    rig.wait("only the Lease of the election is left", || {
        (leases(rig) == [RELEASE]).then_some(())
    });
    Done::Yes
}

/// The names of the Leases in datagate's namespace.
fn leases(rig: &Rig) -> Vec<String> {
    let leases = rig.cluster.get(["leases", "--namespace", SYSTEM]).unwrap();
    let name = |lease: &Value| lease["metadata"]["name"].as_str().unwrap().to_owned();
    leases["items"].as_array().unwrap().iter().map(name).collect()
}

fn scale(rig: &Rig, replicas: u32) {
    let (deployment, replicas) = (format!("deployment/{RELEASE}"), format!("--replicas={replicas}"));
    rig.kubectl(&["scale", "--namespace", SYSTEM, &deployment, &replicas]);
}

/// Good or bad: nobody can tell.
#[track_caller]
fn governed_is_refused(rig: &Rig) {
    for dataset in [Some(FREE), Some(PAUSED), None] {
        rig.wait_refused(&training(TEAM, "probe", dataset, None), NOT_CALLED);
    }
}

/// Plain work runs, is changed and goes away, in the namespace of the team and in that of the system.
fn others_are_not_affected(rig: &Rig, name: &str) {
    for namespace in [TEAM, "kube-system"] {
        let deployment = format!("{name}-app");
        rig.apply(&plain_pod(namespace, name));
        rig.apply(&plain("Deployment", namespace, &deployment));
        rig.wait("a plain pod and a Deployment run", || {
            let pod = rig.cluster.get(["pod", name, "--namespace", namespace]).ok()?;
            (is_true(&pod, "Ready") && ready(rig, namespace, &deployment)).then_some(())
        });
        let deployment = format!("deployment/{deployment}");
        rig.kubectl(&["scale", "--namespace", namespace, &deployment, "--replicas=0"]);
        rig.kubectl(&[
            "delete",
            "--namespace",
            namespace,
            &deployment,
            &format!("pod/{name}"),
            "--timeout=60s",
        ]);
    }
}

/// Whether a pod with this label is ready and none is going away.
fn ready(rig: &Rig, namespace: &str, app: &str) -> bool {
    let selector = format!("--selector=app={app}");
    let Ok(pods) = rig.cluster.get(["pods", "--namespace", namespace, &selector]) else {
        return false;
    };
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    !pods.is_empty()
        && pods
            .iter()
            .all(|pod| is_true(pod, "Ready") && pod["metadata"]["deletionTimestamp"].is_null())
}

/// The first verdict comes within two seconds of the first ready replica.
fn recovers(rig: &mut Rig, name: &str) {
    let (good, bad) = (
        training(TEAM, "probe", Some(FREE), None),
        training(TEAM, "probe", Some(PAUSED), None),
    );
    rig.wait("the first replica is ready", || {
        rig.pods().iter().any(|pod| is_true(pod, "Ready")).then_some(())
    });
    let begun = Instant::now();
    rig.wait("verdicts", || {
        let refused = rig
            .dry_run(&bad)
            .is_err_and(|said| said.contains("[RegionPaused]"));
        (refused && rig.dry_run(&good).is_ok()).then_some(())
    });
    let after = begun.elapsed();
    rig.figures.recovery(name, after);
    assert!(
        after.as_secs_f64() <= 2.0,
        "{name}: {after:?}, after at most {LONG:?} of waiting"
    );
    rig.wait_rolled_out();
}
