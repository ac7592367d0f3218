//! How often one decision allocates. A rise is a change to the request path that somebody should have meant.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use datagate_core::decision::Outcome;
use datagate_core::fetched::Fetched;
use datagate_core::judge::{Verdict, judge};
use datagate_core::review::Review;
use datagate_core::world::{Catalogue, Namespace, World};

#[path = "../../../benches/world.rs"]
mod world;

fn decide(world: &World, body: &str) -> Outcome {
    let fetched = Fetched::default();
    match judge(Review::read(body).unwrap(), world, &fetched, world::now()) {
        Verdict::Decided(decision) => decision.outcome,
        Verdict::Needs(needs) => panic!("needs {needs:?}"),
    }
}

fn allocations(world: &World, body: &str, outcome: Outcome) -> u64 {
    let mut got = Outcome::NotGoverned;
    let info = allocation_counter::measure(|| got = decide(world, body));
    assert_eq!(got, outcome);
    assert_eq!(info.count_current, 0, "a decision keeps nothing");
    info.count_total
}

#[test]
fn an_admitted_job_of_three_datasets() {
    let world = world::world(10, 1, 1);
    let body = world::review(4 * 1024);
    let count = allocations(&world, &body, Outcome::Allowed);
    assert!(count <= CEILING, "{count} allocations; the ceiling is {CEILING}");
    let more = world::world(10_000, 1_000, 1);
    assert_eq!(
        allocations(&more, &body, Outcome::Allowed),
        count,
        "what does not govern costs nothing"
    );
}

#[test]
fn a_namespace_without_policy() {
    let mut catalogue = Catalogue::new(datagate_core::settings::Settings::default());
    catalogue.put_namespace("ml", Namespace::default());
    let count = allocations(
        &catalogue.publish(),
        &world::review(4 * 1024),
        Outcome::NotGoverned,
    );
    assert!(count <= 20, "{count} allocations");
}

/// For a 4 KiB review with three datasets against one governing policy.
const CEILING: u64 = 37;
