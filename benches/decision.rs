//! What one decision costs: read, match, verdict. Ratios between rows of one run count, not times.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a bench fails by panicking"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datagate_core::dataset::{Record, RecordedStep};
use datagate_core::fetched::Fetched;
use datagate_core::judge::{Outcome, Verdict, judge};
use datagate_core::order::Proof;
use datagate_core::path::Paths;
use datagate_core::policy::{Entry, Match, Pause, Policy, Reach, Requirement, StepRule, Window};
use datagate_core::purpose::Purpose;
use datagate_core::region::{Region, Regions};
use datagate_core::review::Review;
use datagate_core::selector::{LabelRequirement, Labels, Operator, Selector};
use datagate_core::settings::Settings;
use datagate_core::submission::{FrameId, Node, NodeId, Order, OrderId, Runs, Submission, What};
use datagate_core::vocabulary::{
    Action, DeclarationKind, Evidence, PersonalData, RunningWorkloads, SourceCategory, StepType, Undeclared,
    WorkloadScope,
};
use datagate_core::world::{Catalogue, Namespace, World};
use enumset::EnumSet;
use jiff::Timestamp;

fn now() -> Timestamp {
    "2025-06-01T00:00:00Z".parse().unwrap()
}

fn regions(codes: &[&str]) -> Regions {
    codes.iter().map(|code| code.parse::<Region>().unwrap()).collect()
}

fn record(i: usize) -> Record {
    let step = RecordedStep {
        step: StepType::OptOutFilter,
        completed_at: None,
        list_as_of: Some("2025-05-20T00:00:00Z".parse().unwrap()),
        removed_regions: None,
    };
    Record {
        name: format!("member-posts-{i:05}").into(),
        uid: "".into(),
        generation: 1,
        sha256: None,
        source: SourceCategory::UserData,
        personal_data: PersonalData::Present,
        regions: Some(regions(&["US", "CA", "AU", "IN"])),
        minimum_age: Some(18),
        controller: Some("example-social".into()),
        contact: None,
        categories: None,
        permitted: Some(Purpose::GenerativeAITraining.into()),
        legal_bases: Box::default(),
        content_period: None,
        collection_period: None,
        derived_from: Box::default(),
        steps: [step].into(),
        withdrawn: None,
    }
}

fn policy(i: usize, team: &str) -> Policy {
    let about = |name: &str, codes: Option<&[&str]>| Entry {
        name: name.into(),
        matching: Match {
            regions: codes.map(regions),
            purposes: Some(Purpose::GenerativeAITraining.into()),
            source_categories: Some(EnumSet::only(SourceCategory::UserData)),
            ..Match::default()
        },
        window: Window {
            from: Some("2024-09-18T00:00:00Z".parse().unwrap()),
            until: None,
        },
        actions: EnumSet::only(Action::Deny),
    };
    let rule = StepRule {
        step: StepType::OptOutFilter,
        accepted: Evidence::TrustedImage | Evidence::Catalogued,
        max_list_age_days: Some(30),
    };
    Policy {
        name: format!("policy-{i:04}").into(),
        uid: "".into(),
        generation: 1,
        reach: Reach {
            namespaces: Selector {
                requirements: [LabelRequirement {
                    key: "team".into(),
                    operator: Operator::In([team.into()].into()),
                }]
                .into(),
            },
            workloads: WorkloadScope::Accelerated,
        },
        actions: EnumSet::only(Action::Deny),
        undeclared: Undeclared::Deny,
        deny_from: None,
        accepted_declarations: EnumSet::only(DeclarationKind::Records),
        contact: None,
        pauses: [Pause {
            entry: about("eea-uk-ch", Some(&["EEA", "GB", "CH"])),
            review_by: None,
            running: RunningWorkloads::BlockNewPods,
            measure: None,
            authority: None,
            reference: None,
        }]
        .into(),
        requirements: [Requirement {
            entry: about("members", None),
            steps: [rule].into(),
            allowed_regions: None,
            minimum_age: Some(18),
            excluded_categories: EnumSet::empty(),
            legal_bases: None,
        }]
        .into(),
        trust: Box::default(),
    }
}

/// `governing` of `policies` select the namespace of the reviews.
fn world(records: usize, policies: usize, governing: usize) -> World {
    let mut catalogue = Catalogue::new(Settings::default());
    let labels: Labels = [("team".into(), "ml".into())].into();
    catalogue.put_namespace("ml", Namespace::new(labels, []));
    (0..records).for_each(|i| catalogue.put_record(record(i)));
    (0..policies).for_each(|i| catalogue.put_policy(policy(i, if i < governing { "ml" } else { "other" })));
    catalogue.publish()
}

/// A review of about that many bytes, as the API server sends it: defaults and managedFields included.
fn review(bytes: usize) -> String {
    let template = include_str!("review.json");
    let filler = bytes.saturating_sub(template.len());
    let variable =
        r#"{"name":"HYPERPARAMETER_0000","value":"some value of a usual length, here 60 characters"},"#;
    template.replace(
        r#""env":["#,
        &format!(r#""env":[{}"#, variable.repeat(filler / variable.len())),
    )
}

fn decide(world: &World, fetched: &Fetched, body: &str, now: Timestamp) -> Outcome {
    match judge(Review::read(body).unwrap(), world, fetched, now) {
        Verdict::Decided(decision) => decision.outcome,
        Verdict::Needs(needs) => panic!("needs {needs:?}"),
    }
}

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    let fetched = Fetched::default();
    for (name, world) in [
        ("10 records, 1 policy", world(10, 1, 1)),
        (
            "10,000 records, 1,000 policies, 1 governing",
            world(10_000, 1_000, 1),
        ),
        (
            "10,000 records, 1,000 policies, all governing",
            world(10_000, 1_000, 1_000),
        ),
    ] {
        for kib in [4, 20] {
            let body = review(kib * 1024);
            assert_eq!(decide(&world, &fetched, &body, now()), Outcome::Allowed);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(format!("{kib} KiB"), name), |b| {
                b.iter(|| decide(&world, &fetched, black_box(&body), now()));
            });
        }
    }
    group.finish();
    let mut group = c.benchmark_group("read");
    for kib in [4, 20] {
        let body = review(kib * 1024);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{kib} KiB"), |b| {
            b.iter(|| Review::read(black_box(&body)).unwrap().uid.len())
        });
    }
    group.finish();
}

/// A chain of tasks of which the first is the step and the last trains.
fn chain(tasks: u32) -> (Submission<'static>, Vec<u64>) {
    let mut submission = Submission {
        orders: vec![Order::Start],
        frames: 1,
        ..Submission::default()
    };
    for i in 0..tasks {
        let after = if i == 0 {
            OrderId(0)
        } else {
            submission.orders.push(Order::Done(NodeId(i - 1)));
            OrderId(i)
        };
        submission.nodes.push(Node {
            frame: FrameId(0),
            name: "task".into(),
            what: What::Call(FrameId(1)),
            after,
            runs: Runs::Once,
            at: Paths::ROOT,
        });
    }
    let is = (0..tasks).map(|i| u64::from(i == 0)).collect();
    (submission, is)
}

fn orders(c: &mut Criterion) {
    let mut group = c.benchmark_group("order");
    for tasks in [10, 100, 1_000, 10_000] {
        let (submission, is) = chain(tasks);
        assert_eq!(Proof::new(&submission, &is).before(NodeId(tasks - 1)), 1);
        group.throughput(Throughput::Elements(u64::from(tasks)));
        group.bench_function(format!("{tasks} tasks"), |b| {
            b.iter(|| Proof::new(black_box(&submission), &is))
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, orders);
criterion_main!(benches);
