//! A real node: pods run on it, it survives a loss of power, several run at once, and nothing of them stays.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use datagate_env::{Binaries, Error, NodeBinaries, NodeCluster, NodeOptions, stdout_of, wait_until};
use serde_json::{Value, json};

use holder::Holder;

#[path = "support/holder.rs"]
mod holder;

const SOON: Duration = Duration::from_secs(60);

/// Whether a node can run here; says why not, and fails where one has to.
fn possible() -> bool {
    let reasons = NodeCluster::obstacles();
    if reasons.is_empty() {
        return true;
    }
    assert!(env::var_os("DATAGATE_REQUIRE_NODE").is_none(), "{reasons:#?}");
    println!("skipped, a node cannot run here: {}", reasons.join("; "));
    false
}

fn start() -> NodeCluster {
    let (binaries, node) = (
        Binaries::find_or_build().unwrap(),
        NodeBinaries::find_or_build().unwrap(),
    );
    NodeCluster::start(&binaries, &node, &NodeOptions::default()).unwrap()
}

/// A Job whose trainer wants what its filter wrote; without `filter` there is none.
fn job(name: &str, filter: bool) -> Value {
    let container = |name: &str, step: &str| {
        json!({
            "name": name,
            "image": NodeCluster::STEP_IMAGE,
            "imagePullPolicy": "Never",
            "args": [step, "/data/filtered"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        })
    };
    let filters = if filter {
        vec![container("filter", "filter")]
    } else {
        Vec::new()
    };
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "securityContext": {"fsGroup": 65532},
            "initContainers": filters,
            "containers": [container("train", "train")],
            "volumes": [{"name": "data", "emptyDir": {}}],
        }}},
    })
}

/// Waits until the Job is complete or has failed.
fn outcome(cluster: &NodeCluster, name: &str) -> String {
    cluster
        .wait_until(&format!("the end of {name}"), SOON, || {
            let job = cluster.get(["job", name]).ok()?;
            let conditions = job["status"]["conditions"].as_array()?.clone();
            let ended = |it: &&Value| ["Complete", "Failed"].iter().any(|end| it["type"] == *end);
            Some(conditions.iter().find(ended)?["type"].as_str()?.to_owned())
        })
        .unwrap()
}

fn apply(cluster: &NodeCluster, object: &Value) {
    let output = cluster.apply(&object.to_string()).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a cluster would leave behind: its folder, control groups and an interface.
fn traces(dir: &Path) -> Vec<PathBuf> {
    let name = dir.file_name().unwrap();
    let mut found: Vec<PathBuf> = dir.exists().then(|| dir.to_owned()).into_iter().collect();
    let groups = Command::new("find")
        .arg("/sys/fs/cgroup")
        .arg("-name")
        .arg(name)
        .output()
        .unwrap();
    found.extend(String::from_utf8_lossy(&groups.stdout).lines().map(PathBuf::from));
    found
}

#[test]
fn two_nodes_run_pods_and_leave_nothing() {
    if !possible() {
        return;
    }
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    assert_ne!(one.api_url(), two.api_url());

    apply(&one, &job("ordered", true));
    apply(&one, &job("unfiltered", false));
    assert_eq!(outcome(&one, "ordered"), "Complete");
    assert_eq!(outcome(&one, "unfiltered"), "Failed");
    let logs = stdout_of(&mut one.kubectl(["logs", "job/ordered", "--container=train"])).unwrap();
    assert_eq!(logs, "trained on /data/filtered\n");
    // The other knows nothing of it.
    assert!(two.get(["job", "ordered"]).is_err());

    // The one loses its power, and the other does not.
    one.power_off().unwrap();
    assert!(one.get(["nodes"]).is_err());
    assert!(two.get(["nodes"]).is_ok());
    one.power_on().unwrap();
    apply(&one, &job("after", true));
    assert_eq!(outcome(&one, "after"), "Complete");
    assert_eq!(outcome(&one, "ordered"), "Complete");

    let dirs = [one.dir().to_owned(), two.dir().to_owned()];
    let busy = dirs.each_ref().map(|dir| traces(dir).len() > 1);
    assert_eq!(busy, [true, true]);
    drop((one, two));
    assert_eq!(
        dirs.each_ref().map(|dir| traces(dir)),
        [vec![], vec![]] as [Vec<PathBuf>; 2]
    );
}

#[test]
fn a_killed_holder_leaves_no_node() {
    if !possible() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let mut holder = Holder(
        Command::new(env!("CARGO_BIN_EXE_datagate-env"))
            .args([
                "run",
                "--node",
                "--",
                "sh",
                "-c",
                "echo $KUBECONFIG && on-node cat /proc/1/comm && exec sleep 1000",
            ])
            .env("TMPDIR", temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(holder.0.stdout.take().unwrap()).lines();
    let kubeconfig = lines.next().unwrap().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "sh");
    let dir = Path::new(&kubeconfig).parent().unwrap().to_owned();
    let pid = fs::read_to_string(dir.join("init.pid")).unwrap();
    holder.kill();
    wait_until("the node to go", SOON, || {
        let left = traces(&dir);
        let lives = Path::new("/proc").join(pid.trim()).exists();
        if left.is_empty() && !lives {
            Ok(())
        } else {
            Err(format!("{left:?}, PID 1 lives: {lives}"))
        }
    })
    .unwrap();
}

#[test]
fn without_rights_it_says_so() {
    // A user that is nobody in particular, for as long as this command runs.
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ])
        .arg(env!("CARGO_BIN_EXE_datagate-env"))
        .arg("check-node")
        .output()
        .unwrap();
    if !possible() {
        return;
    }
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said,
        format!(
            "datagate-env: {}\n",
            Error::NoNode {
                reasons: vec!["no CAP_NET_ADMIN, CAP_SYS_ADMIN: run as root".to_owned()]
            }
        )
    );
}
