//! Bad input through the webhook's own door: a body is answered, with its uid wherever that can be read, and never
//! admitted by accident. No sockets; what the socket adds is in `server`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use datagate::admission::{Admission, DecisionLog, Mode};
use datagate::index::{self, Index, Worlds};
use datagate::live::Fetch;
use datagate::metrics::Metrics;
use datagate::server::{Admit, Failure, Readiness, Reply};
use datagate::stop::stop;
use datagate_api::v1alpha1::DatasetPolicy;
use datagate_core::fetched::{Absence, Fetched, Need};
use datagate_core::policy::Policy;
use datagate_core::settings::Settings;
use datagate_core::world::{Catalogue, Namespace};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{self, Api, Instead, NAMESPACES, POLICIES, RECORDS};

/// A cluster in which nothing can be reached.
pub struct Nowhere;

impl Fetch for Nowhere {
    async fn fetch(&self, needs: &[Need], into: &mut Fetched, _deadline: Instant) {
        for need in needs {
            match need {
                Need::Namespace(name) => into.put_namespace(name, Err(Absence::Unreachable)),
                Need::Object { .. } => into.put_object(need.clone(), Err(Absence::Unreachable)),
            }
        }
    }
}

pub const UID: &str = "7c1e0f3a-9d41-4f7e-8f43-000000000001";

pub fn policy() -> Policy {
    let policy: DatasetPolicy = serde_json::from_value(json!({
        "apiVersion": "datagate.dev/v1alpha1", "kind": "DatasetPolicy", "metadata": {"name": "p"},
        "spec": {"validationActions": ["Deny"], "undeclared": "Deny", "workloads": "Accelerated",
                 "acceptedDeclarations": ["Records", "Regions"]},
    }))
    .unwrap();
    Policy::try_from(&policy).unwrap()
}

pub fn worlds() -> Worlds {
    let mut catalogue = Catalogue::new(Settings::default());
    catalogue.put_namespace("ml", Namespace::default());
    catalogue.put_policy(policy());
    Arc::new(ArcSwapOption::from_pointee(catalogue.publish()))
}

fn admission(worlds: Worlds, mode: Mode) -> Admission<Nowhere> {
    let clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let log = DecisionLog::to(std::io::sink()).unwrap();
    Admission::new(worlds, Nowhere, clock, Arc::new(Metrics::new()), log, mode)
}

async fn post(body: impl Into<Bytes>) -> Reply {
    let deadline = Instant::now() + Duration::from_secs(4);
    admission(worlds(), Mode::Enforce)
        .admit(body.into(), deadline)
        .await
}

/// A governed Job, as text so that bad parts can be put in.
pub fn review(annotations: &str, spec: &str) -> String {
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"{UID}",
        "kind":{{"group":"batch","version":"v1","kind":"Job"}},"name":"j","namespace":"ml","operation":"CREATE",
        "userInfo":{{"username":"ada"}},
        "object":{{"metadata":{{"name":"j","namespace":"ml","annotations":{annotations}}},"spec":{spec}}},
        "oldObject":null,"dryRun":false}}}}"#
    )
}

pub const GPU: &str = r#"{"template":{"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"nvidia.com/gpu":"1"}}}]}}}"#;

/// The reasons of a refusal, each with its field; the request must carry its own uid and be well-formed.
fn refused(reply: &Reply) -> Vec<(String, String)> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let review: Value = serde_json::from_slice(&reply.body).unwrap();
    let response = &review["response"];
    assert_eq!(response["uid"], UID);
    assert_eq!(response["allowed"], false, "{response:#}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        !message.is_empty() && message.len() < 32 * 1024,
        "{} bytes",
        message.len()
    );
    assert!(!message.contains(|c: char| c.is_control()), "{message}");
    let causes = response["status"]["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = causes.iter().filter(|cause| cause["reason"] != "Help");
    told.map(|cause| (text(&cause["reason"]), text(&cause["field"])))
        .collect()
}

async fn reasons(annotations: &str, spec: &str) -> Vec<String> {
    refused(&post(review(annotations, spec)).await)
        .into_iter()
        .map(|(reason, _)| reason)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn before_the_policies_are_read_it_waits_and_then_refuses_in_its_own_words() {
    let empty: Worlds = Arc::new(ArcSwapOption::empty());
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(4);
    let reply = admission(empty, Mode::Enforce)
        .admit(review("{}", GPU).into(), deadline)
        .await;
    assert_eq!(refused(&reply), []);
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    let status = &told["response"]["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(503), &json!("ServiceUnavailable"))
    );
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("has not read all policies yet"),
        "{status}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "the API server still waits"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_just_before_the_policies_is_judged_by_them() {
    let late: Worlds = Arc::new(ArcSwapOption::empty());
    let admission = admission(late.clone(), Mode::Enforce);
    let deadline = Instant::now() + Duration::from_secs(4);
    let publish = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        late.store(worlds().load_full());
    };
    let (reply, ()) = tokio::join!(admission.admit(review("{}", GPU).into(), deadline), publish);
    assert_eq!(refused(&reply)[0].0, "DataUndeclared");
}

#[tokio::test(start_paused = true)]
async fn when_the_api_server_was_not_heard_for_too_long_nothing_governed_starts() {
    const BOUND: Duration = Duration::from_secs(600);
    let api = Api::new();
    let mut only = api::policy("p", "1", 1, &["DE"]);
    only["spec"]["namespaceSelector"] = json!({"matchLabels": {"team": "ml"}});
    only["spec"]["acceptedDeclarations"] = json!(["Regions"]);
    api.put(POLICIES, only);
    api.put(NAMESPACES, api::namespace("ml", &[("team", "ml")]));
    api.put(NAMESPACES, api::namespace("web", &[]));
    let metrics = Arc::new(Metrics::new());
    let index = Index::new(Settings::default(), &mut Metrics::new(), &Readiness::new());
    let (worlds, lives) = (index.worlds(), index.lives());
    let (_stopper, stop) = stop();
    let indexing = tokio::spawn(index::run(index, index::Config::default(), api.client(), stop));
    while worlds.load().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let server = |mode: Mode| {
        let clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
        let log = DecisionLog::to(std::io::sink()).unwrap();
        Admission::new(worlds.clone(), Nowhere, clock, metrics.clone(), log, mode)
    };
    let bounded = server(Mode::Enforce).refuse_when_stale(lives.clone(), BOUND);
    let observing = server(Mode::Observe).refuse_when_stale(lives.clone(), BOUND);
    let unbounded = server(Mode::Enforce);
    let ask = async |server: &Admission<Nowhere>, body: String| {
        let reply = server
            .decide(&body, Instant::now() + Duration::from_secs(4))
            .await;
        let review: Value = serde_json::from_slice(&reply.body).unwrap();
        review["response"].clone()
    };
    let start = || review(r#"{"datagate.dev/regions":"US"}"#, GPU);
    let elsewhere = || start().replace(r#""namespace":"ml""#, r#""namespace":"web""#);
    let finalizer = || {
        let whole = start();
        let object =
            &whole[whole.find("\"object\":").unwrap() + 9..whole.find(",\n        \"oldObject\"").unwrap()];
        let old = format!("\"oldObject\":{object}");
        whole
            .replace("\"oldObject\":null", &old)
            .replace("CREATE", "UPDATE")
    };

    // As long as it is heard, also if nothing happens for hours.
    for _ in 0..12 {
        tokio::time::sleep(BOUND).await;
        let answer = ask(&bounded, start()).await;
        assert_eq!(answer["allowed"], true, "{answer:#}");
    }
    for collection in [POLICIES, RECORDS, NAMESPACES] {
        api.cut(collection);
        api.instead(collection, Instead::Silence);
    }
    tokio::time::sleep(BOUND - Duration::from_secs(60)).await;
    assert_eq!(ask(&bounded, start()).await["allowed"], true);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let refused = ask(&bounded, start()).await;
    assert_eq!(refused["allowed"], false);
    assert_eq!(
        (&refused["status"]["code"], &refused["status"]["reason"]),
        (&json!(503), &json!("ServiceUnavailable"))
    );
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "datagate could not check this and refuses it: it has heard nothing from the API server for 6"
        ),
        "{message}"
    );
    assert!(
        message.contains("Try again; if it lasts, tell your platform team; decision "),
        "{message}"
    );
    // What would have been refused anyway is told as ever.
    let undeclared = ask(&bounded, review("{}", GPU)).await;
    assert_eq!(undeclared["status"]["code"], 422, "{undeclared:#}");
    // What finishes, and what is no business of a policy, goes on.
    for body in [finalizer(), elsewhere()] {
        let answer = ask(&bounded, body).await;
        assert_eq!(answer["allowed"], true, "{answer:#}");
    }
    assert_eq!(ask(&unbounded, start()).await["allowed"], true);
    let observed = ask(&observing, start()).await;
    assert_eq!(
        (&observed["allowed"], &observed["auditAnnotations"]["observed"]),
        (&json!(true), &json!("Denied"))
    );
    assert_eq!(metrics.stale_refusals.get(), 2);

    // It is heard again.
    api.mend();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(ask(&bounded, start()).await["allowed"], true);
    assert!(!indexing.is_finished());
}

#[tokio::test]
async fn observe_admits_and_notes_what_it_would_have_done() {
    let deadline = Instant::now() + Duration::from_secs(4);
    let reply = admission(worlds(), Mode::Observe)
        .admit(review("{}", GPU).into(), deadline)
        .await;
    let review: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(review["response"]["allowed"], true);
    let audit = &review["response"]["auditAnnotations"];
    assert_eq!(
        (&audit["observed"], &audit["reasons"]),
        (&json!("Denied"), &json!("DataUndeclared"))
    );
}

#[tokio::test]
async fn bodies_that_are_no_review_are_http_errors_that_say_why() {
    let deep = "[".repeat(100_000);
    for body in [
        "",
        " ",
        "null",
        "[]",
        "7",
        "{",
        r#"{"kind":"AdmissionReview"}"#,
        r#"{"request":{}}"#,
        &deep,
    ] {
        let reply = post(body.to_owned()).await;
        let start: String = body.chars().take(40).collect();
        assert_eq!(reply.status, 400, "{start}");
        let status: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (&status["kind"], &status["status"]),
            (&Value::Null, &json!("Failure")),
            "{start}"
        );
        assert!(status["message"].as_str().unwrap().len() > 20, "{start}");
    }
}

#[tokio::test]
async fn a_review_of_another_version_is_refused() {
    let body = review("{}", GPU).replace("admission.k8s.io/v1\"", "admission.k8s.io/v1beta1\"");
    assert_eq!(post(body).await.status, 400);
}

#[tokio::test]
async fn a_review_cut_off_anywhere_behind_its_uid_is_a_refusal_with_that_uid() {
    let whole = review(r#"{"datagate.dev/datasets":"none"}"#, GPU);
    let behind_uid = whole.find(UID).unwrap() + UID.len() + 1;
    for end in (behind_uid..whole.len() - 1).step_by(7) {
        assert_eq!(refused(&post(whole[..end].to_owned()).await), [], "cut at {end}");
    }
}

#[tokio::test]
async fn invalid_utf8_behind_the_uid_is_a_refusal_with_that_uid() {
    let mut body = review(r#"{"datagate.dev/datasets":"X"}"#, GPU).into_bytes();
    let at = body.windows(3).position(|it| it == b"\"X\"").unwrap() + 1;
    body[at] = 0xff;
    assert_eq!(refused(&post(body).await), []);
}

#[tokio::test]
async fn deep_nesting_hides_nothing_and_exhausts_nothing() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    // Where nothing is read it is skipped, and the rest is judged.
    let spec = format!(r#"{{"x":{deep},{}"#, &GPU[1..]);
    assert_eq!(reasons("{}", &spec).await, ["DataUndeclared"]);
    let spec = GPU.replace(r#""image":"i""#, &format!(r#""image":"i","command":{deep}"#));
    let told = refused(&post(review("{}", &spec)).await);
    let field = "spec.template.spec.containers[0].command[0]".to_owned();
    assert_eq!(told, [("WorkloadUnreadable".to_owned(), field)]);
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_named() {
    for (spec, field) in [
        ("7", "spec"),
        (
            r#"{"template":{"spec":{"containers":{}}}}"#,
            "spec.template.spec.containers",
        ),
        (
            r#"{"template":{"spec":{"containers":[{"image":["i"]}]}}}"#,
            "spec.template.spec.containers[0].image",
        ),
        (
            r#"{"template":{"spec":{"containers":[{"env":[{"name":7,"value":"DATAGATE_"}]}]}}}"#,
            // A text within the text: the message names the rest.
            "spec.template.spec.containers[0]",
        ),
        (r#"{"suspend":"yes","template":{}}"#, "spec.suspend"),
    ] {
        let told = refused(&post(review("{}", spec)).await);
        assert_eq!(
            told,
            [("WorkloadUnreadable".to_owned(), field.to_owned())],
            "{spec}"
        );
    }
}

#[tokio::test]
async fn duplicate_keys_are_refused_wherever_they_matter() {
    let twice = r#"{"datagate.dev/datasets":"none","datagate.dev/datasets":"a"}"#;
    assert_eq!(reasons(twice, GPU).await, ["WorkloadUnreadable"]);
    let spec = format!(r#"{{"template":{{}},{}"#, &GPU[1..]);
    assert_eq!(reasons("{}", &spec).await, ["WorkloadUnreadable"]);
}

#[tokio::test]
async fn a_missing_object_is_refused() {
    let body = review("{}", GPU);
    let object = &body[body.find("\"object\":").unwrap()..body.find("\"oldObject\"").unwrap()];
    assert_eq!(
        refused(&post(body.replace(object, "\"object\":null,")).await)[0].0,
        "WorkloadUnreadable"
    );
    assert_eq!(
        refused(&post(body.replace(object, "")).await)[0].0,
        "WorkloadUnreadable"
    );
}

#[tokio::test]
async fn keys_in_another_order_are_read_alike() {
    let body = review("{}", GPU);
    let kind = r#""kind":{"group":"batch","version":"v1","kind":"Job"},"#;
    let later = body
        .replace(kind, "")
        .replace(r#""dryRun":false"#, &format!(r#"{kind}"dryRun":false"#));
    let told = refused(&post(later).await);
    assert_eq!(told, refused(&post(body).await));
    assert_eq!(told[0].0, "DataUndeclared");
}

#[tokio::test]
async fn annotations_of_every_bad_kind_are_declaration_invalid() {
    let many = vec!["a"; 10_000].join(",");
    let long = "x".repeat(1024 * 1024);
    for value in [
        "",
        " ",
        ",",
        "a,,b",
        "a,",
        "none,a",
        "A",
        "a b",
        "a@sha256:7",
        "-a",
        "a\\u0000",
        "a\\u202eb",
        "\\u001b[31m",
        "[\\\"a\\\"]",
        "{a: b}",
        "*",
        "ｐosts",
        &many,
        &long,
    ] {
        let told = reasons(&format!(r#"{{"datagate.dev/datasets":"{value}"}}"#), GPU).await;
        let start: String = value.chars().take(20).collect();
        assert!(
            told.contains(&"DeclarationInvalid".to_owned()),
            "{start}: {told:?}"
        );
    }
    for value in ["7", "true", "null", "[]", "{}"] {
        let told = reasons(&format!(r#"{{"datagate.dev/datasets":{value}}}"#), GPU).await;
        assert_eq!(told, ["WorkloadUnreadable"], "{value}");
    }
}

#[tokio::test]
async fn regions_of_every_bad_kind_are_region_invalid() {
    for value in [
        "UK",
        "EL",
        "gb",
        "GB.",
        "G\\u0412",
        "ＧＢ",
        "GB\\u200b",
        "eu-west-1",
        "Germany",
        "ZZ",
        "US-",
        "US-ILLI",
        "World",
        "Unknown",
        "false",
    ] {
        let told = reasons(&format!(r#"{{"datagate.dev/regions":"{value}"}}"#), GPU).await;
        assert_eq!(told, ["RegionInvalid"], "{value}");
    }
}

#[tokio::test]
async fn environment_variables_are_a_door_like_annotations() {
    let spec = |env: &str| GPU.replace(r#""image":"i","#, &format!(r#""image":"i","env":[{env}],"#));
    let many = format!(
        r#"{{"name":"DATAGATE_DATASETS","value":"{}"}}"#,
        vec!["a"; 10_000].join(",")
    );
    let variables = vec![r#"{"name":"X","value":"\u0000"}"#; 10_000].join(",");
    for (env, reason) in [
        (
            r#"{"name":"DATAGATE_DATASETS","valueFrom":{"configMapKeyRef":{"name":"m","key":"k"}}}"#,
            "DeclarationInvalid",
        ),
        (r#"{"name":"DATAGATE_DATASETS"}"#, "DeclarationInvalid"),
        (r#"{"name":"DATAGATE_DATASET","value":"a"}"#, "DeclarationInvalid"),
        (r#"{"name":"DATAGATE_DATASETS","value":7}"#, "WorkloadUnreadable"),
        (&many, "DeclarationInvalid"),
        (&variables, "DataUndeclared"),
    ] {
        let start: String = env.chars().take(60).collect();
        assert_eq!(reasons("{}", &spec(env)).await[0], reason, "{start}");
    }
}

#[tokio::test]
async fn a_name_hidden_by_an_escape_is_found() {
    let env = r#""env":[{"name":"N\u0056IDIA_VISIBLE_DEVICES","value":"all"}],"#;
    let spec = format!(r#"{{"template":{{"spec":{{"containers":[{{{env}"image":"i"}}]}}}}}}"#);
    assert_eq!(reasons("{}", &spec).await, ["DataUndeclared"]);
}

#[tokio::test]
async fn a_hundred_thousand_containers_are_answered() {
    let one = r#"{"name":"c","image":"i","resources":{"limits":{"nvidia.com/gpu":1}}}"#;
    let spec = format!(
        r#"{{"template":{{"spec":{{"containers":[{}]}}}}}}"#,
        vec![one; 100_000].join(",")
    );
    assert_eq!(reasons("{}", &spec).await, ["DataUndeclared"]);
}

#[tokio::test]
async fn a_list_in_each_of_many_containers_is_bounded_as_a_whole() {
    let one = |i: usize| {
        let names: Vec<String> = (0..64).map(|j| format!("d{i}-{j}")).collect();
        format!(
            r#"{{"name":"c{i}","env":[{{"name":"DATAGATE_DATASETS","value":"{}"}}]}}"#,
            names.join(",")
        )
    };
    let containers: Vec<String> = (0..1_000).map(one).collect();
    let spec = format!(
        r#"{{"template":{{"spec":{{"containers":[{}]}}}}}}"#,
        containers.join(",")
    );
    let reply = post(review("{}", &spec)).await;
    assert_eq!(refused(&reply)[0].0, "DeclarationInvalid");
    let text = String::from_utf8_lossy(&reply.body);
    assert!(
        text.contains("64000 bodies of data are declared in all lists together"),
        "{text}"
    );
}

#[tokio::test]
async fn refusals_by_the_server_carry_the_uid() {
    let body = review("{}", GPU);
    let admission = admission(worlds(), Mode::Enforce);
    for (why, code) in [
        (Failure::Panic, 500),
        (Failure::Deadline, 504),
        (Failure::TooLarge { limit: 7 }, 413),
        (Failure::Unreadable, 400),
    ] {
        let whole = admission.refuse(body.as_bytes(), why);
        assert_eq!(refused(&whole), []);
        let told: Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(told["response"]["status"]["code"], code);
        assert_eq!(
            refused(&admission.refuse(&body.as_bytes()[..300], why)),
            [],
            "of the first bytes"
        );
        assert_eq!(admission.refuse(b"", why).status, code, "without any uid");
    }
}
