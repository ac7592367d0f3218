//! Which kinds of a cluster carry pods, and whether each is judged: against tests/crds, the stand-ins for the kinds of
//! other projects.

use std::sync::OnceLock;

use datagate_env::ControlPlane;
use serde_json::{Value, json};

use crate::rig::{self, apply, install_third_party, kubectl};

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
