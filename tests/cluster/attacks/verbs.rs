//! The same violation by every verb.

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{
    DATASETS, FINE, PAUSED, REGION_PAUSED, UNDECLARED, cron_job, declare, job, pod, replicated,
};

/// One object of each kind.
fn all(namespace: &str) -> Vec<Value> {
    let mut cron = cron_job(namespace, "cronjob");
    cron["spec"]["suspend"] = json!(true);
    let mut all = vec![pod(namespace, "pod"), job(namespace, "job"), cron];
    for kind in ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"] {
        all.push(replicated(kind, namespace, &kind.to_lowercase()));
    }
    let mut controller = replicated("ReplicationController", namespace, "replicationcontroller");
    controller["apiVersion"] = json!("v1");
    controller["spec"]["selector"] = json!({"app": "replicationcontroller"});
    let template = json!({
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"namespace": namespace, "name": "podtemplate"},
        "template": replicated("DaemonSet", namespace, "x")["spec"]["template"],
    });
    all.extend([controller, template]);
    all
}

#[test]
fn b01_b11_b14_b29_b30_every_kind_by_every_verb() {
    let team = Team::governed("bypass-30");
    let api = &team.rig.api;
    for object in all(&team.name) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        // A template runs nothing, and whoever takes it says what for.
        if kind == "PodTemplate" {
            api.dry_run(&object).admitted();
        } else {
            api.create(&object).refused(422, &[UNDECLARED]);
        }
        let bad = declare(object.clone(), PAUSED);
        api.create(&bad).refused(422, &[REGION_PAUSED]);
        api.dry_run(&bad).refused(422, &[REGION_PAUSED]);
        api.apply(&bad).refused(422, &[REGION_PAUSED]);
        let mut generated = bad.clone();
        generated["metadata"]["name"].take();
        generated["metadata"]["generateName"] = json!("generated-");
        let answer = api.create(&generated);
        answer.refused(422, &[REGION_PAUSED]);
        let name = answer.body["details"]["name"].as_str().unwrap();
        assert!(
            name.starts_with("generated-") && name.len() == "generated-".len() + 5,
            "{kind}: {name}"
        );
        // PUT makes an object too, where the kind allows it.
        let put = api.replace(&bad);
        assert!(
            put.code == 404 || put.findings() == [REGION_PAUSED],
            "{kind}: {put:#?}"
        );

        let good = declare(object, FINE);
        let stored = api.create(&good).admitted();
        let merge = json!({"metadata": {"annotations": {DATASETS: PAUSED}}});
        let path = "/metadata/annotations/datagate.dev~1datasets";
        let replace = json!([{"op": "replace", "path": path, "value": PAUSED}]);
        let remove = json!([{"op": "remove", "path": path}]);
        api.merge(&good, &merge).refused(403, &[REGION_PAUSED]);
        api.strategic(&good, &merge).refused(403, &[REGION_PAUSED]);
        api.json_patch(&good, &replace).refused(403, &[REGION_PAUSED]);
        api.json_patch(&good, &remove).refused(403, &[UNDECLARED]);
        let mut put = stored.clone();
        put["metadata"]["annotations"][DATASETS] = json!(PAUSED);
        // Controllers write as well, so without the version that was read.
        put["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let mut put_answer = api.replace(&put);
        for _ in 0..10 {
            if put_answer.code != 409 {
                break;
            }
            put_answer = api.replace(&put);
        }
        put_answer.refused(403, &[REGION_PAUSED]);
        let mut applied = json!({
            "apiVersion": good["apiVersion"],
            "kind": good["kind"],
            "metadata": {"name": good["metadata"]["name"], "namespace": team.name, "annotations": {DATASETS: PAUSED}},
        });
        api.apply(&applied).refused(403, &[REGION_PAUSED]);
        applied["metadata"]["annotations"][DATASETS] = json!(FINE);
        api.apply(&applied).admitted();
        let kept = api.get(&good).admitted();
        assert_eq!(kept["metadata"]["annotations"][DATASETS], FINE, "{kind}");
        api.delete(&good, "Background").admitted();
    }
}

/// B08: nothing that its author writes on an object takes it out.
#[test]
fn b08_no_label_exempts() {
    let team = Team::governed("bypass-08");
    let mut object = pod(&team.name, "train");
    object["metadata"]["labels"] = json!({
        "control-plane": "datagate",
        "app.kubernetes.io/name": "datagate",
        "datagate.dev/ignore": "true",
        "admission.gatekeeper.sh/ignore": "true",
        "datagate.dev/workloads": "None",
    });
    let keys =
        ["ignore", "workloads"].map(|key| format!("DeclarationInvalid metadata.labels[datagate.dev/{key}]"));
    let answer = team.rig.api.create(&object);
    // Keys that do not exist are told in the place of what is missing.
    answer.refused(422, &[&keys[0], &keys[1]]);
    let configuration = team
        .rig
        .api
        .get_path("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/datagate")
        .admitted();
    for webhook in configuration["webhooks"].as_array().unwrap() {
        assert_eq!(webhook["objectSelector"], json!({}), "{webhook:#?}");
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["sideEffects"], "None");
    }
}
