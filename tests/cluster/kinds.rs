//! The fixtures of kinds (`tests/kinds/`) through a real API server: what is stored, and what is refused and why.
//!
//! They share a control plane without controllers, in which nobody else writes, with stand-ins for the kinds of other
//! projects. A fixture has a namespace for each policy that it names, and one in which its objects were stored before
//! their data was paused.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock};
use std::thread;

use datagate_core::workload::Scope;
use datagate_env::Options;
use serde_json::{Value, json};

use crate::fixture::{
    self, FINALIZER, Fixture, Owner, PERSON, Strictness, Update, Variant, child_of, is_cluster_scoped,
    is_elsewhere, paused, placed, sorted, with_meta,
};
use crate::rig::install_third_party;
use crate::webhook::api::collection;
use crate::webhook::team::{enforce, probe};
use crate::webhook::{Answer, Api, Rig, control_plane};

macro_rules! fixtures {
    ($($name:ident),+ $(,)?) => {
        /// The names of all, with `_` in the place of `-`.
        const LISTED: &[&str] = &[$(stringify!($name)),+];

        $(#[test]
        fn $name() {
            run(stringify!($name));
        })+
    };
}

fixtures! {
    appwrapper,
    clustertrainingruntime,
    clusterworkflowtemplate,
    command,
    cronjob,
    cronworkflow,
    daemonset,
    deployment,
    disaggregatedset,
    experiment,
    flyteworkflow,
    hyperjob,
    jaxjob,
    job,
    jobflow,
    jobset,
    jobtemplate,
    leaderworkerset,
    mpijob,
    notebook,
    optimizationjob,
    paddlejob,
    pipeline,
    pipelinerun,
    pod,
    podtemplate,
    pytorchjob,
    raycluster,
    raycronjob,
    rayjob,
    rayservice,
    replicaset,
    replicationcontroller,
    scheduledsparkapplication,
    scheduledworkflow,
    sparkapplication,
    sparkconnect,
    statefulset,
    task,
    taskrun,
    tfjob,
    trainingruntime,
    trainjob,
    trial,
    volcanocronjob,
    volcanojob,
    workflow,
    workflowtemplate,
    workload,
    xgboostjob,
}

#[test]
fn every_fixture_is_listed() {
    let names: Vec<String> = fixture::all()
        .into_iter()
        .map(|(name, _)| name.replace('-', "_"))
        .collect();
    assert_eq!(LISTED, names, "left is the list in tests/cluster/kinds.rs");
}

/// A control plane, and what came of the fixtures that must not meet the policies of others.
pub struct Kinds {
    pub rig: Rig,
    alone: Mutex<BTreeMap<String, thread::Result<()>>>,
}

/// The one that all fixtures share.
pub fn kinds() -> &'static Kinds {
    static KINDS: OnceLock<Kinds> = OnceLock::new();
    KINDS.get_or_init(|| {
        let cluster = control_plane(&Options {
            controller_manager: false,
            ..Options::default()
        });
        install_third_party(&cluster);
        let rig = Rig::on(cluster);
        let records = fs::read_to_string(fixture::folder().join("records.yaml")).unwrap();
        for record in serde_saphyr::from_multiple::<Value>(&records).unwrap() {
            rig.api.create(&record).admitted();
        }
        let fixtures: Vec<Fixture> = fixture::all().into_iter().filter_map(|(_, it)| it.ok()).collect();
        // Every policy judges what lives in the cluster, so that is made before there is any.
        let mut alone = BTreeMap::new();
        let (in_cluster, in_namespaces): (Vec<_>, Vec<_>) = fixtures
            .iter()
            .partition(|it| it.kind().unwrap().info().scope == Scope::Cluster);
        for fixture in in_cluster {
            make_elsewhere(&rig.api, fixture);
            let course = Course::new(&rig, fixture);
            let result = catch_unwind(AssertUnwindSafe(|| course.run()));
            course.lift();
            alone.insert(fixture.name.clone(), result);
        }
        for fixture in in_namespaces {
            make_elsewhere(&rig.api, fixture);
        }
        let alone = Mutex::new(alone);
        Kinds { rig, alone }
    })
}

/// Makes what a fixture refers to in the cluster and in other namespaces.
fn make_elsewhere(api: &Api, fixture: &Fixture) {
    for object in fixture.surroundings().filter(|it| is_elsewhere(it)) {
        if let Some(namespace) = object["metadata"]["namespace"].as_str() {
            let meta = json!({"name": namespace});
            api.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}));
        }
        let answer = api.create(object);
        assert!([201, 409].contains(&answer.code), "{answer:#?}");
    }
}

fn run(name: &str) {
    let name = name.replace('_', "-");
    let fixture = Fixture::read(&name).unwrap();
    let kinds = kinds();
    if fixture.kind().unwrap().info().scope == Scope::Cluster {
        let result = kinds.alone.lock().unwrap().remove(&name).unwrap();
        result.unwrap_or_else(|panic| resume_unwind(panic));
    } else {
        Course::new(&kinds.rig, &fixture).run();
    }
}

/// A namespace with a service account, without which no pod can be made in it.
pub fn make_namespace(api: &Api, name: &str) {
    api.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .admitted();
    let account = json!({"name": "default", "namespace": name});
    api.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}))
        .admitted();
}

/// A policy of the fixtures for one namespace, named like it.
pub fn policy(strictness: Strictness, namespace: &str) -> Value {
    let mut policy = strictness.policy();
    policy["metadata"]["name"] = json!(namespace);
    policy["spec"]["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    policy
}

/// Refused for exactly that, in whatever order.
#[track_caller]
pub fn refused(what: &str, answer: &Answer, code: u16, findings: &[String]) {
    let found = answer.findings();
    assert_eq!(
        sorted(found.clone()),
        sorted(findings.to_vec()),
        "{what}: left is what came of it, right is what should have\n{}",
        answer.text()
    );
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    answer.refused(code, &found);
}

/// A fixture on its way through the API server.
struct Course<'a> {
    rig: &'a Rig,
    fixture: &'a Fixture,
    person: Api,
}

impl<'a> Course<'a> {
    fn new(rig: &'a Rig, fixture: &'a Fixture) -> Self {
        let person = rig.api.almighty(PERSON);
        Self { rig, fixture, person }
    }

    fn run(&self) {
        self.held();
        self.lift();
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let namespace = self.namespace(match strictness {
                Strictness::Strict => "strict",
                Strictness::Lenient => "lenient",
            });
            if strictness == self.fixture.policy {
                self.main(&namespace);
            } else {
                self.other(strictness, &namespace);
            }
            self.lift();
        }
        for (variant, i) in self.fixture.variants.iter().zip(0..) {
            if !variant.cluster.is_empty() {
                let namespace = self.namespace(&format!("variant-{i}"));
                self.surround(&namespace, &variant.cluster);
                let strictness = variant.policy.unwrap_or(self.fixture.policy);
                enforce(self.rig, policy(strictness, &namespace), &namespace);
                self.variant(variant, &placed(&self.fixture.object, &namespace));
                self.lift();
            }
        }
        for (update, i) in self.fixture.updates.iter().zip(0..) {
            if !update.cluster.is_empty() {
                let namespace = self.namespace(&format!("update-{i}"));
                self.surround(&namespace, &update.cluster);
                let stored = self.rig.api.create(&self.named(&namespace, "stored")).admitted();
                let strictness = update.policy.unwrap_or(self.fixture.policy);
                enforce(self.rig, policy(strictness, &namespace), &namespace);
                self.update(update, &stored, &namespace);
                self.lift();
            }
        }
    }

    fn namespace(&self, what: &str) -> String {
        format!("{}-{what}", self.fixture.name)
    }

    /// Makes a namespace with all that the fixture refers to, and more.
    fn surround(&self, namespace: &str, more: &[Value]) {
        make_namespace(&self.rig.api, namespace);
        for object in self.fixture.cluster.iter().chain(more) {
            if is_elsewhere(object) {
                let stored = self.rig.api.get(object).admitted();
                let same = ["spec", "data", "template"].iter().all(|part| {
                    let (is, should) = (&stored[part], &object[part]);
                    is == should
                });
                assert!(same, "another fixture has one of that name too: {object}");
            } else {
                self.rig.api.create(&placed(object, namespace)).admitted();
            }
        }
    }

    /// The object, named after a step.
    fn named(&self, namespace: &str, step: &str) -> Value {
        let name = self.fixture.object["metadata"]["name"].as_str().unwrap();
        let object = placed(&self.fixture.object, namespace);
        with_meta(object, "name", json!(format!("{name}-{step}")))
    }

    /// Ends every policy that reaches an object which lives in no namespace.
    fn lift(&self) {
        if self.fixture.kind().unwrap().info().scope != Scope::Cluster {
            return;
        }
        let list = "/apis/datagate.dev/v1alpha1/datasetpolicies";
        let list = self.rig.api.get_path(list).admitted();
        let names = list["items"].as_array().unwrap().iter();
        let names = names.map(|it| it["metadata"]["name"].as_str().unwrap());
        for namespace in names.filter(|it| it.starts_with(&self.namespace(""))) {
            let policy = policy(Strictness::Strict, namespace);
            self.rig.api.delete(&policy, "Background").admitted();
            let gone = || (self.rig.api.dry_run(&probe(namespace)).code == 201).then_some(());
            self.rig.wait("the policy is gone", gone);
        }
        self.rig.api.delete(&self.fixture.object, "Background");
    }

    /// Stored before anything governed it, and changed after its data was paused.
    fn held(&self) {
        let fixture = self.fixture;
        let namespace = self.namespace("held");
        self.surround(&namespace, &[]);
        let held: Vec<Value> = fixture
            .releases
            .iter()
            .map(|release| {
                let object = self.named(&namespace, &release.name);
                let held = fixture::patched(&object, &release.held).unwrap();
                self.rig.api.create(&held).admitted()
            })
            .collect();
        let keep = with_meta(self.named(&namespace, "kept"), "finalizers", json!([FINALIZER]));
        let keep = self.rig.api.create(&keep).admitted();

        // People in the US too, rather than other data, because what is referred to declares data as well.
        let mut policy = policy(fixture.policy, &namespace);
        policy["spec"]["pauses"][0]["match"]["regions"] = json!(["EEA", "US"]);
        enforce(self.rig, policy, &namespace);
        let object = placed(&fixture.object, &namespace);
        refused(
            "paused",
            &self.person.create(&object),
            422,
            &fixture.region_paused(),
        );
        for (release, held) in fixture.releases.iter().zip(&held) {
            let answer = self.person.json_patch(held, &json!(release.release));
            let what = format!("release {}", release.name);
            refused(&what, &answer, 403, &fixture.region_paused());
            self.unchanged(&what, held);
        }
        let patch = json!({"metadata": {"finalizers": null}});
        self.person.merge(&keep, &patch).admitted();
        self.rig.api.delete(&keep, "Background");
        self.count(&namespace, &object, held.len());
    }

    /// Under its own policy.
    fn main(&self, namespace: &str) {
        let fixture = self.fixture;
        self.surround(namespace, &[]);
        enforce(self.rig, policy(fixture.policy, namespace), namespace);
        let object = placed(&fixture.object, namespace);
        if fixture.cluster.iter().all(|it| paused(it) == *it) {
            let answer = self.person.create(&paused(&object));
            refused("paused", &answer, 422, &fixture.region_paused());
        }
        self.variants(fixture.policy, &object);
        let stored = self.person.create(&object).admitted();
        self.updates(fixture.policy, &stored, namespace);

        let mut made: Vec<(&str, Value)> = Vec::new();
        for child in &fixture.children {
            let new = placed(&child.object, namespace);
            let new = match &child.owner {
                Owner::Object(true) => child_of(&new, &stored),
                Owner::Object(false) => new,
                Owner::Child(name) => {
                    let owner = made.iter().find(|(it, _)| it == name);
                    child_of(&new, &owner.unwrap_or_else(|| panic!("{name} was not stored")).1)
                }
            };
            let what = format!("child {}", child.name);
            self.create(&format!("{what}, forged"), &self.person, &new, &child.forged);
            let operator = self.rig.api.almighty(&fixture::user(&child.user, namespace));
            if child.findings.is_empty() {
                let answer = operator.create(&new);
                assert_eq!(answer.findings(), [""; 0], "{what}: {answer:#?}");
                made.push((&child.name, answer.admitted()));
            } else {
                self.create(&what, &operator, &new, &child.findings);
            }
        }

        // Nothing but that is there.
        let mut all: BTreeMap<String, (Value, usize)> = BTreeMap::new();
        let mut add = |object: &Value, count: usize| {
            let entry = all.entry(collection(object));
            entry.or_insert_with(|| (object.clone(), 0)).1 += count;
        };
        add(&stored, 1);
        let children = fixture
            .children
            .iter()
            .map(|child| placed(&child.object, namespace));
        children.for_each(|child| add(&child, 0));
        made.iter().for_each(|(_, child)| add(child, 1));
        for object in fixture.cluster.iter().filter(|it| !is_elsewhere(it)) {
            add(&placed(object, namespace), 1);
        }
        for (object, count) in all.values() {
            self.count(namespace, object, *count);
        }
    }

    /// What is judged by the other policy.
    fn other(&self, strictness: Strictness, namespace: &str) {
        let fixture = self.fixture;
        let is = |policy: Option<Strictness>| policy == Some(strictness);
        let alone = |it: &Variant| is(it.policy) && it.cluster.is_empty();
        let updates = fixture
            .updates
            .iter()
            .any(|it| is(it.policy) && it.cluster.is_empty());
        if !updates && !fixture.variants.iter().any(alone) {
            return;
        }
        self.surround(namespace, &[]);
        let stored = updates.then(|| {
            let object = self.named(namespace, "stored");
            self.rig.api.create(&object).admitted()
        });
        enforce(self.rig, policy(strictness, namespace), namespace);
        self.variants(strictness, &placed(&fixture.object, namespace));
        if let Some(stored) = stored {
            self.updates(strictness, &stored, namespace);
        }
    }

    /// Those that need nothing else in their namespace.
    fn variants(&self, strictness: Strictness, object: &Value) {
        for variant in self.fixture.variants.iter().filter(|it| it.cluster.is_empty()) {
            if variant.policy.unwrap_or(self.fixture.policy) == strictness {
                self.variant(variant, object);
            }
        }
    }

    fn variant(&self, variant: &Variant, object: &Value) {
        let new = fixture::patched(object, &variant.patch).unwrap();
        let what = format!("variant {}", variant.name);
        self.create(&what, &self.person, &new, &variant.findings);
    }

    fn updates(&self, strictness: Strictness, stored: &Value, namespace: &str) {
        for update in self.fixture.updates.iter().filter(|it| it.cluster.is_empty()) {
            if update.policy.unwrap_or(self.fixture.policy) == strictness {
                self.update(update, stored, namespace);
            }
        }
    }

    fn update(&self, update: &Update, stored: &Value, namespace: &str) {
        let api = self.rig.api.almighty(&fixture::user(&update.user, namespace));
        let (what, patch) = (format!("update {}", update.name), json!(update.patch));
        if update.findings.is_empty() {
            let answer = api.dry_json_patch(stored, &patch);
            assert_eq!(answer.findings(), [""; 0], "{what}: {answer:#?}");
            answer.admitted();
        } else {
            refused(&what, &api.json_patch(stored, &patch), 403, &update.findings);
        }
        self.unchanged(&what, stored);
    }

    /// Tries to make an object that must not be stored; what is admitted is tried in dry run.
    #[track_caller]
    fn create(&self, what: &str, api: &Api, object: &Value, findings: &[String]) {
        if findings.is_empty() {
            let answer = api.dry_run(object);
            assert_eq!(answer.findings(), [""; 0], "{what}: {answer:#?}");
            answer.admitted();
        } else {
            refused(what, &api.create(object), 422, findings);
        }
    }

    #[track_caller]
    fn unchanged(&self, what: &str, stored: &Value) {
        let now = self.rig.api.get(stored).admitted();
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        assert_eq!(version(&now), version(stored), "{what} was stored");
    }

    /// That many objects like this one are stored.
    #[track_caller]
    fn count(&self, namespace: &str, object: &Value, count: usize) {
        if is_cluster_scoped(object) {
            return;
        }
        let list = self.rig.api.get_path(&collection(object)).admitted();
        let names: Vec<&Value> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["metadata"]["name"])
            .collect();
        assert_eq!(names.len(), count, "{} of {namespace}: {names:?}", object["kind"]);
    }
}
