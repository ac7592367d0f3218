//! The whole pass over a cluster that is made up, where what is counted matters more than what is decided.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use datagate_core::fetched::{Fetched, Need};
use datagate_core::workload::KnownKind;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::source::Failure;
use super::*;
use crate::cli::inputs::{Reader, Role};

/// A cluster whose objects are made when they are asked for.
#[derive(Default)]
struct Cluster {
    lists: HashMap<&'static str, Objects>,
    single: HashMap<&'static str, Value>,
    failures: RefCell<HashMap<String, Vec<Failure>>>,
    asked: RefCell<Vec<String>>,
}

struct Objects {
    count: usize,
    make: Box<dyn Fn(usize) -> Value>,
}

/// Brings nothing.
struct NoFetch;

impl Fetch for NoFetch {
    async fn fetch(&self, _: &[Need], _: &mut Fetched, _: Instant) {}
}

impl Source for Cluster {
    async fn get(&self, path: &str, _: usize) -> Result<String, Failure> {
        self.asked.borrow_mut().push(path.to_owned());
        let failure = self.failures.borrow_mut().get_mut(path).and_then(Vec::pop);
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some(object) = self.single.get(path) {
            return Ok(object.to_string());
        }
        let Some((path, query)) = path.split_once('?') else {
            return self.resources(path);
        };
        let number = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.parse::<usize>().unwrap())
        };
        let objects = self.lists.get(path).ok_or(Failure::NotFound)?;
        let from = number("continue").unwrap_or_default();
        let to = objects.count.min(from + number("limit").unwrap());
        let items: Vec<Value> = (from..to).map(|i| (objects.make)(i)).collect();
        let mut meta = json!({});
        if to < objects.count {
            meta = json!({"continue": to.to_string(), "remainingItemCount": objects.count - to});
        }
        Ok(json!({"metadata": meta, "items": items}).to_string())
    }
}

impl Cluster {
    /// With a policy for all namespaces, a record it pauses and one it does not, and no workloads.
    fn new(namespaces: usize) -> Self {
        let mut cluster = Self::default();
        let policy = json!({"metadata": {"name": "eea"}, "spec": policy("DE")});
        cluster.put("/apis/datagate.dev/v1alpha1/datasetpolicies", vec![policy]);
        let record = |name: &str, region: &str| {
            let spec = json!({"sourceCategory": "UserData", "personalData": "Present", "dataSubjects": {"regions": [region]}});
            json!({"metadata": {"name": name}, "spec": spec})
        };
        cluster.put(
            "/apis/datagate.dev/v1alpha1/datasetrecords",
            vec![record("de", "DE"), record("us", "US")],
        );
        cluster.many(
            "/api/v1/namespaces",
            namespaces,
            |i| json!({"metadata": {"name": format!("ns-{i}")}}),
        );
        cluster
    }

    fn put(&mut self, path: &'static str, objects: Vec<Value>) {
        self.many(path, objects.len(), move |i| objects[i].clone());
    }

    fn many(&mut self, path: &'static str, count: usize, make: impl Fn(usize) -> Value + 'static) {
        let make = Box::new(make);
        self.lists.insert(path, Objects { count, make });
    }

    fn fail(&self, path: &str, failures: Vec<Failure>) {
        self.failures.borrow_mut().insert(path.to_owned(), failures);
    }

    fn resources(&self, group: &str) -> Result<String, Failure> {
        let prefix = format!("{group}/");
        let plural = |path: &&&str| {
            path.strip_prefix(&prefix)
                .filter(|it| !it.contains('/'))
                .is_some()
        };
        let found: Vec<Value> = self
            .lists
            .keys()
            .filter(plural)
            .map(|path| json!({"name": path.rsplit('/').next()}))
            .collect();
        if found.is_empty() {
            return Err(Failure::NotFound);
        }
        Ok(json!({"resources": found}).to_string())
    }

    fn check_with(&self, change: impl FnOnce(&mut Flags), edit: Option<&Inputs>, json: bool) -> Ended {
        let mut flags = Flags {
            cluster: true,
            all_namespaces: true,
            namespace: None,
            running: false,
            finished: false,
            excluded_namespace: Vec::new(),
        };
        change(&mut flags);
        let ask = Ask {
            settings: Settings::default(),
            flags,
            edit,
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            json,
        };
        let mut out = Vec::new();
        let done = block_on(check(&ask, Scope::Everything, self, &NoFetch, &mut out));
        Ended {
            done,
            out: String::from_utf8(out).unwrap(),
        }
    }

    fn check(&self) -> Ended {
        self.check_with(|_| (), None, false)
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.check_with(|_| (), None, true).out).unwrap()
    }
}

struct Ended {
    done: Result<Done, Error>,
    out: String,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

fn policy(region: &str) -> Value {
    json!({
        "validationActions": ["Deny"], "undeclared": "Warn", "workloads": "All",
        "pauses": [{"name": "pause", "match": {"regions": [region]}}],
    })
}

fn uid(group: u16, i: usize) -> String {
    format!("{group:08x}-0000-4000-8000-{i:012x}")
}

/// Metadata with a controller, if there is one.
fn meta(name: &str, uid: &str, data: &str, owner: Option<(&str, &str, &str)>) -> Value {
    let mut meta = json!({
        "name": name, "namespace": "ns-0", "uid": uid,
        "annotations": {"datagate.dev/datasets": data, "datagate.dev/purpose": "GenerativeAITraining"},
    });
    if let Some((api_version, kind, uid)) = owner {
        meta["ownerReferences"] =
            json!([{"apiVersion": api_version, "kind": kind, "name": "x", "uid": uid, "controller": true}]);
    }
    meta
}

fn pod_spec() -> Value {
    json!({"containers": [{"name": "train", "image": "trainer:1"}]})
}

fn job(name: &str, uid: &str, data: &str) -> Value {
    json!({"metadata": meta(name, uid, data, None), "spec": {"template": {"spec": pod_spec()}}})
}

fn pod(name: &str, uid: &str, phase: &str, owner: Option<(&str, &str, &str)>) -> Value {
    json!({"metadata": meta(name, uid, "de", owner), "spec": pod_spec(), "status": {"phase": phase}})
}

const PODS: &str = "/api/v1/pods";
const JOBS: &str = "/apis/batch/v1/jobs";

#[test]
fn a_hundred_thousand_refusals_leave_little_behind() {
    const EACH: usize = 50_000;
    let mut cluster = Cluster::new(100);
    cluster.many(PODS, EACH, |i| {
        let mut pod = pod(
            &format!("pod-{i}"),
            &uid(1, i),
            "Running",
            Some(("batch/v1", "Job", &uid(2, i))),
        );
        pod["metadata"]["namespace"] = json!(format!("ns-{}", i % 100));
        pod
    });
    cluster.many(JOBS, EACH, |i| {
        let mut job = job(&format!("job-{i}"), &uid(2, i), "de");
        job["metadata"]["namespace"] = json!(format!("ns-{}", i % 100));
        job
    });
    let mut notes = Notes::default();
    let wanted = Wanted {
        scope: Scope::Everything,
        finished: false,
        at: "2026-01-01T00:00:00Z".parse().unwrap(),
        excluded: Vec::new(),
    };
    block_on(async {
        let worlds = worlds::read(&cluster, &wanted.scope, Settings::default(), None, &mut notes)
            .await
            .unwrap();
        let progress = Progress::hidden();
        let mut scan = Scan::new(&cluster, &NoFetch, &worlds, &wanted, &progress);
        let mut groups = Groups::new(Bounds::default());
        let mut tell = |told: &Told<'_>| {
            groups.add(told);
            Ok(())
        };
        scan.run(&mut notes, &mut tell).await.unwrap();
        assert_eq!(scan.totals.of(Outcome::Denied), EACH);
        assert_eq!((scan.totals.children, scan.totals.running_pods), (EACH, EACH));
        assert_eq!((groups.iter().count(), listed(&groups)), (100, 2000));
        assert!(
            groups
                .iter()
                .all(|(_, group)| group.roots == EACH / 100 && group.listed.len() == 20)
        );
        // Numbers of a few bytes: pods that were seen, owners that were named, owners with running pods.
        assert!(scan.most_kept <= 3 * EACH, "{}", scan.most_kept);
    });
    assert_eq!(notes.count(), 0);
    // 200 pages of workloads, at most one look for each kind, and a handful of others.
    assert!(
        cluster.asked.borrow().len() < 220 + KnownKind::ALL.len(),
        "{}",
        cluster.asked.borrow().len()
    );
}

fn listed(groups: &Groups) -> usize {
    groups.iter().map(|(_, group)| group.listed.len()).sum()
}

#[test]
fn groups_are_bounded_too() {
    let mut cluster = Cluster::new(50);
    cluster.many(JOBS, 100, |i| {
        let mut job = job(&format!("job-{i}"), &uid(2, i), "de");
        job["metadata"]["namespace"] = json!(format!("ns-{}", i % 50));
        job
    });
    let mut groups = Groups::new(Bounds {
        per_group: 1,
        in_all: 5,
        groups: 10,
    });
    let wanted = Wanted {
        scope: Scope::Everything,
        finished: false,
        at: Timestamp::UNIX_EPOCH,
        excluded: Vec::new(),
    };
    block_on(async {
        let mut notes = Notes::default();
        let worlds = worlds::read(&cluster, &wanted.scope, Settings::default(), None, &mut notes)
            .await
            .unwrap();
        let progress = Progress::hidden();
        let mut scan = Scan::new(&cluster, &NoFetch, &worlds, &wanted, &progress);
        let mut tell = |told: &Told<'_>| {
            groups.add(told);
            Ok(())
        };
        scan.run(&mut notes, &mut tell).await.unwrap();
    });
    assert_eq!(
        (groups.iter().count(), listed(&groups), groups.beyond),
        (10, 5, 80)
    );
}

#[test]
fn an_owner_that_does_not_exist_hides_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.put(JOBS, vec![job("there", &uid(2, 0), "us")]);
    let mut in_kube_system = pod(
        "system",
        &uid(1, 4),
        "Running",
        Some(("batch/v1", "Job", &uid(2, 2))),
    );
    in_kube_system["metadata"]["namespace"] = json!("kube-system");
    cluster.put(
        PODS,
        vec![
            pod(
                "child",
                &uid(1, 0),
                "Running",
                Some(("batch/v1", "Job", &uid(2, 0))),
            ),
            pod(
                "orphan",
                &uid(1, 1),
                "Running",
                Some(("batch/v1", "Job", &uid(2, 1))),
            ),
            pod(
                "forged",
                &uid(1, 2),
                "Pending",
                Some(("batch/v1", "Job", "no uid")),
            ),
            in_kube_system,
            // Nothing like that makes pods.
            pod(
                "odd",
                &uid(1, 3),
                "Pending",
                Some(("apps/v1", "Deployment", &uid(2, 0))),
            ),
        ],
    );
    let report = cluster.report();
    let results = report["results"].as_array().unwrap();
    assert_eq!(report["summary"]["excludedLeftOut"], 1);
    let told: BTreeMap<&str, &Value> = results
        .iter()
        .map(|it| (it["object"]["name"].as_str().unwrap(), &it["runningPods"]))
        .collect();
    assert_eq!(
        told,
        [("forged", &json!(0)), ("odd", &json!(0)), ("orphan", &json!(1))].into()
    );
    assert_eq!(report["summary"]["children"], 1);
}

#[test]
fn what_has_ended_is_counted_and_left_out() {
    let mut cluster = Cluster::new(1);
    let mut done = job("done", &uid(2, 0), "de");
    done["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    cluster.put(JOBS, vec![done]);
    cluster.put(PODS, vec![pod("failed", &uid(1, 0), "Failed", None)]);
    let ended = cluster.check();
    assert!(matches!(ended.done, Ok(Done::Fine)), "{}", ended.out);
    assert!(
        ended
            .out
            .contains("Left out: 2 that ended (--finished judges them)."),
        "{}",
        ended.out
    );
    let ended = cluster.check_with(|flags| flags.finished = true, None, false);
    assert!(matches!(ended.done, Ok(Done::Refused)));
    assert!(
        ended.out.contains("Job/done (eea/pause)") && ended.out.contains("Pod/failed"),
        "{}",
        ended.out
    );
}

#[test]
fn namespaces_that_are_never_asked_about_are_left_out() {
    let mut cluster = Cluster::new(1);
    cluster.many(JOBS, 3, |i| {
        let mut job = job(&format!("job-{i}"), &uid(2, i), "de");
        job["metadata"]["namespace"] = json!(["kube-system", "platform", "ns-0"][i]);
        job
    });
    let ended = cluster.check_with(
        |flags| flags.excluded_namespace = vec!["platform".to_owned()],
        None,
        false,
    );
    assert!(matches!(ended.done, Ok(Done::Refused)));
    assert!(
        ended.out.contains(
            "Left out: 2 in namespaces about which the webhook is never asked (kube-system, platform)."
        ),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("Job/job-2") && !ended.out.contains("Job/job-0"),
        "{}",
        ended.out
    );
}

#[test]
fn a_list_that_expires_judges_each_object_once() {
    let mut cluster = Cluster::new(1);
    cluster.many(JOBS, 1200, |i| job(&format!("job-{i}"), &uid(2, i), "de"));
    cluster.many(PODS, 600, |i| {
        pod(
            &format!("pod-{i}"),
            &uid(1, i),
            "Running",
            Some(("batch/v1", "Job", &uid(2, 7))),
        )
    });
    let expired = |next: Option<&str>| Failure::Expired {
        next: next.map(Into::into),
    };
    cluster.fail(
        &format!("{JOBS}?limit=500&continue=500"),
        vec![expired(Some("400"))],
    );
    cluster.fail(&format!("{PODS}?limit=500&continue=500"), vec![expired(None)]);
    let report = cluster.report();
    assert_eq!(report["summary"]["Denied"], 1200);
    assert_eq!(report["summary"]["runningPods"], 600);
    assert_eq!(report["results"].as_array().unwrap().len(), 1200);
    let notes = report["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0]
            .as_str()
            .unwrap()
            .starts_with("the list of pods expired while it was read")
    );
}

#[test]
fn what_may_not_be_listed_is_told() {
    let forbidden = |what: &str| Failure::Other(format!("{what} is forbidden"));
    let mut cluster = Cluster::new(1);
    cluster.put(
        PODS,
        vec![pod(
            "child",
            &uid(1, 0),
            "Running",
            Some(("batch/v1", "Job", &uid(2, 0))),
        )],
    );
    cluster.put(JOBS, vec![]);
    cluster.fail(&format!("{JOBS}?limit=500"), vec![forbidden("jobs.batch")]);
    let ended = cluster.check();
    let error = ended.done.unwrap_err().to_string();
    assert_eq!(
        error,
        "it cannot be told whether anything would be refused; could not be read:\njobs.batch: jobs.batch is forbidden"
    );
    assert!(
        ended
            .out
            .ends_with("Could not be read: jobs.batch: jobs.batch is forbidden\n"),
        "{}",
        ended.out
    );
    assert!(
        !ended.out.contains("Pod/child"),
        "its owner may well exist: {}",
        ended.out
    );

    // What is refused is refused, whatever else there is.
    cluster.put(PODS, vec![pod("alone", &uid(1, 0), "Running", None)]);
    cluster.fail(&format!("{JOBS}?limit=500"), vec![forbidden("jobs.batch")]);
    let ended = cluster.check();
    assert!(matches!(ended.done, Ok(Done::Refused)));

    let path = "/apis/datagate.dev/v1alpha1/datasetpolicies?limit=500";
    cluster.fail(path, vec![forbidden("datasetpolicies.datagate.dev")]);
    let ended = cluster.check();
    assert!(ended.out.is_empty());
    assert_eq!(
        ended.done.unwrap_err().to_string(),
        "cannot read datasetpolicies: datasetpolicies.datagate.dev is forbidden. Whoever asks needs to list policies, records and \
         namespaces"
    );
}

#[test]
fn without_datagate_in_the_cluster_an_edit_can_be_tried() {
    let mut cluster = Cluster::new(1);
    for ours in ["datasetpolicies", "datasetrecords"] {
        cluster.lists.retain(|path, _| !path.ends_with(ours));
    }
    cluster.put(JOBS, vec![job("train", &uid(2, 0), "de")]);
    let ended = cluster.check();
    assert!(matches!(ended.done, Ok(Done::Fine)));
    assert!(
        ended.out.contains(
            "Note: the cluster does not know datasetpolicies: datagate's CRDs are not installed there."
        ),
        "{}",
        ended.out
    );
    let inputs = inputs(&[("DatasetPolicy", "new", policy("DE"))]);
    let ended = cluster.check_with(|_| (), Some(&inputs), false);
    assert!(matches!(ended.done, Ok(Done::Refused)));
    assert!(ended.out.contains("DatasetUnknown"), "{}", ended.out);
    assert!(
        ended.out.contains(
            "The edit (DatasetPolicy new, new): 1 newly refused, 0 no longer refused, 0 refused either way."
        ),
        "{}",
        ended.out
    );
}

fn inputs(objects: &[(&str, &str, Value)]) -> Inputs {
    let folder = tempfile::TempDir::new().unwrap();
    let mut reader = Reader::new(Settings::default());
    for (kind, name, spec) in objects {
        let path = folder.path().join(format!("{name}.json"));
        let object = json!({"apiVersion": "datagate.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        std::fs::write(&path, object.to_string()).unwrap();
        reader.path(&path, Role::Judged);
    }
    reader.finish(Vec::new()).unwrap()
}

#[test]
fn an_edit_tells_what_it_changes() {
    let mut cluster = Cluster::new(1);
    let data = ["de", "us", "de,us"];
    cluster.many(JOBS, 3, move |i| job(&format!("job-{i}"), &uid(2, i), data[i]));
    // The pause moves to the US; another policy of the cluster would stay.
    let inputs = inputs(&[("DatasetPolicy", "eea", policy("US"))]);
    let ended = cluster.check_with(|_| (), Some(&inputs), true);
    assert!(matches!(ended.done, Ok(Done::Refused)));
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        report["edit"],
        json!([{"kind": "DatasetPolicy", "name": "eea", "replaces": true}])
    );
    let changes: Vec<_> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["change"])
        .collect();
    assert_eq!(changes, ["NoLongerRefused", "NewlyRefused", "Refused"]);
    let first = &report["results"][0];
    assert_eq!(
        (&first["decision"], &first["before"]["decision"]),
        (&json!("Allowed"), &json!("Denied"))
    );
    assert_eq!(first["findings"], json!([]));
    assert_eq!(first["before"]["findings"][0]["reason"], "RegionPaused");
    let summary = &report["summary"];
    assert_eq!(
        ["newlyRefused", "noLongerRefused", "refusedEitherWay", "Denied"].map(|it| &summary[it]),
        [1, 1, 1, 2]
    );
}

#[test]
fn only_what_runs() {
    let mut cluster = Cluster::new(1);
    cluster.many(JOBS, 2, |i| job(&format!("job-{i}"), &uid(2, i), "de"));
    cluster.put(
        PODS,
        vec![pod(
            "pod",
            &uid(1, 0),
            "Running",
            Some(("batch/v1", "Job", &uid(2, 1))),
        )],
    );
    let ended = cluster.check_with(|flags| flags.running = true, None, false);
    assert!(
        ended.out.contains("Job/job-1 (eea/pause, 1 running pod)"),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("Job/job-0"), "{}", ended.out);
    assert!(ended.out.contains("2 would be refused"), "{}", ended.out);
}

/// What the API server adds to an object changes nothing of the decision on it.
#[test]
fn a_stored_object_is_judged_as_it_was_submitted() {
    let added = json!({
        "uid": uid(2, 0), "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:annotations": {"f:datagate.dev/datasets": {}}}}}],
    });
    let status = json!({"datagate.dev/datasets": "de", "conditions": [], "phase": "Pending",
        "template": {"metadata": {"annotations": {"datagate.dev/datasets": "de"}}}});
    let world = block_on(worlds::read(
        &Cluster::new(1),
        &Scope::Everything,
        Settings::default(),
        None,
        &mut Notes::default(),
    ))
    .unwrap();
    for kind in KnownKind::ALL {
        for data in ["de", "us", "nobody-knows"] {
            let template = json!({"metadata": {}, "spec": pod_spec()});
            let submitted = json!({
                "metadata": meta("x", "", data, None),
                "template": template,
                "spec": {"containers": pod_spec()["containers"], "template": template,
                    "jobTemplate": {"spec": {"template": template}}},
            });
            let mut stored = submitted.clone();
            stored["status"] = status.clone();
            let meta = stored["metadata"].as_object_mut().unwrap();
            meta.extend(added.as_object().unwrap().clone());
            let decided = [submitted, stored].map(|object| {
                let wanted = Wanted {
                    scope: Scope::Everything,
                    finished: false,
                    at: Timestamp::UNIX_EPOCH,
                    excluded: Vec::new(),
                };
                let (cluster, progress) = (Cluster::new(1), Progress::hidden());
                let scan = Scan::new(&cluster, &NoFetch, &world, &wanted, &progress);
                let json = object.to_string();
                let stored = object::Stored::read(&json).unwrap();
                let (decision, _) = block_on(scan.root((*kind, "v1"), &stored)).unwrap();
                format!("{decision:?}")
            });
            assert_eq!(decided[0], decided[1], "{kind:?} {data}");
            let denied = decided[0].contains("outcome: Denied");
            assert!(
                *kind != KnownKind::Job || denied == (data != "us"),
                "{}",
                decided[0]
            );
        }
    }
}

#[test]
fn nobody_reads_and_the_status_still_tells() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let mut patient = Patient {
        out: &mut Closed,
        gone: false,
    };
    write!(patient, "text").unwrap();
    patient.flush().unwrap();
    assert!(patient.gone);
}
