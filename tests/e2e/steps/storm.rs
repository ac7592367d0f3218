//! What changes while the cluster is busy, and must not be noticed.

use datagate_env::stdout_of;
use serde_json::Value;

use super::Done;
use super::first_day::chart;
use crate::load::Load;
use crate::rig::{RELEASE, Rig, SYSTEM};

/// The Secret with the CA that datagate manages.
const CA_SECRET: &str = "datagate-ca";

pub fn upgrade(rig: &mut Rig) -> Done {
    let load = Load::start(rig, "upgrade");
    let chart = chart();
    rig.helm(&[
        "upgrade",
        RELEASE,
        chart.to_str().unwrap(),
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout=120s",
    ]);
    rig.wait_rolled_out();
    let tally = load.end(rig);
    tally.nothing_got_past();
    rig.figures.load("upgrade from the previous chart", 1, tally);
    Done::Yes
}

pub fn rolling_restart(rig: &mut Rig) -> Done {
    let times = if rig.long { 10 } else { 2 };
    let load = Load::start(rig, "restart");
    let deployment = format!("deployment/{RELEASE}");
    for _ in 0..times {
        rig.kubectl(&["rollout", "restart", "--namespace", SYSTEM, &deployment]);
        rig.wait_rolled_out();
    }
    let tally = load.end(rig);
    rig.figures.load("rolling restart", times, tally.clone());
    tally.nobody_noticed();
    Done::Yes
}

pub fn leaf_rotation(rig: &mut Rig) -> Done {
    if !manages_ca(rig) {
        return Done::Skipped(format!("this chart has no Secret {CA_SECRET}"));
    }
    let times = if rig.long { 20 } else { 3 };
    let load = Load::start(rig, "leaf");
    for number in 0..times {
        let before = serials(rig);
        annotate(rig, &format!("datagate.dev/renew-leaf=e2e-{number}"));
        wait_renewed(rig, &before);
    }
    let tally = load.end(rig);
    rig.figures.load("leaf rotation", times, tally.clone());
    tally.nobody_noticed();
    Done::Yes
}

pub fn ca_rotation(rig: &mut Rig) -> Done {
    if !manages_ca(rig) {
        return Done::Skipped(format!("this chart has no Secret {CA_SECRET}"));
    }
    let times = if rig.long { 3 } else { 1 };
    let load = Load::start(rig, "ca");
    for number in 0..times {
        let (before, signer) = (serials(rig), secret(rig)["data"]["ca.crt"].clone());
        annotate(rig, &format!("datagate.dev/rotate-ca=e2e-{number}"));
        rig.wait("another CA signs", || {
            (secret(rig)["data"]["ca.crt"] != signer).then_some(())
        });
        wait_renewed(rig, &before);
        rig.wait_rolled_out();
    }
    let tally = load.end(rig);
    rig.figures.load("CA rotation", times, tally.clone());
    tally.nobody_noticed();
    Done::Yes
}

pub fn kill(rig: &mut Rig) -> Done {
    let times = if rig.long { 5 } else { 1 };
    let load = Load::start(rig, "kill");
    for _ in 0..times {
        let before = restarts(rig);
        // By its number inside the node, where no process of the host is to be seen.
        let script = r#"for p in /proc/[0-9]*; do
            [ "$(cat "$p/comm")" = datagate ] && kill -KILL "${p#/proc/}" && exit 0
        done 2>/dev/null; exit 1"#;
        stdout_of(rig.cluster.on_node("/bin/sh").args(["-c", script])).unwrap();
        rig.wait("the kubelet starts it again", || {
            (restarts(rig) > before).then_some(())
        });
        rig.wait("both are ready", || all_ready(rig).then_some(()));
    }
    let tally = load.end(rig);
    rig.figures.load("kill -9 of a replica", times, tally.clone());
    // Its connections break and its address is still asked for a moment: those requests are refused, and none gets past.
    tally.nothing_got_past();
    Done::Yes
}

fn manages_ca(rig: &Rig) -> bool {
    rig.cluster
        .get(["secret", CA_SECRET, "--namespace", SYSTEM])
        .is_ok()
}

fn secret(rig: &Rig) -> Value {
    rig.cluster
        .get(["secret", CA_SECRET, "--namespace", SYSTEM])
        .unwrap()
}

fn annotate(rig: &Rig, annotation: &str) {
    let secret = format!("secret/{CA_SECRET}");
    rig.kubectl(&[
        "annotate",
        "--overwrite",
        "--namespace",
        SYSTEM,
        &secret,
        annotation,
    ]);
}

/// The line of each replica's readiness about its certificate.
fn serials(rig: &Rig) -> Vec<String> {
    let line = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/readyz");
        let text = stdout_of(&mut rig.cluster.kubectl(["get", "--raw", &path])).unwrap_or_default();
        let line = text.lines().find(|line| line.contains("certificate: serial"));
        line.unwrap_or_default().to_owned()
    };
    rig.pods().iter().map(line).collect()
}

fn wait_renewed(rig: &Rig, before: &[String]) {
    rig.wait("every replica has another certificate", || {
        let now = serials(rig);
        let renewed =
            now.len() == before.len() && now.iter().all(|it| !it.is_empty() && !before.contains(it));
        renewed.then_some(())
    });
}

fn restarts(rig: &Rig) -> u64 {
    let count = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["restartCount"]
            .as_u64()
            .unwrap_or_default()
    };
    rig.pods().iter().map(count).sum()
}

fn all_ready(rig: &Rig) -> bool {
    rig.pods().iter().all(|pod| crate::rig::is_true(pod, "Ready"))
}
