//! What a decision costs for each kind, next to a Job of the same size; and large graphs. Ratios between rows of one run
//! count, not times.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "a bench fails by panicking, and uses a part of the fixtures"
)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use datagate_core::dataset::Record;
use datagate_core::decision::Outcome;
use datagate_core::fetched::{Absence, Fetched, Need};
use datagate_core::judge::{Verdict, judge};
use datagate_core::policy::Policy;
use datagate_core::review::Review;
use datagate_core::settings::Settings;
use datagate_core::world::{Catalogue, Namespace, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::fixture::Strictness;

#[path = "../tests/kinds/fixture.rs"]
mod fixture;

/// The size of every object, about.
const BYTES: usize = 16 * 1024;

fn now() -> Timestamp {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

fn world(policy: Strictness) -> World {
    let mut catalogue = Catalogue::new(Settings::default());
    let policy: DatasetPolicy = serde_json::from_value(policy.policy()).unwrap();
    catalogue.put_policy(Policy::try_from(&policy).unwrap());
    let records = fs::read_to_string(fixture::folder().join("records.yaml")).unwrap();
    for record in serde_saphyr::from_multiple::<DatasetRecord>(&records).unwrap() {
        catalogue.put_record(Record::try_from(&record).unwrap());
    }
    let label = ("kubernetes.io/metadata.name".into(), "ml".into());
    catalogue.put_namespace("ml", Namespace::new([label].into_iter().collect(), []));
    catalogue.publish()
}

/// Adds variables to the first container until the object has the size.
fn pad(object: &mut Value) {
    let missing = BYTES.saturating_sub(object.to_string().len());
    let variable = |i: usize| json!({"name": format!("SETTING_{i:04}"), "value": "forty characters of a value, more or less"});
    let count = missing / (variable(0).to_string().len() + 1);
    let container = first_container(object).unwrap();
    let container = container.as_object_mut().unwrap();
    let env = container.entry("env").or_insert_with(|| json!([]));
    let env = env.as_array_mut().unwrap();
    env.extend((0..count).map(variable));
}

fn first_container(value: &mut Value) -> Option<&mut Value> {
    if value["image"].is_string() {
        return Some(value);
    }
    match value {
        Value::Object(map) => map.values_mut().find_map(first_container),
        Value::Array(list) => list.iter_mut().find_map(first_container),
        _ => None,
    }
}

fn body(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!("ml");
    let kind = json!({"group": group, "version": version, "kind": object["kind"]});
    let user = json!({"username": "jane"});
    // The API server writes `kind` before `object`.
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","kind":{kind},"namespace":"ml","name":"x","operation":"CREATE","userInfo":{user},"object":{object}}}}}"#
    )
}

/// Brings what the fixture has in its cluster.
fn bring(needs: Vec<Need>, cluster: &[Value], fetched: &mut Fetched) {
    for need in needs {
        let Need::Object { kind, name, .. } = &need else {
            panic!("{need:?}")
        };
        let found = cluster
            .iter()
            .find(|it| it["kind"] == kind.info().kind && it["metadata"]["name"].as_str() == Some(name));
        let found = found.map(|it| Arc::from(it.to_string())).ok_or(Absence::NotFound);
        fetched.put_object(need, found);
    }
}

fn decide(world: &World, fetched: &Fetched, body: &str) -> Result<Outcome, Vec<Need>> {
    match judge(Review::read(body).unwrap(), world, fetched, now()) {
        Verdict::Decided(decision) => Ok(decision.outcome),
        Verdict::Needs(needs) => Err(needs),
    }
}

fn kinds(c: &mut Criterion) {
    let mut group = c.benchmark_group("kind");
    for (name, fixture) in fixture::all() {
        let fixture = fixture.unwrap();
        let world = world(fixture.policy);
        let mut object = fixture.object.clone();
        if first_container(&mut object).is_none() {
            // It shows nothing of its own that could be padded.
            continue;
        }
        pad(&mut object);
        let body = body(&object);
        let mut fetched = Fetched::default();
        while let Err(needs) = decide(&world, &fetched, &body) {
            bring(needs, &fixture.cluster, &mut fetched);
        }
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(&name, |b| {
            b.iter(|| decide(&world, &fetched, black_box(&body)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, kinds);
criterion_main!(benches);
