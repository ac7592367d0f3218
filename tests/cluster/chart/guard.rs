//! The guard: who may change the webhook configuration, and what namespaces say to datagate.

use datagate_env::{ControlPlane, Options};
use serde_json::{Value, json};

use super::{CONFIGURATIONS, helm};
use crate::webhook::{Answer, Api, RELEASE, SOON, SYSTEM, control_plane, repository};

/// Named in the guard.
const NAMED: &str = "platform";
/// May do everything by RBAC, and is not named.
const OTHER: &str = "mallory";

fn configuration() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": RELEASE},
    })
}

fn namespace(name: &str, labels: &Value, annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels, "annotations": annotations}})
}

/// A cluster with the chart in it, nobody behind it, and the guard honoured.
fn guarded() -> (ControlPlane, Api) {
    let cluster = control_plane(&Options::default());
    let api = Api::new(&cluster);
    for user in [NAMED, OTHER] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        api.create(&binding).admitted();
    }
    let named = format!("guard.users={{{NAMED}}}");
    let chart = repository("charts/datagate");
    let install = [
        "install",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM,
        "--create-namespace",
        "--set",
    ];
    let install = [
        &install[..],
        &[
            "guard.enabled=true",
            "--set",
            &named,
            "--set",
            "guard.groups={wheel}",
        ],
    ]
    .concat();
    helm(&cluster, &install);
    let other = api.impersonate(OTHER);
    cluster
        .wait_until("the guard is honoured", SOON, || {
            let edit = json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 1}]);
            let webhook = other.dry_json_patch(&configuration(), &edit);
            let keys = json!({"datagate.dev/workloads": "All"});
            let namespace = other.dry_run(&namespace("probe", &keys, &json!({})));
            (webhook.code == 403 && namespace.code == 403).then_some(())
        })
        .unwrap();
    (cluster, api)
}

#[track_caller]
fn refused(what: &str, answer: &Answer, words: &str) {
    assert_eq!(answer.code, 403, "{what}: {answer:#?}");
    let text = answer.text();
    assert!(
        text.contains("denied request") && text.contains(words),
        "{what}: {text}"
    );
}

/// Changes of the configuration, as JSON patches.
fn edits() -> Vec<(&'static str, Value)> {
    let replace = |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let remove = |path: &str| json!([{"op": "remove", "path": path}]);
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "7c1e0f3a-0000-4000-8000-000000000000"}]);
    let never = json!([{"name": "never", "expression": "false"}]);
    let url = json!([
        {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
        {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": "https://evil.example.com/"},
    ]);
    vec![
        (
            "failure policy",
            replace("/webhooks/0/failurePolicy", json!("Ignore")),
        ),
        ("timeout", replace("/webhooks/0/timeoutSeconds", json!(1))),
        (
            "namespace selector extended",
            add(
                "/webhooks/1/namespaceSelector/matchExpressions/0/values/-",
                json!("team"),
            ),
        ),
        (
            "namespace selector replaced",
            replace(
                "/webhooks/1/namespaceSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
        ),
        (
            "object selector",
            replace("/webhooks/0/objectSelector", json!({"matchLabels": {"a": "b"}})),
        ),
        ("rule removed", remove("/webhooks/0/rules/0")),
        ("resource removed", remove("/webhooks/1/rules/0/resources/0")),
        (
            "operations",
            replace("/webhooks/1/rules/0/operations", json!(["CREATE"])),
        ),
        (
            "API versions",
            replace("/webhooks/1/rules/0/apiVersions", json!(["v0"])),
        ),
        ("scope", replace("/webhooks/1/rules/0/scope", json!("Cluster"))),
        ("match policy", replace("/webhooks/0/matchPolicy", json!("Exact"))),
        ("condition added", replace("/webhooks/0/matchConditions", never)),
        ("conditions removed", remove("/webhooks/1/matchConditions")),
        (
            "service name",
            replace("/webhooks/0/clientConfig/service/name", json!("other")),
        ),
        (
            "service namespace",
            replace("/webhooks/0/clientConfig/service/namespace", json!("other")),
        ),
        (
            "service path",
            replace("/webhooks/0/clientConfig/service/path", json!("/other")),
        ),
        (
            "service port",
            replace("/webhooks/0/clientConfig/service/port", json!(8443)),
        ),
        ("URL", url),
        (
            "review versions",
            replace("/webhooks/0/admissionReviewVersions", json!(["v1beta1", "v1"])),
        ),
        (
            "side effects",
            replace("/webhooks/0/sideEffects", json!("NoneOnDryRun")),
        ),
        ("entry removed", remove("/webhooks/0")),
        ("all entries removed", replace("/webhooks", json!([]))),
        (
            "entry renamed",
            replace("/webhooks/0/name", json!("other.datagate.dev")),
        ),
        ("label", add("/metadata/labels/x", json!("y"))),
        (
            "annotations",
            add(
                "/metadata/annotations",
                json!({"cert-manager.io/inject-ca-from": "a/b"}),
            ),
        ),
        (
            "finalizers",
            add("/metadata/finalizers", json!(["example.com/hold"])),
        ),
        (
            "owner, which has it collected as garbage",
            add("/metadata/ownerReferences", owner),
        ),
    ]
}

/// A bundle for every entry.
fn bundles(pem: &str) -> Value {
    let bundle = json!(k8s_openapi::ByteString(pem.as_bytes().to_vec()));
    (0..3)
        .map(
            |i| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle}),
        )
        .collect()
}

#[test]
fn only_named_identities_change_the_webhook_configuration() {
    let (cluster, api) = guarded();
    let words = "is left to the users and groups that the value guard of the Helm release datagate names";
    let account = format!("system:serviceaccount:{SYSTEM}:{RELEASE}");
    let (other, named, server) = (
        api.impersonate(OTHER),
        api.impersonate(NAMED),
        api.impersonate(&account),
    );
    let wheel = api.impersonate_in("somebody", &["wheel", "system:masters"]);
    let object = configuration();
    let edits = edits();
    assert!(edits.len() >= 20);
    for (what, edit) in &edits {
        let answer = other.dry_json_patch(&object, edit);
        refused(what, &answer, words);
        assert!(
            answer.text().contains("; mallory is none of them"),
            "{what}: {}",
            answer.text()
        );
        // Not even the server, which may patch it by RBAC.
        refused(what, &server.dry_json_patch(&object, edit), words);
        named.dry_json_patch(&object, edit).admitted();
        wheel.dry_json_patch(&object, edit).admitted();
    }
    let stored = api.get(&object).admitted();
    let mut changed = stored.clone();
    changed["webhooks"][0]["failurePolicy"] = json!("Ignore");
    refused("replaced", &other.replace(&changed), words);
    let applied = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": object["metadata"], "webhooks": []});
    refused("applied", &other.apply(&applied), words);
    refused("merged", &other.merge(&object, &json!({"webhooks": null})), words);
    refused("deleted", &other.delete(&object, "Background"), words);
    refused("all deleted", &other.delete_all(CONFIGURATIONS), words);

    // The CA is the server's own business, and nobody else's.
    let bundle = bundles(cluster.ca_pem());
    refused("bundle", &other.dry_json_patch(&object, &bundle), words);
    server.json_patch(&object, &bundle).admitted();
    named.dry_json_patch(&object, &bundle).admitted();
    assert_eq!(
        api.get(&object).admitted()["metadata"]["uid"],
        stored["metadata"]["uid"]
    );

    // Other configurations are not ours to guard.
    let mut theirs = configuration();
    theirs["metadata"]["name"] = json!("theirs");
    other.create(&theirs).admitted();
    other
        .merge(&theirs, &json!({"metadata": {"labels": {"a": "b"}}}))
        .admitted();
    other.delete(&theirs, "Background").admitted();

    // Who is not named takes nothing away, not the server from under its webhook either.
    let uninstall = |user: &str| {
        let mut helm = cluster.helm([
            "uninstall",
            RELEASE,
            "--namespace",
            SYSTEM,
            "--kube-as-user",
            user,
        ]);
        helm.output().unwrap()
    };
    let output = uninstall(OTHER);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("names; mallory is none of them"),
        "{text}"
    );
    let deployment = format!("/apis/apps/v1/namespaces/{SYSTEM}/deployments/{RELEASE}");
    api.get_path(&deployment).admitted();
    api.get(&object).admitted();

    let output = uninstall(NAMED);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let left = api.get_path(CONFIGURATIONS).admitted();
    assert_eq!(left["items"], json!([]));
    assert_eq!(api.get_path(&deployment).code, 404);
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    assert_eq!(api.get_path(policies).admitted()["items"], json!([]));
}

#[test]
fn only_named_identities_change_what_namespaces_say() {
    let (cluster, api) = guarded();
    let words = "labels and annotations under datagate.dev/ on a namespace are left to the users and groups";
    let (other, named) = (api.impersonate(OTHER), api.impersonate(NAMED));
    let team = namespace(
        "team",
        &json!({"datagate.dev/workloads": "All", "tier": "a"}),
        &json!({"datagate.dev/allowed-purposes": "Inference"}),
    );
    refused("created", &other.create(&team), words);
    named.create(&team).admitted();
    other
        .create(&namespace("plain", &json!({"tier": "a"}), &json!({})))
        .admitted();

    let edits = [
        (
            "label changed",
            json!({"labels": {"datagate.dev/workloads": "all"}}),
        ),
        (
            "label removed",
            json!({"labels": {"datagate.dev/workloads": null}}),
        ),
        ("label added", json!({"labels": {"datagate.dev/other": "x"}})),
        (
            "annotation changed",
            json!({"annotations": {"datagate.dev/allowed-purposes": "AITraining"}}),
        ),
        (
            "annotation removed",
            json!({"annotations": {"datagate.dev/allowed-purposes": null}}),
        ),
        (
            "annotation added",
            json!({"annotations": {"datagate.dev/datasets": "none"}}),
        ),
        ("all labels removed", json!({"labels": null})),
        ("all annotations removed", json!({"annotations": null})),
    ];
    for (what, edit) in &edits {
        let edit = json!({"metadata": edit});
        refused(what, &other.merge(&team, &edit), words);
        refused(
            &format!("{what} by status"),
            &other.merge_sub(&team, "status", &edit),
            words,
        );
        let mut whole = api.get(&team).admitted();
        json_patch::merge(&mut whole, &edit);
        refused(
            &format!("{what} by a whole object"),
            &other.replace(&whole),
            words,
        );
        refused(
            &format!("{what} by finalize"),
            &other.put_sub(&whole, "finalize"),
            words,
        );
        refused(
            &format!("{what} by the whole status"),
            &other.put_sub(&whole, "status"),
            words,
        );
    }
    let stored = api.get(&team).admitted();
    assert_eq!(stored["metadata"]["labels"]["datagate.dev/workloads"], "All");
    assert_eq!(
        stored["metadata"]["annotations"]["datagate.dev/allowed-purposes"],
        "Inference"
    );

    // Everything else is free, and so is whatever changes nothing of ours.
    other
        .merge(
            &team,
            &json!({"metadata": {"labels": {"tier": "b"}, "annotations": {"note": "x"}}}),
        )
        .admitted();
    other
        .merge(
            &team,
            &json!({"metadata": {"labels": {"datagate.dev/workloads": "All"}}}),
        )
        .admitted();
    let mut finished = api.get(&team).admitted();
    finished["spec"]["finalizers"] = json!(["kubernetes", "example.com/hold"]);
    other.put_sub(&finished, "finalize").admitted();
    finished = api.get(&team).admitted();
    finished["spec"]["finalizers"] = json!(["kubernetes"]);
    other.put_sub(&finished, "finalize").admitted();
    named
        .merge(
            &team,
            &json!({"metadata": {"labels": {"datagate.dev/workloads": null}}}),
        )
        .admitted();
    named
        .merge(
            &team,
            &json!({"metadata": {"labels": {"datagate.dev/workloads": "All"}}}),
        )
        .admitted();

    // Anyone who may delete it may, and its controller brings that to an end.
    other.delete(&team, "Background").admitted();
    cluster
        .wait_until("the namespace is gone", SOON, || {
            (api.get(&team).code == 404).then_some(())
        })
        .unwrap();
}

/// Who may write the CA, where it is not datagate.
#[test]
fn the_bundle_is_left_to_who_writes_it() {
    let chart = repository("charts/datagate");
    let writes = |set: &str| {
        let template = [
            "template",
            RELEASE,
            &chart,
            "--namespace",
            SYSTEM,
            "--show-only",
            "templates/guard.yaml",
        ];
        let template = [
            &template[..],
            &["--set", "guard.enabled=true,guard.groups={wheel}", "--set", set],
        ]
        .concat();
        let text = helm(&crate::webhook::rig().cluster, &template);
        let objects = serde_saphyr::from_multiple::<Value>(&text).unwrap();
        let policy = objects
            .iter()
            .find(|it| it["metadata"]["name"] == "datagate-guard-webhook");
        let expression = &policy.unwrap()["spec"]["validations"][0]["expression"];
        expression.as_str().unwrap().replace("variables.", "")
    };
    let by = |account: &str| {
        format!("named || (request.userInfo.username == 'system:serviceaccount:{account}' && onlyBundles)")
    };
    assert_eq!(writes("mode=Enforce"), by("datagate-system:datagate"));
    assert_eq!(writes("serviceAccount.name=gate"), by("datagate-system:gate"));
    assert_eq!(
        writes("certificate.mode=CertManager"),
        by("cert-manager:cert-manager-cainjector")
    );
    let injector =
        "certificate.mode=CertManager,certificate.certManager.injector=system:serviceaccount:pki:injector";
    assert_eq!(writes(injector), by("pki:injector"));
    assert_eq!(
        writes("webhook.url=https://datagate.example.com/validate"),
        "named"
    );
}
