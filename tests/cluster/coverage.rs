//! Which kinds of a cluster carry pods, and whether each is judged: against tests/crds, the stand-ins for the kinds of
//! other projects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datagate::coverage::{self, Config};
use datagate::metrics::Metrics;
use datagate::stop::stop;
use datagate_core::workload::KnownKind;
use datagate_env::{ControlPlane, free_port};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::rig::{self, LONG, apply, install_third_party, kubectl};
use crate::webhook::{install, own_kubeconfig};

/// The kinds of other projects are in no other control plane, where they would be in the way.
fn plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(|| {
        let plane = rig::own();
        install_third_party(&plane);
        plane
    })
}

fn resources(path: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&kubectl(plane(), ["get", "--raw", path])).unwrap();
    let names = list["resources"].as_array().unwrap().iter();
    let mut names: Vec<String> = names.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_kinds_of_other_projects_are_served_as_theirs_are() {
    // No status subresource, so that every update is sent to the webhook.
    let argo = [
        "clusterworkflowtemplates",
        "cronworkflows",
        "workflows",
        "workflowtemplates",
    ];
    assert_eq!(resources("/apis/argoproj.io/v1alpha1"), argo);
    assert_eq!(
        resources("/apis/kubeflow.org/v2beta1"),
        ["mpijobs", "mpijobs/status"]
    );
    let lws = [
        "leaderworkersets",
        "leaderworkersets/scale",
        "leaderworkersets/status",
    ];
    assert_eq!(resources("/apis/leaderworkerset.x-k8s.io/v1"), lws);
    for path in ["ray.io/v1alpha1", "tekton.dev/v1beta1", "kueue.x-k8s.io/v1beta1"] {
        assert!(!resources(&format!("/apis/{path}")).is_empty());
    }

    // Fields are kept as they are written, also beside metadata.
    for (api_version, kind, plural, fields) in [
        (
            "flyte.lyft.com/v1alpha1",
            "FlyteWorkflow",
            "flyteworkflows",
            json!({"tasks": {"a": {"container": {}}}}),
        ),
        (
            "argoproj.io/v1alpha1",
            "Workflow",
            "workflows",
            json!({"spec": {"templates": [{"steps": [[{"name": "a"}]]}]}}),
        ),
    ] {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "kept", "namespace": "default"}});
        for (field, value) in fields.as_object().unwrap() {
            object[field] = value.clone();
        }
        apply(plane(), &object.to_string());
        let path = format!("/apis/{api_version}/namespaces/default/{plural}/kept");
        let stored: Value = serde_json::from_str(&kubectl(plane(), ["get", "--raw", &path])).unwrap();
        for (field, value) in fields.as_object().unwrap() {
            assert_eq!(&stored[field], value);
        }
    }
}

/// A CRD with one kind, whose spec has that schema.
fn crd(group: &str, kind: &str, spec: &Value) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    crd.to_string()
}

/// A spec with replicas of a pod template, with the schema that the API server itself has for it.
fn with_pods(plane: &ControlPlane) -> Value {
    let api: Value = serde_json::from_str(&kubectl(plane, ["get", "--raw", "/openapi/v2"])).unwrap();
    let template = inline(&api, "#/definitions/io.k8s.api.core.v1.PodTemplateSpec");
    json!({"type": "object", "properties": {
        "replicas": {"type": "integer"},
        "workers": {"type": "array", "items": {"type": "object", "properties": {"template": template}}},
    }})
}

/// A definition of OpenAPI v2 as the structural schema that a CRD wants.
fn inline(api: &Value, at: &str) -> Value {
    let name = at.rsplit('/').next().unwrap();
    let simple = match name {
        "io.k8s.apimachinery.pkg.api.resource.Quantity"
        | "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => {
            Some(json!({"x-kubernetes-int-or-string": true}))
        }
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" => Some(json!({"type": "object"})),
        _ => None,
    };
    simple.unwrap_or_else(|| structural(api, &api["definitions"][name]))
}

fn structural(api: &Value, schema: &Value) -> Value {
    if let Some(at) = schema["$ref"].as_str() {
        return inline(api, at);
    }
    let mut own = json!({"type": schema["type"].as_str().unwrap_or("object")});
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        own["properties"][name] = structural(api, field);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            own[part] = structural(api, &schema[part]);
        }
    }
    own
}

/// `datagate coverage`.
fn show(kubeconfig: &Path, output: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
    command.env_clear().env("KUBECONFIG", kubeconfig);
    command.args(["coverage", "--output", output]).output().unwrap()
}

/// What it says of each kind, and how it ended.
fn report(plane: &ControlPlane) -> (Value, BTreeMap<String, String>, Option<i32>) {
    let output = show(plane.kubeconfig(), "json");
    let error = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|it| panic!("{it}: {output:?} {error}"));
    assert_eq!(report["kind"], "CoverageReport");
    assert_eq!((&report["unread"], &report["unseen"]), (&json!([]), &json!([])));
    let kinds = report["kinds"].as_array().unwrap().iter();
    let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
    let kinds = kinds.map(|it| {
        (
            format!("{}/{}", text(it, "group"), text(it, "kind")),
            text(it, "judged"),
        )
    });
    (report.clone(), kinds.collect(), output.status.code())
}

/// What is to be said of the kinds of tests/crds and the built-in ones, if `known` are what it is for a known kind.
fn expected(
    plane: &ControlPlane,
    known: impl Fn(KnownKind, &[&str]) -> &'static str,
) -> BTreeMap<String, String> {
    let crds: Value = serde_json::from_str(&kubectl(plane, ["get", "crds", "--output", "json"])).unwrap();
    let mut expected = BTreeMap::new();
    for crd in crds["items"].as_array().unwrap() {
        let (group, kind) = (
            crd["spec"]["group"].as_str().unwrap(),
            crd["spec"]["names"]["kind"].as_str().unwrap(),
        );
        let versions = crd["spec"]["versions"].as_array().unwrap().iter();
        let versions: Vec<&str> = versions.map(|it| it["name"].as_str().unwrap()).collect();
        let judged = match KnownKind::find(group, kind) {
            Some(kind) => known(kind, &versions),
            // The schemas of tests/crds keep everything.
            None => "CannotTell",
        };
        if group != "datagate.dev" && group != "example.com" {
            expected.insert(format!("{group}/{kind}"), judged.to_owned());
        }
    }
    for kind in KnownKind::ALL
        .iter()
        .filter(|it| ["", "apps", "batch"].contains(&it.info().group))
    {
        let info = kind.info();
        expected.insert(
            format!("{}/{}", info.group, info.kind),
            known(*kind, &["v1"]).to_owned(),
        );
    }
    expected
}

fn read_or_not(kind: KnownKind, versions: &[&str]) -> &'static str {
    let read = kind.info().versions;
    if versions.iter().all(|it| read.contains(it)) {
        "Yes"
    } else {
        "VersionNotRead"
    }
}

#[test]
fn the_report_says_of_each_kind_whether_it_is_judged() {
    let plane = rig::own();
    // Before datagate is there, and without anything else.
    let (report_before, kinds, code) = report(&plane);
    assert_eq!((kinds, code), (expected(&plane, |_, _| "NoRule"), Some(1)));
    assert_eq!(report_before["webhookConfigurations"], json!([]));

    install(&plane, free_port().unwrap(), &["--set", "crds.install=false"]);
    let (installed, kinds, code) = report(&plane);
    assert_eq!(
        (kinds, code),
        (expected(&plane, |_, _| "Yes"), Some(0)),
        "{installed:#}"
    );
    assert_eq!(installed["webhookConfigurations"], json!(["datagate"]));

    install_third_party(&plane);
    apply(&plane, &crd("example.com", "Training", &with_pods(&plane)));
    apply(
        &plane,
        &crd(
            "example.com",
            "Setting",
            &json!({"type": "object", "properties": {"image": {"type": "string"}}}),
        ),
    );
    let (full, kinds, code) = report(&plane);
    let mut all = expected(&plane, read_or_not);
    all.insert("example.com/Training".to_owned(), "NotCovered".to_owned());
    assert_eq!((kinds, code), (all.clone(), Some(1)), "{full:#}");
    let training = full["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["kind"] == "Training")
        .unwrap();
    assert_eq!(
        training["containers"],
        json!(["spec.workers[*].template.spec.containers"])
    );
    assert_eq!(training["versions"], json!(["v1"]));

    let shown = show(plane.kubeconfig(), "text");
    let text = String::from_utf8(shown.stdout).unwrap();
    println!("{text}");
    assert_eq!(shown.status.code(), Some(1));
    assert!(text.starts_with("NOT JUDGED\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("{} kinds carry pods or may: ", all.len())),
        "{last}"
    );

    // The server may see the kinds, but no webhook configuration other than its own.
    let own = show(&own_kubeconfig(&plane), "json");
    let own: Value = serde_json::from_slice(&own.stdout).unwrap();
    let unread = own["unread"][0].as_str().unwrap();
    assert!(
        unread.contains("Grant `list` on validatingwebhookconfigurations"),
        "{unread}"
    );
    assert_eq!(own["summary"]["Yes"], 0);
}

#[test]
fn whoever_may_not_look_is_told_what_to_do() {
    let nobody = plane().dir().join("nobody.kubeconfig");
    kubectl(
        plane(),
        ["create", "serviceaccount", "nobody", "--namespace", "default"],
    );
    let token = kubectl(plane(), ["create", "token", "nobody", "--namespace", "default"]);
    let config = |server: &str| {
        let cluster = json!({"server": server, "insecure-skip-tls-verify": true});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "env",
            "clusters": [{"name": "env", "cluster": cluster}],
            "users": [{"name": "nobody", "user": {"token": token.trim()}}],
            "contexts": [{"name": "env", "context": {"cluster": "env", "user": "nobody"}}],
        });
        std::fs::write(&nobody, config.to_string()).unwrap();
        let output = show(&nobody, "text");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = config(plane().api_url());
    assert!(refused.contains("403"), "{refused}");
    assert!(
        refused.contains("Grant `list` on customresourcedefinitions.apiextensions.k8s.io"),
        "{refused}"
    );
    let nowhere = config(&format!("https://127.0.0.1:{}", free_port().unwrap()));
    assert!(nowhere.contains("cannot reach the API server"), "{nowhere}");
}

#[test]
fn no_other_built_in_kind_has_a_pod_template() {
    let api: Value = serde_json::from_str(&kubectl(rig::shared(), ["get", "--raw", "/openapi/v2"])).unwrap();
    let mut found = BTreeSet::new();
    for definition in api["definitions"].as_object().unwrap().values() {
        let named = definition["x-kubernetes-group-version-kind"].as_array();
        for kind in named.into_iter().flatten() {
            let (group, kind) = (kind["group"].as_str().unwrap(), kind["kind"].as_str().unwrap());
            let list = definition["properties"]["items"]["type"] == "array";
            if !list && reaches_pods(&api, definition, &mut BTreeSet::new()) {
                found.insert((group.to_owned(), kind.to_owned()));
            }
        }
    }
    let known = KnownKind::ALL.iter().map(|it| it.info());
    let known = known.filter(|it| ["", "apps", "batch"].contains(&it.group));
    let known: BTreeSet<_> = known
        .map(|it| (it.group.to_owned(), it.kind.to_owned()))
        .collect();
    assert_eq!(found, known);
}

/// Whether a PodSpec is somewhere in it.
fn reaches_pods<'a>(api: &'a Value, schema: &'a Value, seen: &mut BTreeSet<&'a str>) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(key, value)| match value.as_str() {
            Some("#/definitions/io.k8s.api.core.v1.PodSpec") if key == "$ref" => true,
            Some(at) if key == "$ref" && seen.insert(at) => {
                let name = at.rsplit('/').next().unwrap();
                reaches_pods(api, &api["definitions"][name], seen)
            }
            Some(_) => false,
            None => reaches_pods(api, value, seen),
        }),
        Value::Array(all) => all.iter().any(|it| reaches_pods(api, it, seen)),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_follow_a_kind_that_comes_and_goes() {
    let metrics = Arc::new(Metrics::new());
    let (stopper, told) = stop();
    let config = Config {
        every: Duration::from_millis(50),
        ..Config::new("datagate")
    };
    let client = rig::client(plane()).await;
    let clock = Arc::new(Timestamp::now);
    let task = tokio::spawn(coverage::run(
        config,
        client,
        clock,
        metrics.coverage.clone(),
        told,
    ));
    let series = |metrics: &Metrics| -> BTreeSet<String> {
        let text = metrics.encode().unwrap();
        let lines = text
            .lines()
            .filter_map(|it| it.strip_prefix("datagate_uncovered_kind{"));
        lines.map(str::to_owned).collect()
    };
    let until = |what: &'static str, there: bool| {
        let metrics = metrics.clone();
        tokio::task::spawn_blocking(move || {
            let wanted = r#"group="followed.example.com",kind="Training"} 1"#;
            let look = || {
                let all = series(&metrics);
                let text = metrics.encode().unwrap();
                // Without a webhook configuration no built-in kind is judged either.
                let known = all.contains(r#"group="batch",kind="Job"} 1"#);
                let total = text.contains(&format!("datagate_uncovered_kinds {}\n", all.len()));
                if known && total && all.contains(wanted) == there {
                    Ok(())
                } else {
                    Err(text)
                }
            };
            datagate_env::wait_until(what, LONG, look).unwrap();
        })
    };
    until("the first look", false).await.unwrap();
    assert!(metrics.coverage.timestamp.get() > 1_700_000_000);
    let definition = crd("followed.example.com", "Training", &with_pods(plane()));
    apply(plane(), &definition);
    until("the kind is told", true).await.unwrap();
    kubectl(plane(), ["delete", "crd", "trainings.followed.example.com"]);
    until("the kind is forgotten", false).await.unwrap();
    assert_eq!(metrics.coverage.failures.get(), 0);
    stopper.stop();
    tokio::time::timeout(LONG, task).await.unwrap().unwrap();
}
