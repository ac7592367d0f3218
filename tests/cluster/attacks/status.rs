//! Argo keeps what it runs in the status too, which is no subresource: whoever may write a Workflow may write it.

use serde_json::{Value, json};

use crate::fixture::{Fixture, PERSON, placed, with_meta};
use crate::kinds::{kinds, make_namespace, policy, refused};
use crate::webhook::Api;
use crate::webhook::team::enforce;

const CONTROLLER: &str = "system:serviceaccount:argo:argo";

/// A governed namespace with all that the Workflow of the fixture refers to; that Workflow, and a person.
fn governed(namespace: &str) -> (Value, Api) {
    let rig = &kinds().rig;
    let fixture = Fixture::read("workflow").unwrap();
    make_namespace(&rig.api, namespace);
    for object in &fixture.cluster {
        rig.api.create(&placed(object, namespace));
    }
    enforce(rig, policy(fixture.policy, namespace), namespace);
    (placed(&fixture.object, namespace), rig.api.almighty(PERSON))
}

/// What a person might say of it: another spec, other templates, a filter that is done.
fn lies(workflow: &Value) -> Vec<Value> {
    let mut spec = workflow["spec"].clone();
    spec["serviceAccountName"] = json!("other");
    let node = json!({"id": "x", "name": "x", "type": "Pod", "phase": "Succeeded"});
    vec![
        json!({"storedWorkflowTemplateSpec": spec}),
        json!({"storedTemplates": {"namespaced/a/b": {"name": "b", "container": {"image": "other"}}}}),
        json!({"nodes": {"x": node}}),
        json!({"phase": "Running", "nodes": {"x": node}}),
    ]
}

#[test]
fn attack_03_a_status_of_ones_own() {
    let namespace = "attack-03";
    let (workflow, person) = governed(namespace);
    let controller = kinds().rig.api.almighty(CONTROLLER);
    let opaque = ["WorkloadOpaque status".to_owned()];
    for (status, i) in lies(&workflow).into_iter().zip(0..) {
        let name = format!("created-{i}");
        let named = with_meta(workflow.clone(), "name", json!(name));
        let mut with = named.clone();
        with["status"] = status.clone();
        refused("create", &person.create(&with), 422, &opaque);
        refused("apply", &person.apply(&with), 422, &opaque);

        // Nor later, by whatever verb.
        let stored = person.create(&named).admitted();
        let patch = json!({"status": status});
        refused("merge", &person.merge(&named, &patch), 403, &opaque);
        let add = json!([{"op": "add", "path": "/status", "value": status}]);
        refused("JSON patch", &person.json_patch(&named, &add), 403, &opaque);
        let mut put = stored.clone();
        put["status"] = status.clone();
        refused("put", &person.replace(&put), 403, &opaque);
        refused("apply", &person.apply(&with), 403, &opaque);
        let now = person.get(&named).admitted();
        assert_eq!(
            now["metadata"]["resourceVersion"],
            stored["metadata"]["resourceVersion"]
        );

        // The controller's is its own, and once written a person may still do anything else, as `argo stop` does.
        controller.merge(&named, &patch).admitted();
        person
            .merge(&named, &json!({"spec": {"shutdown": "Stop"}}))
            .admitted();
        person
            .merge(&named, &json!({"metadata": {"labels": {"team": "a"}}}))
            .admitted();
        // Another status in the place of the controller's is a person's again.
        let retry = json!({"status": {"phase": "Running", "nodes": {"x": null, "y": {"id": "y", "phase": "Succeeded"}}}});
        refused("retry", &person.merge(&named, &retry), 403, &opaque);
    }
}

/// The account that Argo has in its own namespace is one that whoever administers that namespace can be.
#[test]
fn attack_03_an_account_of_the_own_namespace() {
    let namespace = "attack-03-own";
    let (workflow, person) = governed(namespace);
    person.create(&workflow).admitted();
    let own = kinds()
        .rig
        .api
        .almighty(&format!("system:serviceaccount:{namespace}:argo"));
    for status in lies(&workflow) {
        let patch = json!({"status": status});
        refused(
            "merge",
            &own.merge(&workflow, &patch),
            403,
            &["WorkloadOpaque status".to_owned()],
        );
    }
}

/// A pod that Argo would take for that of the filter's node.
#[test]
fn attack_05_a_pod_with_a_node_id() {
    let namespace = "attack-05-node";
    let (workflow, person) = governed(namespace);
    let stored = person.create(&workflow).admitted();
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": "stand-in",
            "annotations": {"workflows.argoproj.io/node-id": "finetune-1", "workflows.argoproj.io/node-name": "finetune.filter"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox", "command": ["true"]}]},
    });
    let key = "OwnerUnverified metadata.annotations[workflows.argoproj.io/node-id]";
    refused("keys", &person.create(&pod), 422, &[key.to_owned()]);
    pod["metadata"]["annotations"].take();
    pod["metadata"]["labels"] = json!({"workflows.argoproj.io/workflow": workflow["metadata"]["name"]});
    let key = "OwnerUnverified metadata.labels[workflows.argoproj.io/workflow]";
    refused("label", &person.create(&pod), 422, &[key.to_owned()]);
    pod["metadata"]["labels"].take();
    let owned = crate::fixture::child_of(&pod, &stored);
    let owner = "OwnerUnverified metadata.ownerReferences";
    refused("owner", &person.create(&owned), 422, &[owner.to_owned()]);
}
