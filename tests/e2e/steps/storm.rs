//! What changes while the cluster is busy, and must not be noticed.

use datagate_env::stdout_of;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::Done;
use super::first_day::chart;
use crate::load::Load;
use crate::rig::{RELEASE, Rig, SYSTEM, is_true};
use crate::workloads::{FREE, PAUSED, TEAM, training};

/// The Secret with the CA that datagate manages.
const CA_SECRET: &str = "datagate-ca";
/// The configuration by which the API server is made to connect anew.
const HANDSHAKE: &str = "handshake.e2e";

/// From a chart whose CA came from a template to one whose CA is datagate's own: Helm takes the old bundle away before the
/// first new replica can write its own. What is governed is refused for as long, and nothing may get past.
pub fn upgrade_from_previous(rig: &mut Rig) -> Done {
    if !rig.previous {
        return Done::Skipped("there is no previous chart in this checkout's history".to_owned());
    }
    assert!(
        !manages_ca(rig),
        "the previous chart has Secret {CA_SECRET}: then nobody may notice"
    );
    let load = Load::start(rig, "previous");
    upgrade_to(rig, &[]);
    rig.wait_refused(&training(TEAM, "probe", Some(PAUSED), None), "[RegionPaused]");
    rig.wait_admitted(&training(TEAM, "probe", Some(FREE), None));
    let tally = load.end(rig);
    rig.figures
        .load("upgrade from the chart with a CA by template", 1, tally.clone());
    tally.nothing_got_past();
    assert!(manages_ca(rig));
    // In the old chart today's program is not told its pod, so what its replicas reported is owned by nobody.
    rig.kubectl(&[
        "delete",
        "leases",
        "--namespace",
        SYSTEM,
        "--selector=datagate.dev/replica",
        "--wait=false",
    ]);
    Done::Yes
}

/// What an upgrade from a released chart is: other pods, and the CA stays.
pub fn upgrade(rig: &mut Rig) -> Done {
    let (before, pods) = (secret(rig)["data"].clone(), names(rig));
    let load = Load::start(rig, "upgrade");
    upgrade_to(
        rig,
        &["--reset-then-reuse-values", "--set=podAnnotations.run=e2e"],
    );
    let tally = load.end(rig);
    rig.figures.load("upgrade", 1, tally.clone());
    tally.nobody_noticed();
    let now = names(rig);
    assert!(
        now.len() == 2 && !now.iter().any(|name| pods.contains(name)),
        "{now:?}"
    );
    assert_eq!(secret(rig)["data"], before, "the CA must stay");
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
        let before = known_serials(rig);
        annotate(rig, &format!("datagate.dev/renew-leaf=e2e-{number}"));
        wait_renewed(rig, &before);
        shake_hands(rig, number);
    }
    rig.kubectl(&["delete", "validatingwebhookconfiguration", HANDSHAKE]);
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
        let (before, signer) = (known_serials(rig), secret(rig)["data"]["ca.crt"].clone());
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
    // The kubelet waits ever longer before it starts the same container again.
    let times = if rig.long { 6 } else { 3 };
    let load = Load::start(rig, "kill");
    for _ in 0..times {
        let before = restarts(rig);
        // The oldest, so that they take turns; by its number inside the node, where no process of the host is to be seen.
        let script = r#"for p in $(ls /proc | grep '^[0-9]*$' | sort -n); do
            [ "$(cat "/proc/$p/comm")" = datagate ] && kill -KILL "$p" && exit 0
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

/// Upgrades to the chart of today and waits until no other replica is left.
fn upgrade_to(rig: &Rig, flags: &[&str]) {
    let chart = chart();
    let fixed = [
        "upgrade",
        RELEASE,
        chart.to_str().unwrap(),
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout=120s",
    ];
    rig.helm(&[&fixed[..], flags].concat());
    rig.wait_rolled_out();
}

fn names(rig: &Rig) -> Vec<String> {
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    rig.pods().iter().map(name).collect()
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

/// The serial number of each replica's certificate, from its readiness; empty while it is not ready.
fn serials(rig: &Rig) -> Vec<String> {
    let serial = |name: &String| {
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/readyz");
        let text = stdout_of(&mut rig.cluster.kubectl(["get", "--raw", &path])).unwrap_or_default();
        let (_, after) = text.split_once("certificate: serial ").unwrap_or_default();
        let (serial, _) = after.split_once(',').unwrap_or_default();
        serial.to_owned()
    };
    names(rig).iter().map(serial).collect()
}

/// The same of replicas that are ready.
fn known_serials(rig: &Rig) -> Vec<String> {
    rig.wait("the serial number of every replica", || {
        let now = serials(rig);
        (now.len() == 2 && !now.contains(&String::new())).then_some(now)
    })
}

fn wait_renewed(rig: &Rig, before: &[String]) {
    rig.wait("every replica has another certificate", || {
        let now = serials(rig);
        let renewed =
            now.len() == before.len() && now.iter().all(|it| !it.is_empty() && !before.contains(it));
        renewed.then_some(())
    });
}

/// Has the API server connect anew. It keeps its connections, so it would not see a new leaf before they end; but for an entry
/// whose bundle differs, here in empty lines, it has none yet.
fn shake_hands(rig: &Rig, number: usize) {
    let ours = ["validatingwebhookconfiguration", RELEASE];
    let ours = rig.cluster.get(ours).unwrap();
    let mut entry = ours["webhooks"][0].clone();
    let text = entry["clientConfig"]["caBundle"].take();
    let mut bundle: ByteString = serde_json::from_value(text).unwrap();
    bundle.0.extend(vec![b'\n'; number + 1]);
    let name = format!("leaf-{number}.{HANDSHAKE}");
    entry["name"] = json!(name);
    entry["clientConfig"]["caBundle"] = json!(bundle);
    entry["matchConditions"] = json!([]);
    entry["rules"] = json!([{
        "apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE"],
    }]);
    // What the load submits is asked twice from here on, and an answer that fails is counted there.
    rig.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": HANDSHAKE},
        "webhooks": [entry],
    }));
    let answered = [
        r#"apiserver_admission_webhook_request_total{code="200""#.to_owned(),
        format!("name=\"{name}\""),
    ];
    rig.wait("the API server has asked over a new connection", || {
        let metrics = rig.kubectl(&["get", "--raw", "/metrics"]);
        metrics
            .lines()
            .any(|line| answered.iter().all(|part| line.contains(part)))
            .then_some(())
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
    rig.pods().iter().all(|pod| is_true(pod, "Ready"))
}
