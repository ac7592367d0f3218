//! What the API server sends for a rule that names a version. At the webhook nobody answers, so whatever is sent is
//! refused, and what the server would have been shown is asked in the match conditions.

use datagate_env::{Options, free_port};
use serde_json::{Value, json};

use crate::rig::install_third_party;
use crate::webhook::{Api, SOON, control_plane};

/// A rule, and a request that it is tried on.
struct Case {
    /// Also the namespace in which the rule counts.
    name: &'static str,
    rule: &'static str,
    policy: &'static str,
    request: &'static str,
    /// In what version the object is sent, if it is.
    sent: Option<&'static str>,
}

const CASES: &[Case] = &[
    Case {
        name: "same",
        rule: "v1",
        policy: "Equivalent",
        request: "v1",
        sent: Some("v1"),
    },
    Case {
        name: "served-converted",
        rule: "v1",
        policy: "Equivalent",
        request: "v1alpha1",
        sent: Some("v1"),
    },
    Case {
        name: "served-exact",
        rule: "v1",
        policy: "Exact",
        request: "v1alpha1",
        sent: None,
    },
    // No CRD serves it, so nothing is equivalent to it.
    Case {
        name: "unserved-stored",
        rule: "v1beta1",
        policy: "Equivalent",
        request: "v1",
        sent: None,
    },
    Case {
        name: "unserved-old",
        rule: "v1beta1",
        policy: "Equivalent",
        request: "v1alpha1",
        sent: None,
    },
    // As the chart's rules are.
    Case {
        name: "all",
        rule: "*",
        policy: "Equivalent",
        request: "v1alpha1",
        sent: Some("v1alpha1"),
    },
];

/// A webhook for one case only. If the object is not sent in the wanted version it is not sent at all.
fn webhook(case: &Case, url: &str) -> Value {
    let condition = case.sent.map(|sent| {
        let expression = format!(
            "object.apiVersion == 'ray.io/{sent}' && request.kind.version == '{sent}' \
             && request.requestKind.version == '{}' \
             && object.spec.entrypoint == 'python train.py'",
            case.request
        );
        json!({"name": "as-wanted", "expression": expression})
    });
    json!({
        "name": format!("{}.versions.example.com", case.name),
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "matchPolicy": case.policy,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": case.name}},
        "matchConditions": Vec::from_iter(condition),
        "clientConfig": {"url": url},
        "rules": [{
            "apiGroups": ["ray.io"],
            "apiVersions": [case.rule],
            "resources": ["rayjobs"],
            "operations": ["CREATE", "UPDATE"],
        }],
    })
}

#[test]
fn a_rule_with_a_version_matches_only_what_is_served() {
    let cluster = control_plane(&Options {
        controller_manager: false,
        ..Options::default()
    });
    install_third_party(&cluster);
    let api = Api::new(&cluster);
    let url = format!("https://127.0.0.1:{}/", free_port().unwrap());
    let webhooks: Vec<_> = CASES.iter().map(|case| webhook(case, &url)).collect();
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "versions"},
        "webhooks": webhooks,
    });
    api.post(
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        &configuration,
    )
    .admitted();
    let ask = |case: &Case| {
        api.dry_run(&json!({
            "apiVersion": format!("ray.io/{}", case.request),
            "kind": "RayJob",
            "metadata": {"name": "train", "namespace": case.name},
            "spec": {"entrypoint": "python train.py"},
        }))
    };
    for case in CASES {
        cluster.create_namespace(case.name).unwrap();
    }
    let honoured = || (ask(&CASES[0]).code == 500).then_some(());
    cluster
        .wait_until("the configuration is honoured", SOON, honoured)
        .unwrap();
    for case in CASES {
        let answer = ask(case);
        if case.sent.is_some() {
            let called = answer.text().contains("failed calling webhook");
            assert!(answer.code == 500 && called, "{}: {answer:#?}", case.name);
        } else {
            answer.admitted();
        }
    }
}
