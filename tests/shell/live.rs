//! Live look-ups: bounded in number, size and time, and asked once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{Request, Response};
use datagate::live::{Config, Fetch, KubeFetch};
use datagate::metrics::{FetchOutcome, Metrics};
use datagate_core::fetched::{Absence, Fetched, Need};
use datagate_core::workload::KnownKind;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::api::{Api, Instead, NAMESPACES, namespace};

const JOBS: &str = "/apis/batch/v1/namespaces/team/jobs";
const SOON: Duration = Duration::from_secs(3);

fn job(name: &str, uid: &str) -> Need {
    Need::Object {
        kind: KnownKind::Job,
        version: "v1",
        namespace: "team".into(),
        name: name.into(),
        uid: Some(uid.into()),
    }
}

fn stored(name: &str, uid: &str) -> Value {
    json!({"kind": "Job", "metadata": {"name": name, "namespace": "team", "uid": uid}, "spec": {}})
}

async fn fetch(live: &KubeFetch, needs: &[Need]) -> Fetched {
    let mut fetched = Fetched::default();
    live.fetch(needs, &mut fetched, Instant::now() + SOON).await;
    fetched
}

#[tokio::test(start_paused = true)]
async fn objects_and_namespaces_are_brought_or_their_absence() {
    let api = Api::new();
    api.put(JOBS, stored("train", "u1"));
    api.put(NAMESPACES, namespace("team", &[("tier", "gold")]));
    api.instead(
        "/apis/batch/v1/namespaces/team/jobs/forbidden",
        Instead::Status(403),
    );
    let live = KubeFetch::new(api.client(), Config::default(), Metrics::new().live);
    let needs = [
        job("train", "u1"),
        job("train", "u2"),
        job("gone", "u1"),
        job("forbidden", "u1"),
        job("../../../../../api/v1/namespaces/kube-system/secrets/token", "u1"),
        Need::Namespace("team".into()),
        Need::Namespace("nowhere".into()),
    ];
    let fetched = fetch(&live, &needs).await;
    let json: Value = serde_json::from_str(fetched.object(&needs[0]).unwrap().unwrap()).unwrap();
    assert_eq!(json["metadata"]["uid"], "u1");
    let absences: Vec<_> = needs[1..5]
        .iter()
        .map(|need| fetched.object(need).unwrap().unwrap_err())
        .collect();
    assert_eq!(
        absences,
        [
            Absence::NotFound,
            Absence::NotFound,
            Absence::Unreachable,
            Absence::NotFound
        ]
    );
    assert_eq!(
        &*fetched.namespace("team").unwrap().unwrap().labels["tier"],
        "gold"
    );
    assert_eq!(
        fetched.namespace("nowhere").unwrap().unwrap_err(),
        Absence::NotFound
    );
    assert!(
        api.log().iter().all(|line| !line.contains("secrets")),
        "{:?}",
        api.log()
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_good_for_two_seconds_be_it_yes_or_no() {
    let api = Api::new();
    api.put(JOBS, stored("train", "u1"));
    let metrics = Metrics::new();
    let live = KubeFetch::new(api.client(), Config::default(), metrics.live.clone());
    let needs = [job("train", "u1"), job("gone", "u1")];
    for _ in 0..100 {
        fetch(&live, &needs).await;
    }
    let asked = || {
        needs.each_ref().map(|need| match need {
            Need::Object { name, .. } => api.asked(&format!("GET {JOBS}/{name}")),
            Need::Namespace(_) => 0,
        })
    };
    assert_eq!(asked(), [1, 1]);
    assert_eq!(metrics.live.fetches(FetchOutcome::Cached), 198);
    sleep(Duration::from_secs(2)).await;
    api.put(JOBS, stored("gone", "u1"));
    assert!(fetch(&live, &needs).await.object(&needs[1]).unwrap().is_ok());
    assert_eq!(asked(), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_an_answer_only_for_a_moment_and_nothing_is_tried_twice() {
    let api = Api::new();
    api.put(JOBS, stored("train", "u1"));
    api.instead(JOBS, Instead::Status(503));
    let live = KubeFetch::new(api.client(), Config::default(), Metrics::new().live);
    let need = job("train", "u1");
    for _ in 0..100 {
        let fetched = fetch(&live, std::slice::from_ref(&need)).await;
        assert_eq!(fetched.object(&need).unwrap().unwrap_err(), Absence::Unreachable);
    }
    assert_eq!(api.asked(&format!("GET {JOBS}/train")), 1);
    api.mend();
    sleep(Duration::from_millis(250)).await;
    let fetched = fetch(&live, std::slice::from_ref(&need)).await;
    assert!(fetched.object(&need).unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline_and_is_not_remembered() {
    let api = Api::new();
    api.put(JOBS, stored("train", "u1"));
    api.instead(JOBS, Instead::Silence);
    let live = KubeFetch::new(api.client(), Config::default(), Metrics::new().live);
    let needs = [job("train", "u1"), job("other", "u1")];
    let begun = Instant::now();
    let fetched = fetch(&live, &needs).await;
    assert_eq!(begun.elapsed().as_secs(), SOON.as_secs());
    assert_eq!(
        fetched.object(&needs[0]).unwrap().unwrap_err(),
        Absence::Unreachable
    );
    api.mend();
    assert!(fetch(&live, &needs).await.object(&needs[0]).unwrap().is_ok());
}

/// A client whose every answer takes a second and is as long as told; counts how many are under way.
fn slow(bytes: usize) -> (Client, Arc<[AtomicUsize; 3]>) {
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let shared = counts.clone();
    let service = service_fn(move |request: Request<Body>| {
        let counts = shared.clone();
        async move {
            let [now, most, all] = &*counts;
            let path = request.uri().path().to_owned();
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            all.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            let name = path.rsplit('/').next().unwrap();
            let json = json!({"metadata": {"name": name, "uid": "u"}, "spec": "x".repeat(bytes)});
            Ok::<_, std::convert::Infallible>(Response::new(axum::body::Body::from(json.to_string())))
        }
    });
    (Client::new(service, "default"), counts)
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn look_ups_are_bounded_per_namespace_and_in_all() {
    let config = Config {
        per_namespace: 3,
        in_all: 5,
        ..Config::default()
    };
    let in_namespace = |namespace: usize, i: usize| Need::Object {
        kind: KnownKind::Job,
        version: "v1",
        namespace: format!("n{namespace}").into(),
        name: format!("j{i}").into(),
        uid: Some("u".into()),
    };
    for (namespaces, most_wanted) in [(1, 3), (4, 5)] {
        let (client, counts) = slow(10);
        let live = KubeFetch::new(client, config.clone(), Metrics::new().live);
        let needs: Vec<Need> = (0..30).map(|i| in_namespace(i % namespaces, i)).collect();
        let fetched = fetch(&live, &needs).await;
        let [_, most, all] = &*counts;
        assert_eq!(count(most), most_wanted);
        // What did not get its turn within the deadline is an absence like any other.
        let found = needs
            .iter()
            .filter(|need| fetched.object(need).unwrap().is_ok())
            .count();
        assert!(found >= most_wanted * 2 && found < 30, "{found}");
        assert!(count(all) >= found);
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_want_the_same_at_once_ask_little() {
    let (client, counts) = slow(10);
    let live = KubeFetch::new(client, Config::default(), Metrics::new().live);
    let need = job("train", "u");
    let all = (0..500).map(|_| fetch(&live, std::slice::from_ref(&need)));
    for fetched in futures::future::join_all(all).await {
        assert!(fetched.object(&need).unwrap().is_ok());
    }
    assert_eq!(count(&counts[2]), 8, "as many as may at a time for one namespace");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_too_large_is_unreachable() {
    let config = Config {
        max_bytes: 1000,
        ..Config::default()
    };
    for (bytes, expected) in [(900, None), (1000, Some(Absence::Unreachable))] {
        let (client, _) = slow(bytes);
        let live = KubeFetch::new(client, config.clone(), Metrics::new().live);
        let need = job("train", "u");
        let fetched = fetch(&live, std::slice::from_ref(&need)).await;
        assert_eq!(fetched.object(&need).unwrap().err(), expected, "{bytes}");
    }
}
