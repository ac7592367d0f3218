//! Steps in name only.

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{FILTER, RAW, TRAINER, declare, job, pod, spec_of, with_filter};

const STEPS: &str = "datagate.dev/steps";
const MISSING: &str = "StepMissing spec.template.spec";

/// A job on unfiltered data with these containers.
fn train(team: &Team, name: &str, init: Value, more: &[Value]) -> Value {
    let mut job = declare(job(&team.name, name), RAW);
    let spec = spec_of(&mut job);
    spec["initContainers"] = init;
    for container in more {
        spec["containers"].as_array_mut().unwrap().push(container.clone());
    }
    job
}

#[test]
fn attack_01_and_b32_steps_in_name_only() {
    let team = Team::governed("attack-01");
    let filter = json!({"name": "opt-out", "image": FILTER});
    let with = |field: &str, value: Value| {
        let mut filter = filter.clone();
        filter[field] = value;
        json!([filter])
    };
    let tag = FILTER.split_once('@').unwrap().0;
    let other = FILTER.replace("5ea15ea1", "00000000");
    let first = "spec.template.spec.initContainers[0]";
    let not_first = |at: &str| format!("StepNotFirst {at}");
    let gpu = json!({"limits": {"nvidia.com/gpu": "1"}});
    let trainer = json!({"name": "warm-up", "image": TRAINER, "resources": gpu});

    let cases: Vec<(&str, Value, Vec<Value>, String)> = vec![
        ("nothing", json!([]), vec![], MISSING.to_owned()),
        (
            "command",
            with("command", json!(["true"])),
            vec![],
            MISSING.to_owned(),
        ),
        ("args", with("args", json!(["--off"])), vec![], MISSING.to_owned()),
        (
            "tag",
            with("image", json!(format!("{tag}:latest"))),
            vec![],
            MISSING.to_owned(),
        ),
        ("digest", with("image", json!(other)), vec![], MISSING.to_owned()),
        (
            "sidecar",
            with("restartPolicy", json!("Always")),
            vec![],
            not_first(first),
        ),
        (
            "trainer-first",
            json!([trainer, filter]),
            vec![],
            not_first("spec.template.spec.initContainers[1]"),
        ),
        (
            "beside",
            json!([]),
            vec![filter.clone()],
            not_first("spec.template.spec.containers[1]"),
        ),
    ];
    for (name, init, more, finding) in cases {
        team.rig
            .api
            .create(&train(&team, name, init, &more))
            .refused(422, &[&finding]);
    }

    // Of what it names itself nothing is a step here, as this policy trusts images only.
    let mut named = train(
        &team,
        "named",
        json!([{"name": "opt-out", "image": "registry.example.com/app:1"}]),
        &[],
    );
    named["metadata"]["annotations"][STEPS] = json!("OptOutFilter=opt-out");
    let insufficient = "EvidenceInsufficient metadata.annotations[datagate.dev/datasets]";
    team.rig.api.create(&named).refused(422, &[insufficient]);

    // A mirror of the same bytes is the same image, and what a mesh puts before it changes nothing.
    let mirror = FILTER.replace("registry.example.com", "mirror.example.org/cache");
    let mesh = json!({"name": "mesh", "image": "registry.example.com/mesh:1", "restartPolicy": "Always"});
    let honest = json!([mesh, {"name": "opt-out", "image": mirror}]);
    team.rig
        .api
        .create(&train(&team, "honest", honest, &[]))
        .admitted();
}

#[test]
fn attack_01_everything_is_a_step() {
    let team = Team::new("attack-01-declared");
    let mut policy = team.policy();
    policy["spec"]["requirements"][0]["steps"][0]["acceptedEvidence"] = json!(["Declared"]);
    team.enforce(policy);
    let api = &team.rig.api;

    let mut all = train(&team, "all", json!([]), &[]);
    all["metadata"]["annotations"][STEPS] = json!("OptOutFilter=train");
    let refused = api.create(&all);
    refused.refused(422, &[MISSING]);
    assert!(
        refused.text().contains("nothing is left that trains"),
        "{}",
        refused.text()
    );

    // As another type of step it still trains.
    let mut other = all.clone();
    other["metadata"]["annotations"][STEPS] = json!("Redaction=train");
    api.create(&other).refused(422, &[MISSING]);

    // A name that nobody has.
    let mut nobody = all.clone();
    nobody["metadata"]["annotations"][STEPS] = json!("OptOutFilter=opt-out");
    api.create(&nobody).refused(422, &[MISSING]);

    // The trainer's image under another name trains as well.
    let twin = json!([{"name": "opt-out", "image": TRAINER}, {"name": "prepare", "image": TRAINER}]);
    let mut twin = train(&team, "twin", twin, &[]);
    twin["metadata"]["annotations"][STEPS] = json!("OptOutFilter=prepare");
    api.create(&twin)
        .refused(422, &["StepNotFirst spec.template.spec.initContainers[1]"]);

    let mut honest = train(
        &team,
        "honest",
        json!([{"name": "opt-out", "image": "registry.example.com/app:1"}]),
        &[],
    );
    honest["metadata"]["annotations"][STEPS] = json!("OptOutFilter=opt-out");
    api.create(&honest).admitted();
}

#[test]
fn b02_ephemeral_containers_are_behind_no_step() {
    let team = Team::governed("bypass-02");
    let pod = with_filter(declare(pod(&team.name, "train"), RAW), FILTER);
    team.rig.api.create(&pod).admitted();
    let debug = |image: &str| json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": image}]}});
    let answer = team
        .rig
        .api
        .patch_sub(&pod, "ephemeralcontainers", &debug(TRAINER));
    answer.refused(403, &["StepNotFirst spec.ephemeralContainers[0]"]);
    let undeclared = json!({"spec": {"ephemeralContainers":
        [{"name": "debug", "image": "shell", "env": [{"name": "DATAGATE_DATASETS", "value": "member-posts-2024"}]}]}});
    let answer = team.rig.api.patch_sub(&pod, "ephemeralcontainers", &undeclared);
    answer.refused(403, &["RegionPaused spec.ephemeralContainers[0].env[0]"]);
    team.rig
        .api
        .patch_sub(
            &pod,
            "ephemeralcontainers",
            &debug("registry.example.com/shell:1"),
        )
        .admitted();
}
