//! The index: what it makes of events, and how it gets them.

use std::sync::Arc;
use std::time::Duration;

use datagate::index::{
    self, Catalogued, Change, Config, Index, Presence, RECHECK, Snapshot, Snapshots, State,
};
use datagate::metrics::Metrics;
use datagate::server::Readiness;
use datagate::stop::{Stopper, stop};
use datagate_core::settings::Settings;
use datagate_core::vocabulary::WorkloadScope;
use datagate_core::world::{RecordSlot, World};
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};

use crate::api::{Api, CRDS, Instead, NAMESPACES, POLICIES, RECORDS, namespace, policy, record};
use crate::client::LONG;

fn read<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn applied(object: Value) -> Change {
    match object["kind"].as_str().unwrap() {
        "DatasetPolicy" => Change::Policy(Event::Apply(read(object))),
        "DatasetRecord" => Change::Record(Event::Apply(read(object))),
        _ => Change::Namespace(Event::Apply(read(object))),
    }
}

fn synced() -> State {
    let mut state = State::new(Settings::default());
    for init in [Event::Init, Event::InitDone] {
        state.apply(Change::Policy(init.clone()));
    }
    for init in [Event::Init, Event::InitDone] {
        state.apply(Change::Record(init.clone()));
    }
    for init in [Event::Init, Event::InitDone] {
        state.apply(Change::Namespace(init.clone()));
    }
    state.publish().unwrap();
    state
}

/// Every policy with its generation in force and its error, every record with its regions or error, every namespace.
fn shown(world: &World) -> Vec<String> {
    let mut lines: Vec<String> = world
        .policies()
        .map(|slot| {
            let generation = slot.policy.as_ref().map(|policy| policy.generation);
            let governed = world.governed_namespaces(&slot.name);
            format!("policy {} {generation:?} {governed} {:?}", slot.name, slot.error)
        })
        .chain(world.records().map(|(name, slot)| match slot {
            RecordSlot::Ready(dataset) => format!("record {name} {}", dataset.record.generation),
            RecordSlot::Unreadable(error) => format!("record {name} {error}"),
        }))
        .chain(world.namespaces().map(|(name, _)| format!("namespace {name}")))
        .collect();
    lines.sort();
    lines
}

#[test]
fn nothing_is_published_before_all_three_are_in_sync() {
    let mut state = State::new(Settings::default());
    let steps = [
        Change::Policy(Event::Init),
        Change::Policy(Event::InitApply(read(policy("a", "1", 1, &["DE"])))),
        Change::Policy(Event::InitDone),
        Change::Namespace(Event::Init),
        Change::Namespace(Event::InitDone),
        Change::Record(Event::Init),
        Change::Record(Event::InitApply(read(record("r", "2", 1, &["US"])))),
    ];
    for step in steps {
        state.apply(step);
        assert!(state.publish().is_none());
    }
    state.apply(Change::Record(Event::InitDone));
    let snapshot = state.publish().unwrap();
    assert_eq!(shown(&snapshot.world), ["policy a Some(1) 0 None", "record r 1"]);
    assert!(state.publish().is_none(), "nothing new");
}

#[test]
fn an_empty_cluster_is_published_too() {
    synced();
}

#[test]
fn status_updates_and_unchanged_namespaces_are_no_news() {
    let mut state = synced();
    state.apply(applied(policy("a", "1", 1, &["DE"])));
    state.apply(applied(namespace("n", &[("team", "ml")])));
    state.publish().unwrap();

    let mut same = policy("a", "1", 1, &["DE"]);
    same["status"] = json!({"summary": "new"});
    state.apply(applied(same));
    let mut same = namespace("n", &[("team", "ml")]);
    same["metadata"]["annotations"] = json!({"other": "x"});
    state.apply(applied(same));
    assert!(state.publish().is_none());

    // Another object of that name is news, whatever its generation.
    state.apply(applied(policy("a", "2", 1, &["DE"])));
    assert!(state.publish().is_some());
    let mut ceiling = namespace("n", &[("team", "ml")]);
    ceiling["metadata"]["annotations"] = json!({"datagate.dev/allowed-purposes": "Evaluation"});
    state.apply(applied(ceiling));
    assert!(state.publish().is_some());
}

#[test]
fn how_far_it_has_come_is_told_by_the_changes_of_policies() {
    let at = |name: &str, generation: i64, version: &str| {
        let mut policy = policy(name, name, generation, &["DE"]);
        policy["metadata"]["resourceVersion"] = json!(version);
        policy
    };
    let list = |state: &mut State, items: &[Value]| {
        state.apply(Change::Policy(Event::Init));
        for item in items {
            let item = serde_json::from_value(item.clone()).unwrap();
            state.apply(Change::Policy(Event::InitApply(item)));
        }
    };
    let far = |state: &State| (state.folded().at, state.folded().changed);
    let mut state = synced();
    list(&mut state, &[at("a", 1, "100"), at("b", 1, "9")]);
    assert_eq!(far(&state), (0, 100), "a list is read in the order of names");
    state.apply(Change::Policy(Event::InitDone));
    assert_eq!(far(&state), (100, 100));

    // A change of its status is folded in, and changes nothing; one of what it says does.
    state.apply(applied(at("b", 1, "101")));
    assert_eq!(far(&state), (101, 100));
    state.apply(applied(at("b", 2, "102")));
    state.apply(applied(at("b", 2, "103")));
    assert_eq!(far(&state), (103, 102));
    let sightings = state.publish().unwrap().sightings;
    let sighted = |name: &str| sightings[name].at;
    assert_eq!((sighted("a"), sighted("b")), (100, 102));

    // After a restore the API server counts from where it was.
    list(&mut state, &[at("a", 1, "50"), at("b", 1, "40")]);
    assert_eq!(state.folded().at, 103, "until it has been read");
    state.apply(Change::Policy(Event::InitDone));
    assert_eq!(far(&state), (50, 50));

    // What has no place in the order is reached by nobody.
    state.apply(applied(at("c", 1, "opaque")));
    assert_eq!(far(&state), (50, u128::MAX));
}

#[test]
fn an_unreadable_policy_keeps_its_last_readable_spec() {
    let mut state = synced();
    state.apply(applied(namespace("n", &[])));
    state.apply(applied(policy("a", "1", 1, &["DE"])));
    state.apply(applied(policy("a", "1", 2, &["DE", "UK"])));
    let Snapshot {
        world, unreadable, ..
    } = state.publish().unwrap();
    let slot = world.policies().next().unwrap();
    assert_eq!(slot.policy.as_ref().unwrap().generation, 1);
    let error = slot.error.as_deref().unwrap();
    assert!(error.starts_with("spec.pauses[0].match.regions[1]: "), "{error}");
    let versions: Vec<_> = unreadable
        .iter()
        .map(|((kind, name), it)| (*kind, &**name, it.generation))
        .collect();
    assert_eq!(versions, [(Catalogued::Policy, "a", 2)]);

    state.apply(applied(policy("a", "1", 3, &["FR"])));
    let Snapshot {
        world, unreadable, ..
    } = state.publish().unwrap();
    assert_eq!(shown(&world), ["namespace n", "policy a Some(3) 1 None"]);
    assert!(unreadable.is_empty());
}

#[test]
fn an_unreadable_policy_without_a_past_reaches_what_its_selectors_say() {
    let mut state = synced();
    state.apply(applied(namespace("in", &[("team", "ml")])));
    state.apply(applied(namespace("out", &[])));
    let mut narrow = policy("narrow", "1", 1, &["DE"]);
    narrow["spec"]["namespaceSelector"] = json!({"matchLabels": {"team": "ml"}});
    narrow["spec"]["validationActions"] = json!(["Deny", "Pray"]);
    state.apply(applied(narrow));
    let mut all = policy("all", "2", 1, &["DE"]);
    all["spec"]["namespaceSelector"] = json!({"matchLabels": ["team"]});
    state.apply(applied(all));
    let mut none = policy("none", "3", 1, &["DE"]);
    none.as_object_mut().unwrap().remove("spec");
    state.apply(applied(none));

    let world = state.publish().unwrap().world;
    let found: Vec<_> = shown(&world)
        .into_iter()
        .filter(|line| line.starts_with("policy"))
        .collect();
    snapbox::assert_data_eq!(
        found.join("\n"),
        snapbox::str![[r#"
policy all None 2 Some("spec.namespaceSelector.matchLabels: invalid type: sequence, expected a map")
policy narrow None 1 Some("spec.validationActions[1]: unknown variant Pray, expected one of Deny, Warn, Audit")
policy none None 2 Some("spec: missing")
"#]]
    );
    let narrow = world.policies().find(|slot| &*slot.name == "narrow").unwrap();
    assert_eq!(
        narrow.reach.as_ref().unwrap().workloads,
        WorkloadScope::Accelerated
    );
}

#[test]
fn a_field_of_the_future_makes_an_object_unreadable() {
    let mut state = synced();
    let mut newer = record("r", "1", 1, &["US"]);
    newer["spec"]["consentRegister"] = json!("x");
    state.apply(applied(newer));
    let world = state.publish().unwrap().world;
    let [line] = &shown(&world)[..] else { panic!() };
    assert!(
        line.starts_with("record r spec.consentRegister: unknown field"),
        "{line}"
    );
}

#[test]
fn a_relist_removes_what_is_not_in_it_at_its_end_and_after_a_look() {
    let mut state = synced();
    for name in ["a", "b"] {
        state.apply(applied(policy(name, name, 1, &["DE"])));
        state.apply(applied(record(name, name, 1, &["US"])));
        state.apply(applied(namespace(name, &[])));
    }
    let full = shown(&state.publish().unwrap().world);
    // The first attempt breaks off.
    for _ in 0..2 {
        state.apply(Change::Policy(Event::Init));
        state.apply(Change::Policy(Event::InitApply(read(policy(
            "b",
            "b",
            1,
            &["DE"],
        )))));
        state.apply(Change::Record(Event::Init));
        state.apply(Change::Namespace(Event::Init));
        assert!(state.publish().is_none());
        assert_eq!(state.questions(), []);
    }
    state.apply(Change::Policy(Event::InitDone));
    state.apply(Change::Record(Event::InitDone));
    assert!(
        state.publish().is_none(),
        "policies and records wait for a look at their CRDs"
    );
    let asked = [
        (Catalogued::Policy, Duration::ZERO),
        (Catalogued::Record, Duration::ZERO),
    ];
    assert_eq!(state.questions(), asked);
    state.apply(Change::Namespace(Event::InitDone));
    let without_namespaces: Vec<_> = full.iter().filter(|it| !it.starts_with("namespace")).collect();
    let now = shown(&state.publish().unwrap().world);
    assert_eq!(now.len(), without_namespaces.len());

    state.answer(Catalogued::Policy, Presence::There);
    state.answer(Catalogued::Record, Presence::Gone);
    let world = state.publish().unwrap().world;
    assert_eq!(
        shown(&world),
        ["policy b Some(1) 0 None", "record a 1", "record b 1"]
    );
    assert_eq!(state.counts().held, 2);
    assert_eq!(state.questions(), [(Catalogued::Record, RECHECK)]);
}

#[test]
fn replacing_a_policy_by_force_leaves_no_gap() {
    let mut state = synced();
    state.apply(applied(policy("a", "1", 1, &["DE"])));
    state.publish().unwrap();
    state.apply(Change::Policy(Event::Delete(read(policy("a", "1", 1, &["DE"])))));
    assert!(state.publish().is_none());
    state.questions();
    state.apply(applied(policy("a", "2", 1, &["FR"])));
    let world = state.publish().unwrap().world;
    assert_eq!(
        &*world.policies().next().unwrap().policy.as_ref().unwrap().uid,
        "2"
    );
    state.answer(Catalogued::Policy, Presence::There);
    assert!(state.publish().is_none());
    // Late news of the first one's end concerns nobody.
    state.apply(Change::Policy(Event::Delete(read(policy("a", "1", 1, &["DE"])))));
    assert_eq!(state.questions(), []);
}

/// An index that runs against a mock.
struct Running {
    api: Api,
    snapshots: Snapshots,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Running {
    fn start(api: &Api) -> Self {
        let mut metrics = Metrics::new();
        let readiness = Readiness::new();
        let index = Index::new(Settings::default(), &mut metrics, &readiness);
        let snapshots = index.snapshots();
        let (stopper, stop) = stop();
        let task = tokio::spawn(index::run(index, Config::default(), api.client(), stop));
        Self {
            api: api.clone(),
            snapshots,
            readiness,
            metrics: Arc::new(metrics),
            stopper,
            task,
        }
    }

    /// Waits until the published world looks like this.
    async fn shows(&mut self, expected: &[&str]) {
        let like =
            |snapshot: &Option<Snapshot>| snapshot.as_ref().is_some_and(|it| shown(&it.world) == expected);
        let found = timeout(LONG * 10, self.snapshots.wait_for(like)).await.is_ok();
        let last = self.snapshots.borrow().as_ref().map(|it| shown(&it.world));
        assert!(found, "{expected:?}, not {last:?}; {:?}", self.api.log());
    }

    async fn stop(self) {
        self.stopper.stop();
        timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

/// Waits until something is so, letting time pass.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited for {what}");
}

#[tokio::test(start_paused = true)]
async fn it_follows_the_cluster() {
    let api = Api::new();
    api.put(POLICIES, policy("a", "1", 1, &["DE"]));
    api.put(RECORDS, record("r", "2", 1, &["US"]));
    api.put(NAMESPACES, namespace("n", &[]));
    let mut running = Running::start(&api);
    running
        .shows(&["namespace n", "policy a Some(1) 1 None", "record r 1"])
        .await;
    until("all watches", || {
        [POLICIES, RECORDS, NAMESPACES]
            .iter()
            .all(|it| api.watches(it) == 1)
    })
    .await;
    let text = running.readiness.report().text;
    assert!(running.readiness.report().ready, "{text}");
    assert!(text.contains("[+] policies: in sync (0."), "{text}");

    api.put(POLICIES, policy("a", "1", 2, &["FR"]));
    api.delete(RECORDS, "r");
    api.put(NAMESPACES, namespace("m", &[]));
    running
        .shows(&["namespace m", "namespace n", "policy a Some(2) 2 None"])
        .await;
    api.delete(POLICIES, "a");
    api.delete(NAMESPACES, "n");
    running.shows(&["namespace m"]).await;

    api.behind_its_back(POLICIES, |api| api.put(POLICIES, policy("b", "3", 1, &["DE"])));
    running.shows(&["namespace m", "policy b Some(1) 1 None"]).await;
    api.behind_its_back(POLICIES, |api| api.delete(POLICIES, "b"));
    running.shows(&["namespace m"]).await;
    let text = running.metrics.encode().unwrap();
    assert!(
        text.contains("datagate_watch_age_seconds{watch=\"policies\"} "),
        "{text}"
    );
    assert!(text.contains("datagate_policies 0\n"), "{text}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_object_does_not_hide_the_others() {
    let api = Api::new();
    let mut bad = policy("bad", "1", 1, &["DE"]);
    bad["spec"]["pauses"] = json!("none");
    api.put(POLICIES, bad);
    api.put(POLICIES, policy("good", "2", 1, &["DE"]));
    let mut bad = record("bad", "3", 1, &["DE"]);
    bad["spec"]["personalData"] = json!(true);
    api.put(RECORDS, bad);
    api.put(RECORDS, record("good", "4", 1, &["DE"]));
    let mut running = Running::start(&api);
    running
        .shows(&[
            "policy bad None 0 Some(\"spec.pauses: invalid type: string 'none', expected a sequence\")",
            "policy good Some(1) 0 None",
            "record bad spec.personalData: invalid type: boolean true, expected string or map",
            "record good 1",
        ])
        .await;
    let text = running.metrics.encode().unwrap();
    assert!(text.contains("datagate_policies_unreadable 1\n"), "{text}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_crd_keeps_the_last_snapshot() {
    let api = Api::new();
    api.put(POLICIES, policy("a", "1", 1, &["DE"]));
    let mut running = Running::start(&api);
    running.shows(&["policy a Some(1) 0 None"]).await;
    until("the watch", || api.watches(POLICIES) == 1).await;

    // As the API server does it: the CRD is marked, its objects go one by one, then it goes itself.
    let crd = "datasetpolicies.datagate.dev";
    api.put(
        CRDS,
        json!({"metadata": {"name": crd, "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    api.delete(POLICIES, "a");
    let looks = format!("GET {CRDS}/{crd}");
    until("a look at the CRD", || api.asked(&looks) == 1).await;
    api.delete(CRDS, crd);
    api.instead(POLICIES, Instead::Status(404));
    api.expire(POLICIES);
    until("more looks at the CRD", || api.asked(&looks) >= 3).await;
    running.shows(&["policy a Some(1) 0 None"]).await;
    let report = running.readiness.report();
    assert!(
        report.ready && report.text.contains("does not know this kind"),
        "{}",
        report.text
    );

    // It is there again, and so is the truth.
    api.put(CRDS, json!({"metadata": {"name": crd}}));
    api.mend();
    api.put(POLICIES, policy("b", "2", 1, &["DE"]));
    running.shows(&["policy b Some(1) 0 None"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_crds_it_is_not_ready_and_says_why() {
    let api = Api::new();
    api.instead(RECORDS, Instead::Status(404));
    let mut running = Running::start(&api);
    let report = {
        let readiness = running.readiness.clone();
        until("the reason", || readiness.report().text.contains("apply crds/")).await;
        readiness.report()
    };
    assert!(!report.ready);
    assert!(running.snapshots.borrow().is_none());
    api.mend();
    running.shows(&[]).await;
    assert!(running.readiness.report().ready);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_noticed_within_65_s() {
    let api = Api::new();
    let mut running = Running::start(&api);
    running.shows(&[]).await;
    until("the watch", || api.watches(POLICIES) == 1).await;
    // No event, no bookmark, no end: as when a firewall has forgotten the connection. The cluster goes on meanwhile.
    api.cut(POLICIES);
    api.put(POLICIES, policy("a", "1", 1, &["DE"]));
    let begun = tokio::time::Instant::now();
    running.shows(&["policy a Some(1) 0 None"]).await;
    let noticed = begun.elapsed().as_secs();
    assert!((55..=65).contains(&noticed), "{noticed} s");

    // And an API server that takes requests and never answers.
    api.instead(POLICIES, Instead::Silence);
    advance(Duration::from_secs(120)).await;
    let readiness = running.readiness.clone();
    until("the reason", || {
        readiness.report().text.contains("did not answer")
    })
    .await;
    let age = readiness.report();
    assert!(age.ready, "what was known stays in force: {}", age.text);
    running.stop().await;
}
