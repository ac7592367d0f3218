//! What replicas report of themselves, and what the leader makes of it.

use std::time::Duration;

use datagate::index::{Folded, Sighting, Sightings, Version};
use datagate::status::{LABEL, Replicas, Report, Standing, Unreadable, report_name};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::{LEASES, POLICIES, policy};
use crate::status::{Running, a_cluster, is_ready};

const DURATION: Duration = Duration::from_secs(15);

/// A report as it is stored.
fn lease(replica: &str, version: u64, ready: bool, at: &str, unreadable: &str) -> Lease {
    serde_json::from_value(json!({
        "metadata": {
            "name": report_name("datagate", replica),
            "resourceVersion": version.to_string(),
            "labels": {LABEL: "datagate"},
            "annotations": {
                "datagate.dev/ready": ready.to_string(),
                "datagate.dev/decides-by": at,
                "datagate.dev/unreadable": unreadable,
            },
        },
        "spec": {"holderIdentity": replica, "leaseDurationSeconds": 15},
    }))
    .unwrap()
}

fn sightings(all: &[(&str, u128)]) -> Sightings {
    let sighting = |at: u128| Sighting {
        version: Version {
            uid: "u".into(),
            generation: 1,
        },
        at,
    };
    all.iter()
        .map(|(name, at)| ((*name).into(), sighting(*at)))
        .collect()
}

fn known(counting: usize, behind: &[(&str, &[&str])]) -> Standing {
    let names = |names: &[&str]| names.iter().map(|it| (*it).into()).collect();
    Standing::Known {
        counting,
        behind: behind
            .iter()
            .map(|(policy, them)| ((*policy).into(), names(them)))
            .collect(),
    }
}

#[test]
fn who_is_behind_and_with_what() {
    let at = Instant::now();
    let mut replicas = Replicas::new(report_name("datagate", "one"), DURATION);
    let wanted = sightings(&[("a", 90), ("b", 100)]);
    assert_eq!(replicas.standing(&wanted, at), Standing::Unknown, "nothing seen");
    replicas.apply(Event::Apply(lease("two", 1, true, "100", "")), at);
    assert_eq!(
        replicas.standing(&wanted, at),
        Standing::Unknown,
        "not even our own"
    );
    replicas.apply(Event::Apply(lease("one", 2, true, "100", "")), at);
    assert_eq!(replicas.standing(&wanted, at), known(2, &[]));

    // As numbers and not as text; one above the threshold is as good as one on it.
    for (said, behind) in [
        ("99", &[("b", &["two"][..])][..]),
        ("9", &[("a", &["two"]), ("b", &["two"])]),
        ("1000", &[]),
        ("340282366920938463463374607431768211455", &[]),
        ("", &[("a", &["two"]), ("b", &["two"])]),
        ("opaque", &[("a", &["two"]), ("b", &["two"])]),
    ] {
        replicas.apply(Event::Apply(lease("two", 3, true, said, "")), at);
        // The same version is no renewal, and no news.
        replicas.apply(Event::Delete(lease("two", 3, true, "", "")), at);
        replicas.apply(Event::Apply(lease("two", 3, true, said, "")), at);
        assert_eq!(replicas.standing(&wanted, at), known(2, behind), "{said}");
    }

    // An older program that cannot read a newer policy.
    replicas.apply(Event::Apply(lease("two", 4, true, "100", "b,c")), at);
    assert_eq!(replicas.standing(&wanted, at), known(2, &[("b", &["two"])]));
    replicas.apply(Event::Apply(lease("two", 5, true, "100", "*")), at);
    assert_eq!(
        replicas.standing(&wanted, at),
        known(2, &[("a", &["two"]), ("b", &["two"])])
    );
    assert_eq!(replicas.standing(&wanted, at).behind(), 1);

    // One that is not ready decides nothing.
    replicas.apply(Event::Apply(lease("two", 6, false, "9", "*")), at);
    assert_eq!(replicas.standing(&wanted, at), known(1, &[]));
    replicas.apply(Event::Apply(lease("one", 7, false, "100", "")), at);
    assert_eq!(replicas.standing(&wanted, at), known(0, &[]));
}

#[test]
fn a_report_that_is_not_seen_to_be_renewed_runs_out_by_our_own_clock() {
    let begun = Instant::now();
    let mut replicas = Replicas::new(report_name("datagate", "one"), DURATION);
    let wanted = sightings(&[("a", 100)]);
    replicas.apply(Event::Apply(lease("two", 1, true, "9", "")), begun);
    replicas.apply(Event::Apply(lease("one", 2, true, "100", "")), begun);
    assert_eq!(replicas.next_end(begun), Some(begun + DURATION));
    let later = begun + Duration::from_secs(14);
    replicas.apply(Event::Apply(lease("one", 3, true, "100", "")), later);
    // A list that shows the same version again renews nothing.
    replicas.apply(Event::Init, later);
    replicas.apply(Event::InitApply(lease("one", 3, true, "100", "")), later);
    replicas.apply(Event::InitApply(lease("two", 1, true, "9", "")), later);
    replicas.apply(Event::InitDone, later);
    assert_eq!(replicas.standing(&wanted, later), known(2, &[("a", &["two"])]));
    let end = begun + DURATION;
    assert_eq!(replicas.standing(&wanted, end), known(1, &[]));
    // Who does not even see itself renewed is blind.
    assert_eq!(replicas.standing(&wanted, later + DURATION), Standing::Unknown);
    // What a list does not show any more is gone.
    replicas.apply(Event::Apply(lease("one", 4, true, "100", "")), end);
    replicas.apply(Event::Apply(lease("two", 5, true, "9", "")), end);
    replicas.apply(Event::Init, end);
    replicas.apply(Event::InitApply(lease("one", 4, true, "100", "")), end);
    replicas.apply(Event::InitDone, end);
    assert_eq!(replicas.standing(&wanted, end), known(1, &[]));
}

#[test]
fn a_report_is_bounded_and_says_nothing_that_is_not_so() {
    let folded = |count: usize| {
        let mut state = datagate::index::State::new(datagate_core::settings::Settings::default());
        for i in 0..count {
            let mut bad = policy(&format!("p{i:03}"), "1", 1, &["DE"]);
            bad["metadata"]["resourceVersion"] = json!("7");
            bad["spec"]["undeclared"] = json!("Pray");
            let bad = serde_json::from_value(bad).unwrap();
            state.apply(datagate::index::Change::Policy(Event::Apply(bad)));
        }
        state.folded()
    };
    let report = Report::new("one", true, Some(&folded(100)));
    assert!(matches!(&report.unreadable, Unreadable::Named(names) if names.len() == 100));
    assert!(report.unreadable.has("p042") && !report.unreadable.has("other"));
    let report = Report::new("one", true, Some(&folded(101)));
    assert_eq!((&report.unreadable, report.at), (&Unreadable::TooMany, 7));
    assert!(report.unreadable.has("other"));
    assert!(!Report::new("one", true, None).ready, "it decides by nothing yet");
    assert!(
        Report::new("one", true, Some(&Folded::default())).ready,
        "there is no policy"
    );
    for (replica, name) in [
        ("datagate-6d4f-x2x", "datagate-datagate-6d4f-x2x"),
        ("Host.example_0f", "datagate-host.example-0f"),
        ("a-", "datagate-a"),
    ] {
        assert_eq!(report_name("datagate", replica), name);
    }
    assert_eq!(report_name("datagate", &"x".repeat(300)).len(), 253);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_frozen_holds_ready_back_until_its_report_runs_out() {
    let api = a_cluster();
    let (one, two) = (Running::start(&api), Running::start(&api));
    let leader = one.replica("one");
    one.until("the first status", is_ready).await;
    let other = two.replica("two");
    sleep(Duration::from_secs(6)).await;
    let metric = |name: &str| {
        let text = leader.metrics.encode().unwrap();
        let line = text
            .lines()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        line.map(str::to_owned)
    };
    assert_eq!(metric("datagate_replicas").as_deref(), Some("2"));
    assert_eq!(metric("datagate_registration_drift").as_deref(), Some("0"));
    assert!(!other.metrics.encode().unwrap().contains("datagate_replicas "));

    // Both its index and its report stand still.
    two.parts.1.iter().for_each(tokio::task::JoinHandle::abort);
    other.task.abort();
    api.put(POLICIES, policy("a", "1", 2, &["FR"]));
    let reason = |reason: &'static str| {
        move |status: &Value| {
            let ready = &status["conditions"][1];
            ready["observedGeneration"] == 2 && ready["reason"] == reason
        }
    };
    let took = one.until("the one behind", reason("ReplicasBehind")).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(metric("datagate_replicas_behind").as_deref(), Some("1"));
    assert_eq!(
        metric("datagate_policies_not_ready{reason=\"ReplicasBehind\"}").as_deref(),
        Some("1")
    );
    let took = one.until("its end", reason("Enforced")).await;
    assert!((9..=16).contains(&took.as_secs()), "{took:?}");
    assert_eq!(metric("datagate_replicas").as_deref(), Some("1"));
    assert_eq!(
        metric("datagate_policies_not_ready{reason=\"ReplicasBehind\"}"),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_is_ready_at_once_and_a_new_leader_turns_nothing() {
    let api = a_cluster();
    let (one, two) = (Running::start(&api), Running::start(&api));
    let first = one.replica("one");
    one.until("the first status", is_ready).await;
    let second = two.replica("two");
    sleep(Duration::from_secs(6)).await;
    api.put(POLICIES, policy("a", "1", 2, &["FR"]));
    let ready = |status: &Value| status["conditions"][1]["observedGeneration"] == 2 && is_ready(status);
    let took = one.until("both decide by it", ready).await;
    assert!(took < Duration::from_millis(600), "{took:?}");

    // The leader dies: its report still counts for the next one, which has nothing to write.
    first.task.abort();
    let written = api.asked(&format!("PATCH {POLICIES}/a/status"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(second.metrics.status.leader.get(), 1);
    assert_eq!(
        api.asked(&format!("PATCH {POLICIES}/a/status")),
        written,
        "{:?}",
        api.log()
    );

    // One that is told to stop says so.
    let report = || api.object(&format!("{LEASES}/datagate-two")).unwrap();
    let said = |report: &Value| report["metadata"]["annotations"]["datagate.dev/ready"].clone();
    assert_eq!(said(&report()), "true");
    second.stopper.stop();
    second.task.await.unwrap();
    assert_eq!(said(&report()), "false");
}
