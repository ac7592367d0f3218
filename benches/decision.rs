//! What one decision costs: read, match, verdict. Ratios between rows of one run count, not times.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a bench fails by panicking"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datagate_core::decision::Outcome;
use datagate_core::fetched::Fetched;
use datagate_core::judge::{Verdict, judge};
use datagate_core::order::Proof;
use datagate_core::path::Paths;
use datagate_core::review::Review;
use datagate_core::submission::{FrameId, Node, NodeId, Order, OrderId, Runs, Submission, What};
use datagate_core::world::World;
use jiff::Timestamp;

use self::world::{now, review, world};

mod world;

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
            b.iter(|| Review::read(black_box(&body)).unwrap().uid.len());
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
        assert_eq!(
            Proof::new(&submission, &is, u64::MAX).before(NodeId(tasks - 1)),
            1
        );
        group.throughput(Throughput::Elements(u64::from(tasks)));
        group.bench_function(format!("{tasks} tasks"), |b| {
            b.iter(|| Proof::new(black_box(&submission), &is, u64::MAX));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, orders);
criterion_main!(benches);
