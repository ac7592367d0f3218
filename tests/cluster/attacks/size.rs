//! Requests as large as the API server allows.

use std::thread;

use serde_json::json;

use crate::webhook::Team;
use crate::webhook::objects::{DATASETS, FINE, PAUSED, REGION_PAUSED, declare, job, spec_of};

#[test]
fn attack_09_large_requests_are_judged() {
    let team = Team::governed("attack-09");
    // JSON between the API server and the webhook writes each of these as six bytes.
    let large = |name: &str, datasets: &str, bytes: usize| {
        let mut job = declare(job(&team.name, name), datasets);
        spec_of(&mut job)["containers"][0]["args"] = json!(["<".repeat(bytes)]);
        job
    };
    team.rig.api.dry_run(&large("huge", FINE, 3_000_000)).admitted();
    team.rig
        .api
        .dry_run(&large("huge", PAUSED, 3_000_000))
        .refused(422, &[REGION_PAUSED]);
    // Several at once are within the memory that is set aside for bodies.
    thread::scope(|scope| {
        let ask = || team.rig.api.dry_run(&large("huge", PAUSED, 3_000_000));
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for answer in asked {
            answer.join().unwrap().refused(422, &[REGION_PAUSED]);
        }
    });

    let mut stored = large("stored", FINE, 1_400_000);
    stored["metadata"]["finalizers"] = json!(["example.com/hold"]);
    stored["spec"]["suspend"] = json!(true);
    team.rig.api.create(&stored).admitted();
    team.rig
        .api
        .merge(&stored, &json!({"metadata": {"labels": {"team": "a"}}}))
        .admitted();
    let edit = json!({"metadata": {"annotations": {DATASETS: PAUSED}}});
    team.rig.api.merge(&stored, &edit).refused(403, &[REGION_PAUSED]);
    team.rig.api.delete(&stored, "Background").admitted();
    team.rig
        .api
        .merge(&stored, &json!({"metadata": {"finalizers": null}}))
        .admitted();
    assert_eq!(team.rig.api.get(&stored).code, 404);
    team.rig.server.ready();
}
