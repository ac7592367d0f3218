//! Installed from an older chart, upgraded, broken open, mended and removed, with nobody behind the webhook.

use std::fs;
use std::path::Path;

use datagate_env::{ControlPlane, Options};
use serde_json::{Value, json};

use super::{CONFIGURATIONS, helm};
use crate::webhook::objects::{declare, job, policy};
use crate::webhook::{Api, RELEASE, SOON, SYSTEM, control_plane, repository};

/// A copy of the chart whose policies have no contact yet.
fn older_chart(cluster: &ControlPlane) -> String {
    let older = cluster.dir().join("older");
    copy(Path::new(&repository("charts/datagate")), &older);
    let file = older.join("files/crds/datagate.dev_datasetpolicies.yaml");
    let mut crd: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let spec = crd
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties")
        .unwrap();
    spec.as_object_mut().unwrap().remove("contact").unwrap();
    fs::write(file, crd.to_string()).unwrap();
    older.to_str().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The revision at which the object of that name was deleted, as a watch tells it.
fn deleted_at(api: &Api, collection: &str, name: &str, since: &str) -> u64 {
    let answer = api.get_path(&format!(
        "{collection}?watch=true&timeoutSeconds=2&resourceVersion={since}"
    ));
    let text = match &answer.body["message"] {
        Value::String(lines) => lines.clone(),
        _ => answer.body.to_string(),
    };
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let deleted = events
        .into_iter()
        .find(|it| it["type"] == "DELETED" && it["object"]["metadata"]["name"] == name);
    let deleted = deleted.unwrap_or_else(|| panic!("{name} was not deleted: {text}"));
    let version = deleted["object"]["metadata"]["resourceVersion"].as_str().unwrap();
    version.parse().unwrap()
}

#[test]
fn it_is_installed_upgraded_and_removed() {
    let cluster = control_plane(&Options::default());
    let api = Api::new(&cluster);
    let chart = repository("charts/datagate");
    // As strict as a namespace can be.
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": labels}});
    api.create(&namespace).admitted();
    let wait = |what: &str, look: &dyn Fn() -> Option<()>| {
        cluster.wait_until(what, SOON, look).unwrap();
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": SYSTEM}});
    wait("the namespace's account", &|| {
        (api.get(&account).code == 200).then_some(())
    });
    let install = |chart: &str| helm(&cluster, &["install", RELEASE, chart, "--namespace", SYSTEM]);
    let notes = install(&older_chart(&cluster));
    assert!(notes.contains("rollout status deployment/datagate"), "{notes}");

    let pods = format!("/api/v1/namespaces/{SYSTEM}/pods");
    let has_pods = |count: usize| {
        wait("pods, which no node takes", &|| {
            let pods = api.get_path(&pods).admitted();
            (pods["items"].as_array()?.len() == count).then_some(())
        });
    };
    has_pods(2);
    let budget = api
        .get_path(&format!(
            "/apis/policy/v1/namespaces/{SYSTEM}/poddisruptionbudgets/datagate"
        ))
        .admitted();
    assert_eq!(budget["spec"]["maxUnavailable"], 1);

    // The chart makes no certificate and says nothing about the CA.
    let secrets = api
        .get_path(&format!("/api/v1/namespaces/{SYSTEM}/secrets"))
        .admitted();
    for secret in secrets["items"].as_array().unwrap() {
        assert_eq!(secret["type"], "helm.sh/release.v1", "{secret:#}");
    }
    let path = format!("{CONFIGURATIONS}/datagate");
    let configuration = || api.get_path(&path).admitted();
    let hooks = configuration()["webhooks"].clone();
    for hook in hooks.as_array().unwrap() {
        assert_eq!(hook["clientConfig"].get("caBundle"), None);
        assert_eq!(hook["clientConfig"]["service"]["port"], 443);
        assert_eq!(hook["failurePolicy"], "Fail");
    }
    // datagate writes it, and no upgrade takes it away.
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "datagate"}});
    let bundle = json!(k8s_openapi::ByteString(cluster.ca_pem().as_bytes().to_vec()));
    let patch: Vec<Value> = (0..hooks.as_array().unwrap().len())
        .map(
            |i| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": bundle}),
        )
        .collect();
    api.json_patch(&object, &json!(patch)).admitted();

    // Nobody answers, so what is governed is refused.
    let governed = declare(job("default", "train"), "any");
    let refused = || {
        wait("what is governed is refused", &|| {
            (api.dry_run(&governed).code == 500).then_some(())
        });
    };
    let admitted = || {
        wait("what is governed is admitted", &|| {
            (api.dry_run(&governed).code == 201).then_some(())
        });
    };
    refused();
    let kept = policy("kept", "default");
    let mut before = kept.clone();
    before["spec"].as_object_mut().unwrap().remove("contact");
    api.create(&before).admitted();
    let early = api.apply(&kept);
    assert!(
        early.text().contains("contact"),
        "the older CRD knows no contact: {early:#?}"
    );

    let upgrade = |set: &str| {
        let upgrade = [
            "upgrade",
            RELEASE,
            &chart,
            "--namespace",
            SYSTEM,
            "--reuse-values",
            "--set",
            set,
        ];
        helm(&cluster, &upgrade);
    };
    let bundles = || {
        let hooks = configuration()["webhooks"].clone();
        let hooks = hooks.as_array().unwrap().iter();
        hooks
            .map(|it| it["clientConfig"]["caBundle"].clone())
            .collect::<Vec<_>>()
    };
    upgrade("replicas=3");
    has_pods(3);
    assert!(
        bundles().iter().all(|it| *it == bundle),
        "an upgrade took the bundle away"
    );
    wait("the upgraded CRD knows contacts", &|| {
        (api.merge(&kept, &json!({"spec": {"contact": "Slack"}}))
            .admitted()["spec"]["contact"]
            == "Slack")
            .then_some(())
    });

    // The glass is broken, and mended.
    upgrade("mode=Observe");
    assert_eq!(configuration()["webhooks"][0]["failurePolicy"], "Ignore");
    admitted();
    upgrade("mode=Enforce");
    assert!(bundles().iter().all(|it| *it == bundle));
    refused();

    let since = configuration()["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    helm(&cluster, &["uninstall", RELEASE, "--namespace", SYSTEM]);
    assert_eq!(api.get_path(&path).code, 404);
    let deployments = format!("/apis/apps/v1/namespaces/{SYSTEM}/deployments");
    let webhook = deleted_at(&api, CONFIGURATIONS, "datagate", &since);
    let server = deleted_at(&api, &deployments, "datagate", &since);
    assert!(webhook < server, "the webhook must go first: {webhook}, {server}");
    admitted();
    assert_eq!(api.get(&kept).admitted()["spec"]["contact"], "Slack");
    install(&chart);
    assert_eq!(api.get(&kept).admitted()["spec"]["contact"], "Slack");
}
