//! `datagate check --cluster` on a cluster that was at work before the first policy came.
//!
//! All tests but those that say so read the same cluster, which is filled once and then left alone.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use datagate_env::{ControlPlane, Options, stdout_of};
use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use kube::Api as Resources;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::messages::compare;
use crate::rig::{self, apply, kubectl};
use crate::webhook::objects::{FINE, PAUSED, cron_job, declare, job, pod, policy, replicated};
use crate::webhook::{Api, SOON, control_plane, repository};

const AT: &str = "--at=2026-03-01T00:00:00Z";

/// How the program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn report(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs the program with nothing from the environment but a way to the cluster.
fn check(kubeconfig: &Path, args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
    command.env_clear().env("KUBECONFIG", kubeconfig);
    let output = command
        .args(["check", "--cluster", AT])
        .args(args)
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Two teams at work, and then a policy for both.
fn at_work() -> &'static ControlPlane {
    static AT_WORK: OnceLock<ControlPlane> = OnceLock::new();
    AT_WORK.get_or_init(|| {
        let plane = control_plane(&Options::default());
        rig::install_crds(&plane);
        for namespace in ["ml", "research", "elsewhere"] {
            plane.create_namespace(namespace).unwrap();
        }
        let api = Api::new(&plane);
        let mut nightly = declare(cron_job("ml", "nightly"), PAUSED);
        nightly["spec"]["schedule"] = json!("0 0 1 1 *");
        for object in [
            declare(job("ml", "finetune-posts"), PAUSED),
            declare(job("ml", "pretrain"), FINE),
            declare(job("ml", "over"), PAUSED),
            job("ml", "undeclared"),
            nightly,
            declare(replicated("Deployment", "ml", "serving"), PAUSED),
            declare(pod("ml", "by-hand"), PAUSED),
            declare(job("research", "probe"), PAUSED),
            declare(job("elsewhere", "not-governed"), PAUSED),
        ] {
            api.create(&object).admitted();
        }
        kubectl(
            &plane,
            [
                "create",
                "job",
                "nightly-1",
                "--from=cronjob/nightly",
                "--namespace=ml",
            ],
        );
        // There is no node, so what pods do is said in its place.
        for (owner, phase) in [
            ("finetune-posts", "Running"),
            ("nightly-1", "Running"),
            ("over", "Succeeded"),
        ] {
            let pod = pod_of(&plane, "ml", owner);
            api.patch_sub(&pod, "status", &json!({"status": {"phase": phase}}))
                .admitted();
        }
        let patch = json!({"status": {"phase": "Running"}});
        api.patch_sub(&pod("ml", "by-hand"), "status", &patch).admitted();
        wait(&plane, "the job is over", || {
            let over = api.get(&job("ml", "over")).admitted();
            let conditions = over["status"]["conditions"].as_array()?.clone();
            conditions.iter().any(|it| it["type"] == "Complete").then_some(())
        });
        let set = wait(&plane, "a replica set", || {
            let list = plane.get(["replicasets", "--namespace=ml"]).unwrap();
            Some(list["items"][0]["metadata"]["name"].as_str()?.to_owned())
        });
        for owner in [&set, "pretrain", "undeclared"] {
            pod_of(&plane, "ml", owner);
        }
        pod_of(&plane, "research", "probe");
        pod_of(&plane, "elsewhere", "not-governed");
        apply(
            &plane,
            &fs::read_to_string(repository("tests/cases/catalogue.yaml")).unwrap(),
        );
        apply(&plane, &governing("eea-uk-ch", &["EEA", "GB", "CH"]).to_string());
        plane
    })
}

/// The policy for both teams.
fn governing(pause: &str, regions: &[&str]) -> Value {
    let mut policy = policy("member-data", "");
    policy["spec"]["namespaceSelector"] = json!({"matchExpressions":
        [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["ml", "research"]}]});
    policy["spec"]["pauses"][0]["name"] = json!(pause);
    policy["spec"]["pauses"][0]["match"]["regions"] = json!(regions);
    policy
}

#[track_caller]
fn wait<T>(plane: &ControlPlane, what: &str, look: impl FnMut() -> Option<T>) -> T {
    plane
        .wait_until(what, SOON, look)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The pod that an owner of that name controls.
fn pod_of(plane: &ControlPlane, namespace: &str, owner: &str) -> Value {
    wait(plane, &format!("a pod of {owner}"), || {
        let pods = plane.get(["pods", "--namespace", namespace]).unwrap();
        let mut pods = pods["items"].as_array()?.iter();
        pods.find(|pod| pod["metadata"]["ownerReferences"][0]["name"] == owner)
            .cloned()
    })
}

/// A policy in a file.
fn file(plane: &ControlPlane, name: &str, policy: &Value) -> PathBuf {
    let path = plane.dir().join(name);
    fs::write(&path, policy.to_string()).unwrap();
    path
}

/// Kind/name, change and running pods of each result.
fn results(report: &Value) -> Vec<String> {
    let results = report["results"].as_array().unwrap().iter();
    let line = |it: &Value| {
        let object = &it["object"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = [
            text(&object["namespace"]),
            text(&object["kind"]),
            text(&object["name"]),
            text(&it["change"]),
        ];
        format!("{} {}", line.join(" ").trim_end(), it["runningPods"])
    };
    let mut lines: Vec<String> = results.map(line).collect();
    lines.sort();
    lines
}

#[test]
fn what_would_be_refused() {
    let plane = at_work();
    let ended = check(plane.kubeconfig(), &["-A"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{}", ended.out);
    compare(
        "cluster-check",
        &format!("$ datagate check --cluster -A\n{}", ended.out),
    );
}

#[test]
fn a_report_for_programs() {
    let plane = at_work();
    let ended = check(plane.kubeconfig(), &["-n", "ml", "-o", "json"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{}", ended.out);
    let report = ended.report();
    // Children and what is below them are told with their roots: a Pod of a Job of a CronJob.
    assert_eq!(
        results(&report),
        [
            "ml CronJob nightly 1",
            "ml Deployment serving 0",
            "ml Job finetune-posts 1",
            "ml Job undeclared 0",
            "ml Pod by-hand 1"
        ]
    );
    let finetune = report["results"].as_array().unwrap().iter();
    let finetune = finetune
        .clone()
        .find(|it| it["object"]["name"] == "finetune-posts")
        .unwrap();
    assert_eq!(
        *finetune,
        json!({
            "object": {"apiVersion": "batch/v1", "kind": "Job", "namespace": "ml", "name": "finetune-posts"},
            "decision": "Denied",
            "findings": [{
                "reason": "RegionPaused", "action": "Deny", "policy": "member-data", "entry": "eea-uk-ch",
                "dataset": "member-posts-2024", "field": "metadata.annotations[datagate.dev/datasets]",
                "message": "member-posts-2024 has people in DE, FR; member-data/eea-uk-ch pauses EEA for GenerativeAITraining \
                            since 2024-09-18 until further notice. Use a dataset without these regions.",
            }],
            "warnings": [],
            "runningPods": 1,
        })
    );
    let head =
        ["apiVersion", "kind", "at", "namespace", "edit", "notes", "unread"].map(|it| report[it].clone());
    assert_eq!(
        json!(head),
        json!([
            "datagate.dev/v1alpha1",
            "ClusterCheckReport",
            "2026-03-01T00:00:00Z",
            "ml",
            null,
            [],
            []
        ])
    );
    assert_eq!(
        report["groups"],
        json!([
            {"namespace": "ml", "reasons": ["DataUndeclared"], "roots": 1, "runningRoots": 0, "runningPods": 0},
            {"namespace": "ml", "reasons": ["RegionPaused"], "roots": 4, "runningRoots": 3, "runningPods": 3},
        ])
    );
    assert_eq!(
        report["summary"],
        json!({
            "Allowed": 1, "AllowedWithWarnings": 0, "Denied": 5, "NotGoverned": 0, "runningRoots": 3, "runningPods": 3,
            "children": 8, "finishedLeftOut": 1, "excludedLeftOut": 0, "unread": 0,
        })
    );
}

#[test]
fn what_an_edit_hits() {
    let plane = at_work();
    let canada = file(plane, "canada.json", &governing("canada", &["CA"]));
    let policy = format!("--policy={}", canada.display());
    let ended = check(plane.kubeconfig(), &["-A", &policy]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{}", ended.out);
    compare(
        "cluster-check-edit",
        &format!(
            "$ datagate check --cluster -A --policy canada.yaml\n{}",
            ended.out
        ),
    );
    let report = check(plane.kubeconfig(), &["-n", "ml", "-o", "json", &policy]).report();
    assert_eq!(
        report["edit"],
        json!([{"kind": "DatasetPolicy", "name": "member-data", "replaces": true}])
    );
    assert_eq!(
        results(&report),
        [
            "ml CronJob nightly NoLongerRefused 1",
            "ml Deployment serving NoLongerRefused 0",
            "ml Job finetune-posts NoLongerRefused 1",
            "ml Job pretrain NewlyRefused 0",
            "ml Job undeclared Refused 0",
            "ml Pod by-hand NoLongerRefused 1",
        ]
    );

    // A policy of another name is added; the cluster's stay.
    let mut more = governing("canada", &["CA"]);
    more["metadata"]["name"] = json!("more");
    let more = file(plane, "more.json", &more);
    let report = check(
        plane.kubeconfig(),
        &[
            "-n",
            "research",
            "-o",
            "json",
            &format!("--policy={}", more.display()),
        ],
    );
    assert_eq!(results(&report.report()), ["research Job probe Refused 0"]);
    // The cluster itself is as it was.
    assert_eq!(plane.get(["dsp"]).unwrap()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn an_edited_record_stands_in_for_the_clusters() {
    let plane = at_work();
    let mut record = plane.get(["dsr", FINE]).unwrap();
    record["spec"]["dataSubjects"]["regions"] = json!(["US", "CA", "AU", "SE"]);
    let record = file(plane, "record.json", &record);
    let ended = check(
        plane.kubeconfig(),
        &[
            "-n",
            "ml",
            "-o",
            "json",
            &format!("--record={}", record.display()),
        ],
    );
    let newly: Vec<String> = results(&ended.report())
        .into_iter()
        .filter(|it| it.contains("Newly"))
        .collect();
    assert_eq!(newly, ["ml Job pretrain NewlyRefused 0"]);
}

#[test]
fn what_runs_on_paused_data_now() {
    let plane = at_work();
    let ended = check(plane.kubeconfig(), &["-A", "--running", "-o", "json"]);
    assert_eq!(
        results(&ended.report()),
        [
            "ml CronJob nightly 1",
            "ml Job finetune-posts 1",
            "ml Pod by-hand 1"
        ]
    );
    assert_eq!(
        ended.report()["summary"]["Denied"],
        6,
        "those that do not run are counted"
    );
}

#[test]
fn the_namespace_is_that_of_the_context_unless_another_is_asked_for() {
    let plane = at_work();
    let of_default = check(plane.kubeconfig(), &[]);
    assert_eq!(of_default.code, Some(0), "{of_default:?}");
    assert!(
        of_default.out.starts_with("0 workloads in namespace default"),
        "{}",
        of_default.out
    );
    let config = fs::read_to_string(plane.kubeconfig()).unwrap();
    let path = plane.dir().join("research.kubeconfig");
    fs::write(&path, config).unwrap();
    stdout_of(
        plane
            .kubectl(["config", "set-context", "--current", "--namespace=research"])
            .env("KUBECONFIG", &path),
    )
    .unwrap();
    assert_eq!(
        results(&check(&path, &["-o", "json"]).report()),
        ["research Job probe 0"]
    );
    let elsewhere = check(&path, &["-n", "elsewhere"]);
    assert_eq!(elsewhere.code, Some(0), "{elsewhere:?}");
    assert!(elsewhere.out.contains(", 1 not governed."), "{}", elsewhere.out);
    let nowhere = check(&path, &["-n", "nowhere"]);
    assert_eq!(
        (nowhere.code, nowhere.err.as_str()),
        (Some(2), "the cluster has no namespace nowhere\n")
    );
}

/// A kubeconfig for a service account of namespace `research`, with these rights in all namespaces.
fn with_rights(plane: &ControlPlane, name: &str, resources: &[&str]) -> PathBuf {
    kubectl(plane, ["create", "serviceaccount", name, "--namespace=research"]);
    if !resources.is_empty() {
        let resources = format!("--resource={}", resources.join(","));
        kubectl(
            plane,
            ["create", "clusterrole", name, "--verb=get,list", &resources],
        );
        let (role, account) = (
            format!("--clusterrole={name}"),
            format!("--serviceaccount=research:{name}"),
        );
        kubectl(plane, ["create", "clusterrolebinding", name, &role, &account]);
    }
    let token = kubectl(plane, ["create", "token", name, "--namespace=research"]);
    let ca = plane.dir().join(format!("{name}.ca"));
    fs::write(&ca, plane.ca_pem()).unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "env",
        "clusters": [{"name": "env", "cluster": {"server": plane.api_url(), "certificate-authority": ca}}],
        "users": [{"name": name, "user": {"token": token.trim()}}],
        "contexts": [{"name": "env", "context": {"cluster": "env", "user": name}}],
    });
    let path = plane.dir().join(format!("{name}.kubeconfig"));
    fs::write(&path, config.to_string()).unwrap();
    path
}

#[test]
fn who_may_not_look_is_told_so() {
    let plane = at_work();
    let nobody = with_rights(plane, "nobody", &[]);
    let ended = check(&nobody, &["-A"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert_eq!(
        ended.err,
        "cannot read datasetpolicies: datasetpolicies.datagate.dev is forbidden: User \"system:serviceaccount:research:nobody\" \
         cannot list resource \"datasetpolicies\" in API group \"datagate.dev\" at the cluster scope. Whoever asks needs to list \
         policies, records and namespaces\n"
    );

    let catalogue = [
        "datasetpolicies.datagate.dev",
        "datasetrecords.datagate.dev",
        "namespaces",
    ];
    let reader = with_rights(
        plane,
        "catalogue-reader",
        &[&catalogue[..], &["cronjobs.batch"]].concat(),
    );
    // It may see the CronJob, whose runs and their pods it may not see.
    let ended = check(&reader, &["-n", "ml"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{}", ended.out);
    assert!(
        ended.out.contains("CronJob/nightly (member-data/eea-uk-ch)"),
        "{}",
        ended.out
    );
    let unread = "Could not be read: jobs.batch: jobs.batch is forbidden: User \
                  \"system:serviceaccount:research:catalogue-reader\" cannot list resource \"jobs\" in API group \"batch\" in the \
                  namespace \"ml\"\n";
    assert!(ended.out.contains(unread), "{}", ended.out);
    // Nothing that it saw is refused, which says little.
    let ended = check(&reader, &["-n", "research"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .err
            .starts_with("it cannot be told whether anything would be refused; could not be read:\n"),
        "{}",
        ended.err
    );
    let report = check(&reader, &["-n", "research", "-o", "json"]).report();
    let unread: Vec<&Value> = report["unread"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["what"])
        .collect();
    assert!(
        unread.contains(&&json!("pods")) && !unread.contains(&&json!("cronjobs.batch")),
        "{unread:?}"
    );
}

/// A cluster of its own, which serves less.
#[test]
fn a_kind_that_the_cluster_does_not_have_is_left_out() {
    let plane = control_plane(&Options {
        controller_manager: false,
        api_server_args: vec!["--runtime-config=batch/v1=false".to_owned()],
        ..Options::default()
    });
    let api = Api::new(&plane);
    plane.create_namespace("ml").unwrap();
    api.create(&declare(replicated("ReplicaSet", "ml", "serving"), PAUSED))
        .admitted();
    // Not even the CRDs of datagate are there: nothing is governed, and a first policy can be tried.
    let ended = check(plane.kubeconfig(), &["-A"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    let notes = ended.out.lines().filter(|line| line.starts_with("Note: "));
    assert_eq!(
        notes.collect::<Vec<_>>(),
        [
            "Note: the cluster does not know datasetpolicies: datagate's CRDs are not installed there.",
            "Note: the cluster does not know datasetrecords: datagate's CRDs are not installed there.",
            "Note: the cluster has no DatasetPolicy, so nothing is governed."
        ]
    );
    let first = file(&plane, "first.json", &policy("first", "ml"));
    let catalogue = repository("tests/cases/catalogue.yaml");
    let (policy, record) = (
        format!("--policy={}", first.display()),
        format!("--record={catalogue}"),
    );
    let ended = check(plane.kubeconfig(), &["-A", "-o", "json", &policy, &record]);
    assert_eq!(results(&ended.report()), ["ml ReplicaSet serving NewlyRefused 0"]);
    assert_eq!(ended.report()["unread"], json!([]));
}

/// How long a thousand and ten thousand Jobs take, and what memory. `DATAGATE_BIN` may name a release build.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ten_thousand_jobs() {
    let plane = rig::own();
    plane.create_namespace("ml").unwrap();
    apply(
        &plane,
        &fs::read_to_string(repository("tests/cases/catalogue.yaml")).unwrap(),
    );
    apply(&plane, &governing("eea-uk-ch", &["EEA", "GB", "CH"]).to_string());
    let jobs = Resources::<Job>::namespaced(rig::client(&plane).await, "ml");
    for (there, wanted) in [(0, 1000), (1000, 10_000)] {
        stream::iter(there..wanted)
            .for_each_concurrent(16, async |i| {
                let data = if i % 10 == 0 { FINE } else { PAUSED };
                let job = declare(job("ml", &format!("job-{i}")), data);
                let job = serde_json::from_value(job).unwrap();
                jobs.create(&PostParams::default(), &job).await.unwrap();
            })
            .await;
        for output in ["text", "json"] {
            let (took, peak) = measured(&plane, output, wanted);
            let rate = f64::from(wanted) / took.as_secs_f64();
            println!("{wanted} as {output}: {took:?}, {rate:.0} objects/s, {peak}");
        }
    }
}

/// The time and the peak of resident memory of one check of everything; nine in ten are refused, and all are listed.
fn measured(plane: &ControlPlane, output: &str, jobs: u32) -> (Duration, String) {
    let program = std::env::var("DATAGATE_BIN").unwrap_or(env!("CARGO_BIN_EXE_datagate").to_owned());
    let file = plane.dir().join("measured");
    let begun = Instant::now();
    let mut process = Command::new(&program)
        .args(["check", "--cluster", "-A", AT, "-o", output])
        .env("KUBECONFIG", plane.kubeconfig())
        .stdout(fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let mut peak = String::new();
    let took = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        if let Some(line) = status.lines().find(|line| line.starts_with("VmHWM")) {
            peak = line.to_owned();
        }
        if let Some(status) = process.try_wait().unwrap() {
            assert_eq!(status.code(), Some(1));
            break begun.elapsed();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let said = fs::read_to_string(file).unwrap();
    if output == "json" {
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["summary"]["Denied"], jobs * 9 / 10);
        assert_eq!(report["results"].as_array().unwrap().len() as u32, jobs * 9 / 10);
    } else {
        assert!(said.contains(&format!("{jobs} workloads, judged")), "{said}");
    }
    (took, peak)
}
