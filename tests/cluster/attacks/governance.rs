//! Attacks by way of the policies and records themselves.

use std::thread;

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{FINE, PAUSED, REGION_PAUSED, declare, job, record};
use crate::webhook::team::MARKER;

/// Waits until a record is known, by data that needs no other.
fn publish(team: &Team, record: &Value) {
    team.rig.api.create(record).admitted();
    let name = record["metadata"]["name"].as_str().unwrap();
    let probe = declare(job(&team.name, "probe"), name);
    let unknown = format!("no DatasetRecord {name}");
    let ask = || team.rig.api.dry_run(&probe);
    team.until("the record is known", ask, |answer| {
        !answer.text().contains(&unknown)
    });
}

#[test]
fn attack_14_a_policy_is_replaced_by_force() {
    let team = Team::governed("attack-14");
    // Deleted and made anew: another UID, and the generation begins at 1 again.
    let mut replaced = team.policy();
    replaced["spec"]["pauses"] = json!([
        {"name": MARKER, "match": {"regions": ["AQ"]}},
        {"name": "us", "match": {"regions": ["US"]}},
    ]);
    let mut kubectl = team.rig.cluster.kubectl(["replace", "--force", "--filename=-"]);
    let output = team
        .rig
        .cluster
        .with_input(&mut kubectl, &replaced.to_string())
        .unwrap()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let job = declare(job(&team.name, "train"), FINE);
    let ask = || team.rig.api.dry_run(&job);
    let seen = team.until("the new policy is in force", ask, |answer| answer.code == 422);
    seen.refused(422, &[REGION_PAUSED]);
    assert!(seen.text().contains("attack-14/us pauses US"), "{}", seen.text());
    // And it stays so.
    for _ in 0..20 {
        team.rig.api.dry_run(&job).refused(422, &[REGION_PAUSED]);
    }
}

#[test]
fn attack_14_a_policy_is_edited_under_load() {
    let team = Team::governed("attack-14-load");
    let paused = declare(job(&team.name, "train"), PAUSED);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut asked = 0;
            while asked < 300 {
                team.rig.api.dry_run(&paused).refused(422, &[REGION_PAUSED]);
                asked += 1;
            }
        });
        while !load.is_finished() {
            team.enforce(team.policy());
        }
        load.join().unwrap();
    });
}

#[test]
fn attack_15_derived_data_and_dates_to_come() {
    let team = Team::new("attack-15");
    let mut policy = team.policy();
    policy["spec"]["requirements"][0]["steps"][0] =
        json!({"type": "OptOutFilter", "acceptedEvidence": ["Catalogued"], "maxListAgeDays": 30});
    team.enforce(policy);

    // Nobody is in it, says its owner; but people are in what it was made from.
    let mut absent = record("attack-15-absent", &["US"]);
    absent["spec"]["personalData"] = json!("Absent");
    absent["spec"].as_object_mut().unwrap().remove("dataSubjects");
    absent["spec"]["derivedFrom"] = json!([{"name": PAUSED}]);
    publish(&team, &absent);
    let job = |name: &str| declare(job(&team.name, "train"), name);
    team.rig
        .api
        .create(&job("attack-15-absent"))
        .refused(422, &[REGION_PAUSED]);

    // An opt-out list of the year 2099 is not believed.
    let mut future = record("attack-15-future", &["CA"]);
    future["spec"]["steps"] = json!([{
        "type": "OptOutFilter",
        "completedAt": "2099-01-01T00:00:00Z",
        "optOutList": {"name": "genai-setting-off", "asOf": "2099-01-01T00:00:00Z"},
    }]);
    publish(&team, &future);
    let answer = team.rig.api.create(&job("attack-15-future"));
    assert_eq!(answer.code, 422, "{answer:#?}");
    let found = answer.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        ["OptOutListStale", "StepMissing"]
            .iter()
            .any(|reason| found[0].starts_with(reason)),
        "{found:?}"
    );

    // A parent that nobody has catalogued.
    let mut orphan = record("attack-15-orphan", &["US"]);
    orphan["spec"]["derivedFrom"] = json!([{"name": "attack-15-none"}]);
    publish(&team, &orphan);
    let unknown = "DatasetUnknown metadata.annotations[datagate.dev/datasets]";
    team.rig
        .api
        .create(&job("attack-15-orphan"))
        .refused(422, &[unknown]);
}

#[test]
fn attack_15_a_record_is_not_loosened_in_two_moves() {
    let team = Team::new("attack-15-loosen");
    let mut stored = record("attack-15-loosen", &["DE", "US"]);
    stored["spec"]["digest"] = json!({"sha256": "2f5c0d7c".repeat(8)});
    team.rig.api.create(&stored).admitted();
    let patches = [
        (json!({"spec": {"digest": null}}), "digest"),
        (
            json!({"spec": {"digest": {"sha256": "91ab33e0".repeat(8)}}}),
            "digest",
        ),
        (json!({"spec": {"dataSubjects": {"regions": ["US"]}}}), "regions"),
        (json!({"spec": {"dataSubjects": null}}), "dataSubjects"),
        (
            json!({"spec": {"personalData": "Absent", "dataSubjects": null}}),
            "personalData",
        ),
        (
            json!({"spec": {"dataSubjects": {"minimumAge": 21}}}),
            "minimumAge",
        ),
        (json!({"spec": null}), "spec"),
    ];
    for (patch, field) in patches {
        let answer = team.rig.api.merge(&stored, &patch);
        assert_eq!(
            (answer.code, &answer.body["reason"]),
            (422, &json!("Invalid")),
            "{patch}: {answer:#?}"
        );
        let causes = answer.body["details"]["causes"].as_array().unwrap();
        assert!(
            causes
                .iter()
                .any(|cause| cause["field"].as_str().unwrap_or_default().contains(field)),
            "{patch}: {causes:#?}"
        );
    }
    let now = team.rig.api.get(&stored).admitted();
    assert_eq!(now["spec"], stored["spec"]);
}

#[test]
fn a_policy_that_is_deleted_by_itself_is_lifted() {
    let team = Team::governed("lifted");
    let paused = declare(job(&team.name, "train"), PAUSED);
    team.rig.api.dry_run(&paused).refused(422, &[REGION_PAUSED]);
    team.rig.api.delete(&team.policy(), "Background").admitted();
    let ask = || team.rig.api.dry_run(&paused);
    team.until("the policy is lifted", ask, |answer| answer.code == 201);
}
