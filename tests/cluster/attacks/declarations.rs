//! Lies, contradictions and nonsense in declarations.

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{
    DATASETS, FINE, PAUSED, PURPOSE, RAW, REGION_PAUSED, UNDECLARED, declare, job, spec_of,
};

const REGIONS: &str = "datagate.dev/regions";
const PURPOSE_UNDECLARED: &str = "PurposeUndeclared metadata.annotations[datagate.dev/purpose]";

fn declaring(team: &Team, annotations: Value) -> Value {
    let mut job = job(&team.name, "train");
    job["metadata"]["annotations"] = annotations;
    job
}

#[test]
fn attack_06_one_word_lies_count_only_if_accepted() {
    let team = Team::governed("attack-06");
    let dry = |annotations: Value| team.rig.api.dry_run(&declaring(&team, annotations));
    let training = "GenerativeAITraining";
    dry(json!({PURPOSE: training, REGIONS: "US"})).refused(
        422,
        &["DataUndeclared metadata.annotations[datagate.dev/regions]"],
    );
    dry(json!({PURPOSE: training, DATASETS: "none"})).refused(422, &[UNDECLARED]);
    dry(json!({DATASETS: PAUSED})).refused(422, &[PURPOSE_UNDECLARED, REGION_PAUSED]);
    dry(json!({PURPOSE: "AITraining", DATASETS: PAUSED})).refused(422, &[REGION_PAUSED]);
    // A purpose that is not training is the documented limit of a pause that names purposes; the record may say more.
    dry(json!({PURPOSE: "Evaluation", DATASETS: PAUSED})).admitted();
    dry(json!({PURPOSE: "DataPreparation", DATASETS: "support-tickets"})).refused(
        422,
        &["PurposeNotPermitted metadata.annotations[datagate.dev/datasets]"],
    );

    let mut policy = team.policy();
    policy["spec"]["acceptedDeclarations"] = json!(["Regions", "None"]);
    policy["spec"]["pauses"][0]["match"]
        .as_object_mut()
        .unwrap()
        .remove("purposes");
    team.enforce(policy);
    dry(json!({PURPOSE: "Evaluation", REGIONS: "DE, US"}))
        .refused(422, &["RegionPaused metadata.annotations[datagate.dev/regions]"]);
    dry(json!({PURPOSE: training, DATASETS: "none"})).admitted();
    dry(json!({PURPOSE: training, DATASETS: FINE})).refused(422, &[UNDECLARED]);
}

#[test]
fn b19_b20_codes_that_only_look_right() {
    let team = Team::new("bypass-19");
    let mut policy = team.policy();
    policy["spec"]["acceptedDeclarations"] = json!(["Regions"]);
    policy["spec"].as_object_mut().unwrap().remove("requirements");
    team.enforce(policy);
    let invalid = "RegionInvalid metadata.annotations[datagate.dev/regions]";
    for region in [
        "us",
        "Us",
        "UK",
        "EL",
        "eu-west-1",
        "EU-West-1",
        "US.",
        "USA",
        "ＵＳ",
        "U\u{200b}S",
        "U\u{202e}S",
        "ＤE",
        "DЕ",
        "NO!",
        "*",
        "US;DE",
    ] {
        let answer = team.rig.api.dry_run(&declaring(
            &team,
            json!({PURPOSE: "GenerativeAITraining", REGIONS: region}),
        ));
        assert_eq!(answer.findings(), [invalid], "{region:?}: {answer:#?}");
        answer.refused(422, &[invalid]);
    }
    let answer = team.rig.api.dry_run(&declaring(
        &team,
        json!({PURPOSE: "GenerativeAITraining", REGIONS: " US , CA"}),
    ));
    answer.admitted();
}

#[test]
fn b21_b22_nothing_but_lists_is_parsed() {
    let team = Team::governed("bypass-21");
    for value in [
        r#"{"a": 1, "a": 2}"#,
        r#"["member-posts-us-2026-01"]"#,
        "&a [member-posts-us-2026-01]",
        "member-posts-us-2026-01\nmember-posts-us-2026-01",
        "member-posts-us-2026-01;member-posts-2024",
        "member-posts-us-2026-01@sha256:zz",
        "../member-posts-us-2026-01",
        "Member-Posts-US-2026-01",
        "member-posts-us-2026-01,",
        "",
        "none, member-posts-us-2026-01",
    ] {
        let answer = team.rig.api.dry_run(&declare(job(&team.name, "train"), value));
        let found = answer.findings();
        assert_eq!(answer.code, 422, "{value:?}: {answer:#?}");
        assert!(
            found
                .iter()
                .any(|it| it == "DeclarationInvalid metadata.annotations[datagate.dev/datasets]"),
            "{value:?}: {found:?}"
        );
    }
}

#[test]
fn b24_b25_long_values_and_lists() {
    let team = Team::governed("bypass-24");
    let invalid = "DeclarationInvalid metadata.annotations[datagate.dev/datasets]";
    let long = format!("{FINE},").repeat(9_000);
    let answer = team.rig.api.dry_run(&declare(job(&team.name, "train"), &long));
    assert_eq!(
        (answer.code, answer.findings().first().unwrap().as_str()),
        (422, invalid),
        "{answer:#?}"
    );
    let names: Vec<String> = (0..65).map(|i| format!("dataset-{i}")).collect();
    let answer = team
        .rig
        .api
        .dry_run(&declare(job(&team.name, "train"), &names.join(",")));
    assert_eq!(
        (answer.code, answer.findings().first().unwrap().as_str()),
        (422, invalid),
        "{answer:#?}"
    );

    let mut wide = declare(job(&team.name, "wide"), FINE);
    let env: Vec<Value> = (0..20_000)
        .map(|i| json!({"name": format!("V{i}"), "value": "x"}))
        .collect();
    let containers: Vec<Value> = (0..1_000)
        .map(|i| json!({"name": format!("c{i}"), "image": "app"}))
        .collect();
    spec_of(&mut wide)["containers"][0]["env"] = json!(env);
    spec_of(&mut wide)["containers"]
        .as_array_mut()
        .unwrap()
        .extend(containers);
    team.rig.api.dry_run(&wide).admitted();
    let last = spec_of(&mut wide)["containers"]
        .as_array_mut()
        .unwrap()
        .last_mut()
        .unwrap();
    last["env"] = json!([{"name": "DATAGATE_DATASETS", "value": PAUSED}]);
    let field = "RegionPaused spec.template.spec.containers[1000].env[0]";
    team.rig.api.dry_run(&wide).refused(422, &[field]);
}

#[test]
fn b33_b34_what_is_said_anywhere_counts() {
    let team = Team::governed("bypass-33");
    let mut job = declare(job(&team.name, "train"), FINE);
    job["spec"]["template"]["metadata"] =
        json!({"annotations": {DATASETS: PAUSED}, "labels": {PURPOSE: "Evaluation"}});
    spec_of(&mut job)["containers"][0]["env"] = json!([{"name": "DATAGATE_DATASETS", "value": RAW}]);
    team.rig.api.create(&job).refused(
        422,
        &[
            "RegionPaused spec.template.metadata.annotations[datagate.dev/datasets]",
            "StepMissing spec.template.spec",
        ],
    );
    let mut elsewhere = declare(crate::webhook::objects::job(&team.name, "elsewhere"), FINE);
    let from = json!({"configMapKeyRef": {"name": "settings", "key": "datasets"}});
    spec_of(&mut elsewhere)["containers"][0]["env"] =
        json!([{"name": "DATAGATE_DATASETS", "valueFrom": from}]);
    team.rig.api.create(&elsewhere).refused(
        422,
        &["DeclarationInvalid spec.template.spec.containers[0].env[0]"],
    );
    team.rig
        .api
        .create(&crate::webhook::objects::job(&team.name, "silent"))
        .refused(422, &[UNDECLARED]);
}
