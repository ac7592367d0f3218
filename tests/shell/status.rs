//! Statuses: what they say, when they are written, and by whom.

use std::sync::Arc;
use std::time::Duration;

use datagate::index::{self, Config as IndexConfig, Index, Stored, read_policy};
use datagate::metrics::Metrics;
use datagate::server::{Readiness, WallClock};
use datagate::status::{
    self, Config, Coverage, Election, Facts, Inputs, Standing, Step, Survey, Webhook, policy_status,
    record_status,
};
use datagate::stop::{Stopper, stop};
use datagate::{object, registration};
use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::dataset::Record;
use datagate_core::render::{Alteration, Altered};
use datagate_core::settings::Settings;
use datagate_core::world::{Catalogue, Namespace, World};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, prelude::*, str};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::api::{Api, Instead, NAMESPACES, POLICIES, RECORDS, WEBHOOKS, namespace, policy, record, webhook};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/datagate-system/leases/datagate";
const NOW: &str = "2026-01-01T00:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn in_force() -> Facts {
    Facts {
        webhook: Webhook::Present,
        observe: false,
        standing: Standing::NotLookedFor,
    }
}

fn world(policies: &[Value], records: &[Value], namespaces: &[(&str, &[(&str, &str)])]) -> World {
    let mut catalogue = Catalogue::new(Settings::default());
    for (name, labels) in namespaces {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        catalogue.put_namespace(name, Namespace::new(labels, []));
    }
    for policy in policies {
        let stored: Stored<DatasetPolicy> = serde_json::from_value(policy.clone()).unwrap();
        match read_policy(&stored) {
            Ok(policy) => catalogue.put_policy(policy),
            Err(error) => catalogue.put_unreadable_policy(
                stored.metadata.name.as_deref().unwrap(),
                &error.what,
                error.reach,
            ),
        }
    }
    for record in records {
        let record: DatasetRecord = serde_json::from_value(record.clone()).unwrap();
        catalogue.put_record(Record::try_from(&record).unwrap());
    }
    catalogue.publish()
}

/// The status of the only policy.
fn status_of(world: &World, facts: &Facts, now: &str) -> Value {
    let slot = world.policies().next().unwrap();
    let coverage = Survey::of(world, &["kube-system".to_owned()]).coverage(&slot.name);
    json!(policy_status(slot, 3, &coverage, facts, at(now)))
}

fn ready(status: &Value) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|it| it["type"] == "Ready").unwrap();
    format!("{} {}: {}", ready["status"], ready["reason"], ready["message"]).replace('"', "")
}

fn paused() -> Value {
    let mut policy = policy("a", "1", 3, &["EEA", "GB"]);
    policy["spec"]["denyFrom"] = json!("2026-02-01T00:00:00Z");
    policy["spec"]["pauses"] = json!([{
        "name": "eea",
        "match": {"regions": ["EEA", "GB"], "purposes": ["GenerativeAITraining"], "sourceCategories": ["UserData"]},
        "effectiveFrom": "2024-09-18T00:00:00Z",
        "effectiveUntil": "2026-06-01T00:00:00Z",
        "reviewBy": "2026-03-01",
    }]);
    policy
}

#[test]
fn a_policy_in_force() {
    let world = world(&[paused()], &[], &[("ml", &[]), ("web", &[])]);
    assert_data_eq!(
        status_of(&world, &in_force(), NOW).into_json(),
        str![[r#"
{
  "conditions": [
    {
      "lastTransitionTime": "2026-01-01T00:00:00Z",
      "message": "The policy is understood.",
      "observedGeneration": 3,
      "reason": "Valid",
      "status": "True",
      "type": "Accepted"
    },
    {
      "lastTransitionTime": "2026-01-01T00:00:00Z",
      "message": "Workloads are decided by this version.",
      "observedGeneration": 3,
      "reason": "Enforced",
      "status": "True",
      "type": "Ready"
    },
    {
      "lastTransitionTime": "2026-01-01T00:00:00Z",
      "message": "eea by 2026-03-01",
      "observedGeneration": 3,
      "reason": "NotYetDue",
      "status": "False",
      "type": "ReviewDue"
    }
  ],
  "governedNamespaces": 2,
  "nextChange": "2026-02-01T00:00:00Z",
  "observedGeneration": 3,
  "pausedRegions": [
    "EEA",
    "GB"
  ],
  "summary": "Warns until 2026-02-01, then refuses. Since 2024-09-18 until 2026-06-01: no GenerativeAITraining on UserData of people in EEA (37 codes), GB."
}
"#]]
        .is_json()
    );
}

#[test]
fn it_changes_with_time() {
    let world = world(&[paused()], &[], &[]);
    let shown = |now| {
        let status = status_of(&world, &in_force(), now);
        let review = &status["conditions"][2]["status"];
        format!(
            "{now}: paused {} next {} review due {review}",
            status["pausedRegions"], status["nextChange"]
        )
    };
    let moments = [
        "2024-09-17T23:59:59Z",
        "2024-09-18T00:00:00Z",
        "2026-03-01T00:00:00Z",
        "2026-06-01T00:00:00Z",
    ];
    assert_data_eq!(
        moments.map(shown).join("\n"),
        str![[r#"
2024-09-17T23:59:59Z: paused null next "2024-09-18T00:00:00Z" review due "False"
2024-09-18T00:00:00Z: paused ["EEA","GB"] next "2026-02-01T00:00:00Z" review due "False"
2026-03-01T00:00:00Z: paused ["EEA","GB"] next "2026-06-01T00:00:00Z" review due "True"
2026-06-01T00:00:00Z: paused null next null review due null
"#]]
    );
}

#[test]
fn ready_names_what_is_missing() {
    let mut all = policy("a", "1", 3, &["DE"]);
    all["spec"]["workloads"] = json!("All");
    let label = [("datagate.dev/workloads", "All")];
    let wrong = [("datagate.dev/workloads", "all")];
    let some = world(
        &[all.clone()],
        &[],
        &[
            ("a", &[]),
            ("b", &wrong),
            ("c", &[]),
            ("d", &[]),
            ("e", &label),
            ("kube-system", &[]),
        ],
    );
    let one = world(&[all.clone()], &[], &[("a", &[]), ("b", &label)]);
    let none = world(&[all.clone()], &[], &[("b", &label)]);
    let missing = Facts {
        webhook: Webhook::Missing {
            name: "datagate".into(),
        },
        observe: true,
        standing: Standing::NotLookedFor,
    };
    let unknown = Facts {
        webhook: Webhook::Unknown {
            name: "datagate".into(),
        },
        observe: false,
        standing: Standing::NotLookedFor,
    };
    let observe = Facts {
        webhook: Webhook::Present,
        observe: true,
        standing: Standing::NotLookedFor,
    };
    let altered = Facts {
        webhook: Webhook::Altered {
            name: "datagate".into(),
            alterations: ["training", "core", "core-all"]
                .map(|entry| Alteration {
                    entry: format!("{entry}.datagate.dev").into(),
                    what: Altered::Ignores,
                })
                .into(),
        },
        ..in_force()
    };
    let standing = |behind: &[(&str, &[&str])], counting| Facts {
        standing: Standing::Known {
            counting,
            behind: behind
                .iter()
                .map(|(policy, names)| ((*policy).into(), names.iter().map(|it| (*it).into()).collect()))
                .collect(),
        },
        ..in_force()
    };
    let blind = Facts {
        standing: Standing::Unknown,
        ..in_force()
    };
    let mut by_label = all.clone();
    by_label["spec"]["namespaceSelector"] = json!({"matchLabels": {"datagate.dev/workloads": "All"}});
    let out = world(&[by_label], &[], &[("b", &label), ("kube-system", &label)]);
    all["spec"]["undeclared"] = json!("Pray");
    let bad = world(&[all], &[], &[("b", &label)]);
    let shown = [
        (&some, &in_force()),
        (&one, &in_force()),
        (&none, &in_force()),
        (&some, &missing),
        (&none, &unknown),
        (&some, &observe),
        (&bad, &missing),
        (&none, &altered),
        (&none, &standing(&[("a", &["two", "three", "four", "five"])], 5)),
        (&none, &standing(&[("b", &["two"])], 5)),
        (&none, &standing(&[], 0)),
        (&none, &blind),
        (&out, &in_force()),
    ]
    .map(|(world, facts)| ready(&status_of(world, facts, NOW)));
    assert_data_eq!(
        shown.join("\n"),
        str![[r#"
False NamespacesNotCovered: 4 governed namespaces lack the label datagate.dev/workloads: All, so plain workloads there are not seen: a, b, c and 1 more.
False NamespacesNotCovered: 1 governed namespace lacks the label datagate.dev/workloads: All, so plain workloads there are not seen: a.
True Enforced: Workloads are decided by this version.
False WebhookMissing: The ValidatingWebhookConfiguration datagate does not exist, so the API server asks nobody and admits everything. Install the chart again.
Unknown WebhookUnknown: Cannot see the ValidatingWebhookConfiguration datagate. Allow datagate to get, list and watch it; its log has the error.
False ObserveMode: The server only observes: Deny acts as Audit. Set the chart's mode to Enforce.
False NotAccepted: This version cannot be read; see Accepted.
False WebhookAltered: The ValidatingWebhookConfiguration datagate was altered, so that workloads may pass unseen: failurePolicy of training.datagate.dev is not Fail, failurePolicy of core.datagate.dev is not Fail and 1 more. Install the chart again.
False ReplicasBehind: 4 of 5 ready replicas do not decide by this version yet: two, three, four and 1 more. If it lasts, their logs say why.
True Enforced: Workloads are decided by this version.
False NoReplicaReady: No replica is ready to decide, so governed workloads are refused. GET /readyz of the pods says what they wait for.
Unknown ReplicasUnknown: Cannot see by what the replicas decide. Allow datagate to list, watch, create and patch leases in its namespace; its log has the error.
True Enforced: Workloads are decided by this version, except in namespaces that the platform team leaves out: kube-system.
"#]]
    );
}

#[test]
fn an_unreadable_policy_says_which_field_and_what_holds_meanwhile() {
    let mut bad = policy("a", "1", 3, &["UK"]);
    let first = world(&[bad.clone()], &[], &[]);
    bad["metadata"]["generation"] = json!(4);
    let later = world(&[policy("a", "1", 3, &["GB"]), bad], &[], &[]);
    let message = |world: &World| {
        let status = status_of(world, &in_force(), NOW);
        let accepted = &status["conditions"][0];
        assert_eq!(accepted["reason"], "InvalidSpec");
        format!("{} {}", accepted["message"], status["pausedRegions"])
    };
    assert_data_eq!(
        [message(&first), message(&later)].join("\n"),
        str![[r#"
"spec.pauses[0].match.regions[0]: UK is not an ISO 3166 code; write GB. Workloads that it reaches are refused until it can be read." null
"spec.pauses[0].match.regions[0]: UK is not an ISO 3166 code; write GB. The last version that could be read stays in force." ["GB"]
"#]]
    );
}

#[test]
fn a_record_says_what_is_wrong_with_it_or_its_ancestors() {
    let child = |name: &str, parent: &str| {
        let mut child = record(name, name, 2, &["US"]);
        child["spec"]["derivedFrom"] = json!([{"name": parent}]);
        child
    };
    let world = world(
        &[],
        &[
            record("raw", "raw", 2, &["US"]),
            child("fine", "raw"),
            child("orphan", "gone"),
            child("loop", "loop"),
        ],
        &[],
    );
    let mut lines: Vec<String> = world
        .records()
        .map(|(name, slot)| {
            let status = record_status(slot, 2, at(NOW));
            let [accepted] = &status.conditions[..] else {
                panic!()
            };
            format!(
                "{name} {} {}: {}",
                accepted.status, accepted.reason, accepted.message
            )
        })
        .collect();
    lines.sort();
    assert_data_eq!(
        lines.join("\n"),
        str![[r#"
fine True Valid: The record is understood.
loop False DerivedFromBroken: It is derived from itself by way of loop. Correct derivedFrom.
orphan False DerivedFromBroken: It is derived from gone, which has no DatasetRecord. Add one.
raw True Valid: The record is understood.
"#]]
    );
}

#[test]
fn coverage_counts_only_what_is_governed() {
    let mut narrow = policy("a", "1", 3, &["DE"]);
    narrow["spec"]["workloads"] = json!("All");
    narrow["spec"]["namespaceSelector"] = json!({"matchLabels": {"team": "ml"}});
    let world = world(&[narrow], &[], &[("in", &[("team", "ml")]), ("out", &[])]);
    let expected = Coverage {
        governed: 1,
        uncovered: 1,
        names: vec!["in".into()],
        left_out: Vec::new(),
    };
    assert_eq!(Survey::of(&world, &[]).coverage("a"), expected);
    let expected = Coverage {
        governed: 1,
        left_out: vec!["in".into()],
        ..Coverage::default()
    };
    assert_eq!(Survey::of(&world, &["in".to_owned()]).coverage("a"), expected);
}

#[test]
fn a_lease_is_taken_when_it_is_free_or_has_not_been_renewed() {
    const DURATION: Duration = Duration::from_secs(15);
    let begun = Instant::now();
    let now = at(NOW);
    let mut one = Election::new("one", DURATION);
    let mut two = Election::new("two", DURATION);
    let Step::Claim(first) = one.step(None, begun, now) else {
        panic!()
    };
    assert_eq!(two.step(Some(&first), begun, now), Step::Wait);
    let later = begun + Duration::from_secs(14);
    assert_eq!(two.step(Some(&first), later, now), Step::Wait);
    let Step::Claim(renewed) = one.step(Some(&first), later, now + SignedDuration::from_secs(14)) else {
        panic!()
    };
    assert_eq!(renewed.acquire_time, first.acquire_time);
    assert_eq!(renewed.lease_transitions, Some(0));
    // Seen to be renewed, so the time counts anew; a clock that is years off means nothing.
    let much_later = later + Duration::from_secs(14);
    assert_eq!(
        two.step(Some(&renewed), later, at("2036-01-01T00:00:00Z")),
        Step::Wait
    );
    assert_eq!(
        two.step(Some(&renewed), much_later, at("2036-01-01T00:00:00Z")),
        Step::Wait
    );
    let Step::Claim(taken) = two.step(Some(&renewed), much_later + Duration::from_secs(1), now) else {
        panic!()
    };
    assert_eq!(taken.holder_identity.as_deref(), Some("two"));
    assert_eq!(taken.lease_transitions, Some(1));
    assert_eq!(one.step(Some(&taken), much_later, now), Step::Wait);
    let released = LeaseSpec {
        holder_identity: Some(String::new()),
        ..taken
    };
    assert!(matches!(
        one.step(Some(&released), much_later, now),
        Step::Claim(_)
    ));
}

/// An index and some writers of status that run against a mock; their wall clock goes with tokio's.
pub struct Running {
    api: Api,
    pub inputs: Inputs,
    clock: WallClock,
    pub parts: (Stopper, [JoinHandle<()>; 2]),
}

pub struct Replica {
    pub metrics: Metrics,
    pub stopper: Stopper,
    pub task: JoinHandle<()>,
}

impl Running {
    pub fn start(api: &Api) -> Self {
        let readiness = Readiness::new();
        let index = Index::new(Settings::default(), &mut Metrics::new(), &readiness);
        let (registered, registrations) = registration::channel();
        let inputs = Inputs {
            snapshots: index.snapshots(),
            folded: index.folded(),
            readiness,
            registrations,
        };
        let (stopper, stop) = stop();
        let indexing = index::run(index, IndexConfig::default(), api.client(), stop.clone());
        let registration = registration::run(
            object::Config::default(),
            "datagate".to_owned(),
            api.client(),
            registered,
            stop,
        );
        let begun = Instant::now();
        Self {
            api: api.clone(),
            inputs,
            clock: Arc::new(move || at(NOW) + SignedDuration::try_from(begun.elapsed()).unwrap()),
            parts: (stopper, [tokio::spawn(indexing), tokio::spawn(registration)]),
        }
    }

    pub fn replica(&self, identity: &str) -> Replica {
        let metrics = Metrics::new();
        let (stopper, stop) = stop();
        let config = Config {
            identity: identity.to_owned(),
            replica: identity.to_owned(),
            webhook: Some("datagate".to_owned()),
            ..Config::new("datagate-system")
        };
        let task = tokio::spawn(status::run(
            config,
            self.api.client(),
            self.inputs.clone(),
            self.clock.clone(),
            metrics.status.clone(),
            stop,
        ));
        Replica {
            metrics,
            stopper,
            task,
        }
    }

    /// Waits until the policy's status is like this, and gives how long that took.
    pub async fn until(&self, what: &str, like: impl Fn(&Value) -> bool) -> Duration {
        let begun = Instant::now();
        let status = || self.api.object(&format!("{POLICIES}/a")).unwrap()["status"].clone();
        while !like(&status()) {
            assert!(begun.elapsed() < Duration::from_secs(300), "{what}: {}", status());
            sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    pub fn holder(&self) -> String {
        let lease = self.api.object(LEASE).unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }
}

pub fn a_cluster() -> Api {
    let api = Api::new();
    api.put(WEBHOOKS, webhook());
    api.put(NAMESPACES, namespace("ml", &[]));
    api.put(POLICIES, policy("a", "1", 1, &["DE"]));
    api.put(RECORDS, record("r", "2", 1, &["US"]));
    api
}

pub fn is_ready(status: &Value) -> bool {
    status["conditions"][1]["status"] == "True"
}

#[tokio::test(start_paused = true)]
async fn statuses_are_written_once_and_follow_time_and_changes() {
    let api = a_cluster();
    let mut timed = policy("a", "1", 1, &["DE"]);
    timed["spec"]["pauses"][0]["effectiveFrom"] = json!("2026-01-01T00:02:03Z");
    api.put(POLICIES, timed);
    let running = Running::start(&api);
    let replica = running.replica("one");
    running.until("the first status", is_ready).await;
    assert_eq!(
        api.object(&format!("{RECORDS}/r")).unwrap()["status"]["observedGeneration"],
        1
    );
    let patch = format!("PATCH {POLICIES}/a/status");
    sleep(Duration::from_secs(100)).await;
    assert_eq!(api.asked(&patch), 1, "{:?}", api.log());

    running
        .until("the boundary", |status| status["pausedRegions"] == json!(["DE"]))
        .await;
    let off = (running.clock)().duration_since(at("2026-01-01T00:02:03Z"));
    assert!(off < SignedDuration::from_millis(100), "{off}");
    let since = |status: &Value| status["conditions"][1]["lastTransitionTime"].clone();
    let before = since(&api.object(&format!("{POLICIES}/a")).unwrap()["status"]);

    api.put(NAMESPACES, namespace("web", &[]));
    let took = running
        .until("another namespace", |status| status["governedNamespaces"] == 2)
        .await;
    assert!(took < Duration::from_millis(300), "{took:?}");
    assert_eq!(
        since(&api.object(&format!("{POLICIES}/a")).unwrap()["status"]),
        before,
        "it has not turned"
    );

    api.delete(WEBHOOKS, "datagate");
    let took = running
        .until("the missing webhook", |status| {
            status["conditions"][1]["reason"] == "WebhookMissing"
        })
        .await;
    assert!(took <= Duration::from_secs(11), "{took:?}");
    assert_ne!(
        since(&api.object(&format!("{POLICIES}/a")).unwrap()["status"]),
        before
    );
    assert_eq!(replica.metrics.status.write_failures.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_writes_and_another_takes_over() {
    let api = a_cluster();
    let running = Running::start(&api);
    let one = running.replica("one");
    running.until("the first status", is_ready).await;
    let two = running.replica("two");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(running.holder(), "one");
    let leaders = |one: &Replica, two: &Replica| [one, two].map(|it| it.metrics.status.leader.get());
    assert_eq!(leaders(&one, &two), [1, 0]);

    // One that is told to stop lets go.
    one.stopper.stop();
    one.task.await.unwrap();
    assert_ne!(running.holder(), "one");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(running.holder(), "two");
    api.put(POLICIES, policy("a", "1", 2, &["FR"]));
    running
        .until("the new leader's status", |status| {
            status["observedGeneration"] == 2
        })
        .await;
    assert_eq!(
        api.asked(&format!("PATCH {RECORDS}/r/status")),
        1,
        "it found the record's status as it should be"
    );

    // One that dies is replaced when its lease has run out.
    two.task.abort();
    let three = running.replica("three");
    api.put(POLICIES, policy("a", "1", 3, &["IT"]));
    let took = running
        .until("the third's status", |status| status["observedGeneration"] == 3)
        .await;
    assert!(took <= Duration::from_secs(18), "{took:?}");
    assert_eq!(three.metrics.status.leader.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again() {
    let api = a_cluster();
    api.instead(&format!("{POLICIES}/a/status"), Instead::Status(500));
    let running = Running::start(&api);
    let replica = running.replica("one");
    sleep(Duration::from_secs(12)).await;
    assert!(replica.metrics.status.write_failures.get() >= 2);
    assert_eq!(replica.metrics.status.writes.get(), 1, "the record's");
    api.mend();
    let took = running.until("the status", is_ready).await;
    assert!(took <= Duration::from_secs(6), "{took:?}");

    // Who cannot renew its lease writes no more.
    api.instead("/apis/coordination.k8s.io", Instead::Silence);
    sleep(Duration::from_secs(20)).await;
    api.put(POLICIES, policy("a", "1", 2, &["FR"]));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(
        api.object(&format!("{POLICIES}/a")).unwrap()["status"]["observedGeneration"],
        1
    );
    api.mend();
    running
        .until("the status", |status| status["observedGeneration"] == 2)
        .await;
}
