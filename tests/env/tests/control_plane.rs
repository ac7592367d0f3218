//! Real control planes: what runs in them is real, several run at once, and nothing of them stays.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use datagate_env::{Binaries, Component, ControlPlane, Error, Options, stdout_of, wait_until};
use serde_json::json;

use holder::Holder;

#[path = "support/holder.rs"]
mod holder;

const SOON: Duration = Duration::from_secs(30);

const JOB: &str = "
apiVersion: batch/v1
kind: Job
metadata: {name: train, namespace: team}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: example.com/train:1}]
";

const CRON_JOB: &str = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: team}
spec:
  schedule: '@every 1s'
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: main, image: example.com/train:1}]
";

/// A command that lives in the control plane's folder, so that it is found like the programs.
const SLEEPS: &str = "cd ${KUBECONFIG%/*} && echo $KUBECONFIG && exec sleep 1000";

#[test]
fn two_at_once_have_real_children_and_leave_nothing() {
    let binaries = Binaries::find_or_build().unwrap();
    let options = Options {
        audit: true,
        ..Options::default()
    };
    let start = || ControlPlane::start(&binaries, &options).unwrap();
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    assert_ne!(one.api_url(), two.api_url());

    one.create_namespace("team").unwrap();
    let applied = one.apply(JOB).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&applied.stdout),
        "job.batch/train created\n",
        "{applied:?}"
    );
    let pod = child(&one, "pods", "Job", "train");
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(
        creator(&one, "pods"),
        "system:serviceaccount:kube-system:job-controller"
    );
    // The other knows nothing of it.
    assert!(two.get(["namespace", "team"]).is_err());

    one.apply(CRON_JOB).unwrap();
    let job = child(&one, "jobs", "CronJob", "nightly");
    child(&one, "pods", "Job", job["metadata"]["name"].as_str().unwrap());
    assert_eq!(
        creator(&one, "jobs"),
        "system:serviceaccount:kube-system:cronjob-controller"
    );

    let dirs = [one.dir().to_owned(), two.dir().to_owned()];
    assert_eq!(dirs.each_ref().map(|dir| living_in(dir).len()), [3, 3]);
    let begun = Instant::now();
    drop((one, two));
    assert_eq!(
        dirs.each_ref().map(|dir| (living_in(dir).len(), dir.exists())),
        [(0, false), (0, false)]
    );
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "stopping took {:?}",
        begun.elapsed()
    );
}

/// The object of this kind that this owner's controller made.
fn child(cluster: &ControlPlane, resource: &str, kind: &str, name: &str) -> serde_json::Value {
    cluster
        .wait_until(&format!("one of the {resource} of {kind} {name}"), SOON, || {
            let found = cluster.get([resource, "--namespace=team"]).ok()?;
            let owned = |item: &&serde_json::Value| {
                let owner = &item["metadata"]["ownerReferences"][0];
                owner["kind"] == kind && owner["name"] == name && owner["controller"] == true
            };
            found["items"].as_array()?.iter().find(owned).cloned()
        })
        .unwrap()
}

/// Who made the last object of this resource that a controller made.
fn creator(cluster: &ControlPlane, resource: &str) -> String {
    let created = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let user = event["user"]["username"].as_str()?;
        let made = event["verb"] == "create" && event["objectRef"]["resource"] == resource;
        (made && user.starts_with("system:serviceaccount:")).then(|| user.to_owned())
    };
    cluster
        .audit_log()
        .unwrap()
        .lines()
        .rev()
        .find_map(created)
        .expect("an event of the creation")
}

#[test]
fn a_local_service_is_called_as_in_production() {
    let binaries = Binaries::find_or_build().unwrap();
    let options = Options {
        controller_manager: false,
        ..Options::default()
    };
    let cluster = ControlPlane::start(&binaries, &options).unwrap();
    cluster.create_local_service("default", "gate").unwrap();

    // All that is wanted is how the API server says hello, and a TLS hello is readable.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "gate"},
        "webhooks": [{
            "name": "gate.datagate.dev",
            "clientConfig": {"service": {"namespace": "default", "name": "gate", "port": port}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}],
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
        }],
    });
    cluster.apply(&webhook.to_string()).unwrap();
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut hello = vec![0; 4096];
        let length = listener.accept().unwrap().0.read(&mut hello).unwrap();
        said.send(String::from_utf8_lossy(&hello[..length]).into_owned())
            .unwrap();
    });
    let hello = cluster
        .wait_until("a call of the webhook", SOON, || {
            // Whether it is made is of no interest: a webhook is honoured a moment after it was registered.
            let _ = cluster
                .kubectl(["create", "configmap", "probe", "--dry-run=server"])
                .output()
                .unwrap();
            heard.try_recv().ok()
        })
        .unwrap();
    assert!(hello.contains("gate.default.svc"), "{hello:?}");
    assert!(
        hello.contains("http/1.1") && !hello.contains("\u{2}h2"),
        "{hello:?}"
    );
}

#[test]
fn a_part_that_does_not_start_shows_its_log() {
    let binaries = Binaries::find_or_build().unwrap();
    let options = Options {
        api_server_args: vec!["--no-such-flag".to_owned()],
        ..Options::default()
    };
    let error = ControlPlane::start(&binaries, &options).unwrap_err();
    let Error::Start { component, tail, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(component, Component::ApiServer.name());
    assert!(tail.contains("unknown flag: --no-such-flag"), "{error}");
}

#[test]
fn a_killed_holder_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (mut holder, dir) = running(temp.path(), SLEEPS);
    assert_eq!(living_in(&dir).len(), 4);
    holder.kill();
    nothing_left(temp.path(), &dir);
}

#[test]
fn a_holder_killed_while_it_starts_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut holder = Holder(holder(temp.path(), "true").spawn().unwrap());
    let dir = wait_until("etcd to run", SOON, || {
        let dir = fs::read_dir(temp.path())
            .unwrap()
            .next()
            .ok_or("no folder")?
            .unwrap()
            .path();
        if living_in(&dir).is_empty() {
            Err("no process".to_owned())
        } else {
            Ok(dir)
        }
    })
    .unwrap();
    holder.kill();
    nothing_left(temp.path(), &dir);
}

#[test]
fn a_terminated_holder_stops_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let (mut holder, dir) = running(temp.path(), SLEEPS);
    let begun = Instant::now();
    stdout_of(Command::new("kill").args(["-TERM", &holder.0.id().to_string()])).unwrap();
    assert_eq!(holder.0.wait().unwrap().code(), Some(128 + 15));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "stopping took {:?}",
        begun.elapsed()
    );
    // No waiting here: it had stopped everything before it ended.
    assert_eq!((living_in(&dir).len(), dir.exists()), (0, false));
}

#[test]
fn the_commands_status_is_passed_on() {
    let temp = tempfile::tempdir().unwrap();
    let status = holder(temp.path(), "kubectl version && helm list && exit 42")
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(42));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

/// `datagate-env run` with its folder below `temp`.
fn holder(temp: &Path, script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datagate-env"));
    command
        .args(["run", "--", "sh", "-c", script])
        .env("TMPDIR", temp)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The same, ready, with the folder of the control plane; the script prints its kubeconfig first.
fn running(temp: &Path, script: &str) -> (Holder, PathBuf) {
    let mut holder = Holder(holder(temp, script).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(holder.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let dir = Path::new(line.trim_end()).parent().unwrap().to_owned();
    assert!(dir.starts_with(temp), "{dir:?}");
    (holder, dir)
}

fn nothing_left(temp: &Path, dir: &Path) {
    wait_until("processes and folder to go", SOON, || {
        let (living, left) = (living_in(dir), fs::read_dir(temp).unwrap().count());
        if living.is_empty() && left == 0 {
            Ok(())
        } else {
            Err(format!("{living:?}, {left} folders"))
        }
    })
    .unwrap();
}

/// The processes whose working folder this is. It may be deleted, so its name is compared.
fn living_in(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.to_str().unwrap();
    let here = |process: &PathBuf| {
        let folder = fs::read_link(process.join("cwd"));
        folder.is_ok_and(|folder| folder.to_str().is_some_and(|folder| folder.starts_with(dir)))
    };
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    processes
        .filter(|process| here(process) && lives(process))
        .collect()
}

/// A zombie that PID 1 has not collected yet does not live.
fn lives(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
