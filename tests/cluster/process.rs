//! The process dies, stops, restarts and gets another certificate while it is asked.
//!
//! These tests stop the server, so they have a cluster of their own and take turns in it.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod crds;
mod load;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use datagate_env::Options;
use serde_json::{Value, json};

use self::load::Load;
use crate::webhook::objects::{
    FINE, PAUSED, REGION_PAUSED, UNDECLARED, declare, job, plain_spec, pod, replicated, spec_of,
};
use crate::webhook::{Rig, Team};

/// The cluster, for one test at a time, with the server running and ready.
fn take() -> (&'static Rig, MutexGuard<'static, ()>) {
    static RIG: OnceLock<Rig> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = RIG.get_or_init(|| Rig::start(&Options::default()));
    if rig.server.ended().is_some() {
        rig.server.start_again(&rig.cluster);
    }
    rig.server.ready();
    (rig, turn)
}

fn plain(mut object: Value) -> Value {
    let mut spec = plain_spec();
    spec["restartPolicy"] = spec_of(&mut object)["restartPolicy"].clone();
    *spec_of(&mut object) = spec;
    object
}

/// A call that failed, as the API server tells it.
#[track_caller]
fn failed(answer: &crate::webhook::Answer) {
    let text = answer.text();
    assert_eq!(answer.code, 500, "{text}");
    assert!(
        text.contains("failed calling webhook \"core.datagate.dev\""),
        "{text}"
    );
}

#[test]
fn a_dead_server_stops_what_is_governed_and_nothing_else() {
    let (rig, _turn) = take();
    let team = Team::on(rig, "dead");
    team.enforce(team.policy());
    let api = &rig.api;
    let ns = &team.name;
    let mut governed = vec![declare(job(ns, "train"), FINE), declare(pod(ns, "alone"), FINE)];
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        governed.push(declare(replicated(kind, ns, &kind.to_lowercase()), FINE));
    }
    for object in &mut governed {
        object["metadata"]["finalizers"] = json!(["example.com/hold"]);
        api.create(object).admitted();
    }
    let running = team.child("pods", "train");
    rig.server.kill();

    // Plain work goes on, its children too.
    for object in [
        pod(ns, "plain-pod"),
        job(ns, "plain-job"),
        replicated("Deployment", ns, "plain-deployment"),
    ] {
        api.create(&plain(object)).admitted();
    }
    team.child("pods", "plain-job");
    let set = team.child("replicasets", "plain-deployment");
    team.child("pods", set["metadata"]["name"].as_str().unwrap());
    api.merge(&plain(job(ns, "plain-job")), &json!({"spec": {"suspend": true}}))
        .admitted();

    // What is governed is neither made nor changed.
    failed(&api.create(&declare(job(ns, "another"), FINE)));
    failed(&api.create(&pod(ns, "another")));
    failed(&api.merge(
        &governed[0],
        &json!({"metadata": {"annotations": {"datagate.dev/datasets": PAUSED}}}),
    ));
    failed(&api.merge(&governed[0], &json!({"spec": {"suspend": true}})));

    // It finishes, scales and goes away.
    api.patch_sub(&running, "status", &json!({"status": {"phase": "Succeeded"}}))
        .admitted();
    rig.wait("the job is complete", || {
        let job = api.get(&governed[0]).admitted();
        let conditions = job["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|it| it["type"] == "Complete").then_some(())
    });
    let deployment = &governed[2];
    api.patch_sub(deployment, "scale", &json!({"spec": {"replicas": 0}}))
        .admitted();
    for object in &governed {
        api.merge(object, &json!({"metadata": {"finalizers": null}}))
            .admitted();
        let deleted = api.delete(object, "Background");
        assert!([200, 202].contains(&deleted.code), "{deleted:#?}");
    }

    rig.server.start_again(&rig.cluster);
    let paused = declare(job(ns, "after"), PAUSED);
    let back = team.until(
        "the server is asked again",
        || api.dry_run(&paused),
        |answer| answer.code != 500,
    );
    back.refused(422, &[REGION_PAUSED]);
}

#[test]
fn nothing_is_stored_that_violates_while_the_server_is_killed() {
    let (rig, _turn) = take();
    let team = Team::on(rig, "killed");
    team.enforce(team.policy());
    let load = Load::start(rig, 2, |thread, i| {
        let object = job(&team_name(), &format!("bad-{thread}-{i}"));
        if i % 2 == 0 {
            declare(object, PAUSED)
        } else {
            object
        }
    });
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        load.more(20);
        rig.server.kill();
        load.more(20);
        rig.server.start_again(&rig.cluster);
        let begun = Instant::now();
        rig.server.ready();
        slowest = slowest.max(begun.elapsed());
    }
    load.more(20);
    let answers = load.end();
    let stored = rig
        .api
        .get_path("/apis/batch/v1/namespaces/killed/jobs")
        .admitted();
    assert_eq!(stored["items"], json!([]), "violating objects were stored");
    let mut refused = 0;
    for answer in &answers {
        match answer.code {
            422 => {
                let found = answer.findings();
                assert!(found == [REGION_PAUSED] || found == [UNDECLARED], "{answer:#?}");
                refused += 1;
            }
            _ => failed(answer),
        }
    }
    assert!(
        refused >= 40 && refused < answers.len(),
        "{refused} of {}",
        answers.len()
    );
    println!(
        "{refused} of {} refused, the others not decided; ready again after at most {slowest:?}",
        answers.len()
    );
}

/// The namespace of the test above.
fn team_name() -> String {
    "killed".to_owned()
}

#[test]
fn a_stop_is_told_first_and_costs_nothing_while_it_drains() {
    let (rig, _turn) = take();
    let team = Team::on(rig, "drained");
    team.enforce(team.policy());
    let load = Load::start(rig, 2, |_, _| {
        let mut object = declare(job("drained", "x"), FINE);
        object["dryRun"] = json!(true);
        object
    });
    load.more(50);
    let begun = Instant::now();
    rig.server.terminate();
    rig.wait("readiness says that the server stops", || {
        match rig.server.readyz() {
            Ok((503, text)) if text.contains("[-] serving: this replica is stopping") => Some(()),
            _ => None,
        }
    });
    let noticed = begun.elapsed();
    // In a cluster the others serve by now; here nobody does, so what comes later fails, and is counted.
    let mut served = 0;
    while rig.server.ended().is_none() {
        let now = load.answered();
        load.more(1);
        if begun.elapsed() < Duration::from_secs(10) {
            served = now;
        }
    }
    assert!(rig.server.end().success());
    let stopped = begun.elapsed();
    rig.server.start_again(&rig.cluster);
    rig.server.ready();
    load.more(50);
    let answers = load.end();
    let wrong =
        |answers: &[crate::webhook::Answer]| answers.iter().filter(|answer| answer.code != 201).count();
    assert_eq!(wrong(&answers[..served]), 0, "failed while draining");
    assert!(served > 100, "{served}");
    let failed = wrong(&answers);
    println!(
        "unready after {noticed:?}, ended after {stopped:?}; {served} admissions before the end of the delay, 0 failed; \
         {failed} of {} failed while nobody served",
        answers.len()
    );
    // Without another replica only those fail that come while there is nobody.
    assert!(
        answers[answers.len() - 20..]
            .iter()
            .all(|answer| answer.code == 201)
    );
}

#[test]
fn a_new_certificate_costs_no_request() {
    let (rig, _turn) = take();
    let team = Team::on(rig, "renewed");
    team.enforce(team.policy());
    let serial = || {
        let text = rig.server.readyz().unwrap().1;
        let line = text
            .lines()
            .find(|line| line.contains("certificate: serial"))
            .unwrap()
            .to_owned();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    let load = Load::start(rig, 2, |_, _| {
        let mut object = declare(job("renewed", "x"), FINE);
        object["dryRun"] = json!(true);
        object
    });
    for _ in 0..3 {
        let before = serial();
        load.more(50);
        rig.server.renew_cert(&rig.cluster);
        rig.wait("the new certificate is in use", || {
            (serial() != before).then_some(())
        });
        load.more(50);
    }
    let answers = load.end();
    let wrong: Vec<_> = answers.iter().filter(|answer| answer.code != 201).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {:#?}",
        wrong.len(),
        answers.len(),
        wrong.first()
    );
}
