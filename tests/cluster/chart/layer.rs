//! The second layer: what the API server refuses by itself, with nobody behind the webhook, and without the webhook.

use datagate_env::{Options, stdout_of};
use serde_json::{Value, json};

use super::CONFIGURATIONS;
use crate::rig::install_third_party;
use crate::webhook::objects::{cron_job, declare, job, plain_spec, pod, replicated, spec_of};
use crate::webhook::{Answer, Api, RELEASE, SOON, SYSTEM, control_plane, repository};

#[track_caller]
fn refused(what: &str, answer: &Answer) {
    let text = answer.text();
    assert_eq!(answer.code, 422, "{what}: {text}");
    assert!(
        text.contains("ValidatingAdmissionPolicy 'datagate-second-layer'"),
        "{what}: {text}"
    );
    assert!(
        text.contains("does not say which data it uses. Add the annotation datagate.dev/datasets"),
        "{what}: {text}"
    );
    assert!(text.contains("[DataUndeclared]"), "{what}: {text}");
}

fn plain(mut object: Value) -> Value {
    let mut spec = plain_spec();
    spec["restartPolicy"] = spec_of(&mut object)["restartPolicy"].clone();
    *spec_of(&mut object) = spec;
    object
}

/// The same, and it asks for no accelerator.
fn without_accelerator(object: &Value) -> Value {
    let mut plain = object.clone();
    spec_of(&mut plain)["containers"][0]["resources"] = json!({});
    plain
}

fn pytorch(name: &str, metadata: &Value) -> Value {
    let mut replica = json!({"replicas": 1, "template": {"spec": plain_spec()}});
    replica["template"]["metadata"] = metadata.clone();
    json!({
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"namespace": "team", "name": name},
        "spec": {"pytorchReplicaSpecs": {"Worker": replica}},
    })
}

#[test]
fn undeclared_training_is_refused_without_the_webhook() {
    let cluster = control_plane(&Options::default());
    install_third_party(&cluster);
    let api = Api::new(&cluster);
    for name in ["team", "gpu-operator", "elsewhere"] {
        cluster.create_namespace(name).unwrap();
    }
    let defaults = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "defaults", "annotations": {"datagate.dev/datasets": "posts"}}});
    api.create(&defaults).admitted();
    // They stood there before.
    let mut early = job("team", "early");
    early["spec"]["suspend"] = json!(true);
    api.create(&early).admitted();
    let early_plain = plain(replicated("Deployment", "team", "early-plain"));
    api.create(&early_plain).admitted();

    let chart = repository("charts/datagate");
    let mut install = cluster.helm([
        "install",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM,
        "--create-namespace",
    ]);
    install.args([
        "--set",
        "secondLayer.enabled=true",
        "--set",
        "excludedNamespaces={gpu-operator}",
    ]);
    install.args([
        "--set",
        "secondLayer.namespaceSelector.matchExpressions[0].key=kubernetes.io/metadata.name",
    ]);
    install.args([
        "--set",
        "secondLayer.namespaceSelector.matchExpressions[0].operator=NotIn",
    ]);
    install.args([
        "--set",
        "secondLayer.namespaceSelector.matchExpressions[0].values={elsewhere}",
    ]);
    install.args([
        "--set",
        "controllerAccounts={RayCluster.ray.io/Pod=system:serviceaccount:ml:ray}",
    ]);
    stdout_of(&mut install).unwrap();
    // Every replica is down; what is left of the webhook would only refuse too, so it goes as well.
    let webhook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": RELEASE}});
    let answered = |object: &Value, code: u16| {
        cluster
            .wait_until("the answer changes", SOON, || {
                (api.dry_run(object).code == code).then_some(())
            })
            .unwrap();
    };
    answered(&job("team", "probe"), 422);
    refused("with a dead webhook", &api.dry_run(&job("team", "probe")));
    api.delete(&webhook, "Background").admitted();
    assert_eq!(api.get_path(&format!("{CONFIGURATIONS}/{RELEASE}")).code, 404);
    answered(&declare(job("team", "probe"), "posts"), 201);

    for object in [
        pod("team", "x"),
        job("team", "x"),
        cron_job("team", "x"),
        replicated("Deployment", "team", "x"),
        replicated("ReplicaSet", "team", "x"),
        replicated("StatefulSet", "team", "x"),
        replicated("DaemonSet", "team", "x"),
    ] {
        let kind = object["kind"].as_str().unwrap().to_owned();
        refused(&kind, &api.create(&object));
        // A purpose alone says nothing about data.
        let mut purpose = object.clone();
        purpose["metadata"]["labels"] = json!({"datagate.dev/purpose": "AITraining"});
        refused(&kind, &api.dry_run(&purpose));
        api.dry_run(&declare(object.clone(), "posts")).admitted();
        let mut by_env = object.clone();
        spec_of(&mut by_env)["containers"][0]["env"] = json!([{"name": "DATAGATE_REGIONS", "value": "US"}]);
        api.dry_run(&by_env).admitted();
        api.create(&plain(object)).admitted();
    }
    let mut template = job("team", "by-template");
    template["spec"]["template"]["metadata"] = json!({"annotations": {"datagate.dev/datasets": "none"}});
    api.dry_run(&template).admitted();
    for namespace in ["defaults", "gpu-operator", "elsewhere", "kube-system", SYSTEM] {
        api.dry_run(&job(namespace, "x")).admitted();
    }

    // Kinds that exist for training need no accelerator.
    refused("PyTorchJob", &api.create(&pytorch("bare", &json!({}))));
    api.create(&declare(pytorch("declared", &json!({})), "posts"))
        .admitted();
    let annotated = json!({"annotations": {"datagate.dev/datasets": "posts"}});
    api.create(&pytorch("by-replica", &annotated)).admitted();

    // What controllers make of what was admitted passes, though it says nothing itself.
    let admitted = declare(job("team", "admitted"), "posts");
    api.create(&admitted).admitted();
    let mut deployed = declare(replicated("Deployment", "team", "deployed"), "posts");
    deployed["spec"]["template"]["metadata"]["annotations"] = json!({});
    api.create(&deployed).admitted();
    let mut cron = declare(cron_job("team", "cron"), "posts");
    cron["spec"]["schedule"] = json!("@every 1s");
    api.create(&cron).admitted();
    let pods = |owner: &str| {
        let list = api.get_path("/api/v1/namespaces/team/pods").admitted();
        let items = list["items"].as_array().unwrap().iter();
        items
            .filter(|it| {
                it["metadata"]["ownerReferences"][0]["name"]
                    .as_str()
                    .is_some_and(|it| it.starts_with(owner))
            })
            .count()
    };
    for owner in ["admitted", "deployed", "cron"] {
        cluster
            .wait_until(&format!("a pod of {owner}"), SOON, || {
                (pods(owner) > 0).then_some(())
            })
            .unwrap();
    }
    // A user who only says that a controller owns it is believed no more than that.
    let owned = |kind: &str, version: &str| {
        let mut object = pod("team", "owned");
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": version, "kind": kind, "name": "admitted", "controller": true,
            "uid": "7c1e0f3a-0000-4000-8000-000000000000",
        }]);
        object
    };
    refused("forged", &api.dry_run(&owned("Job", "batch/v1")));
    let account = |name: &str| api.almighty(&format!("system:serviceaccount:{name}"));
    refused(
        "made by an account of the namespace",
        &account("team:default").dry_run(&owned("Job", "batch/v1")),
    );
    account("kube-system:job-controller")
        .dry_run(&owned("Job", "batch/v1"))
        .admitted();
    account("ray-system:kuberay-operator")
        .dry_run(&owned("RayCluster", "ray.io/v1"))
        .admitted();
    account("ml:ray")
        .dry_run(&owned("RayCluster", "ray.io/v1"))
        .admitted();
    refused(
        "an operator without an owner",
        &account("ml:ray").dry_run(&pod("team", "unowned")),
    );

    // As much as an object can hold is within what an expression may cost; less of it can be stored, with who owns it.
    let large = |variables: usize| {
        let mut large = job("team", "large");
        spec_of(&mut large)["containers"][0]["env"] = (0..variables)
            .map(|i| json!({"name": format!("VARIABLE_{i}"), "value": "x"}))
            .collect();
        large
    };
    let largest = large(30_000);
    refused("largest", &api.dry_run(&largest));
    api.dry_run(&without_accelerator(&largest)).admitted();
    api.dry_run(&declare(largest, "posts")).admitted();
    let large = declare(large(8_000), "posts");
    api.create(&large).admitted();
    api.merge(&large, &json!({"metadata": {"labels": {"a": "b"}}}))
        .admitted();
    refused(
        "large, undeclared",
        &api.merge(&large, &json!({"metadata": {"annotations": null}})),
    );

    // What is there is changed, finished and removed as ever; only a declaration cannot be taken away.
    api.merge(&early, &json!({"spec": {"suspend": false}})).admitted();
    api.merge(&early, &json!({"metadata": {"labels": {"a": "b"}}}))
        .admitted();
    refused(
        "a plain Deployment that asks for a GPU",
        &api.strategic(&early_plain, &json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}}})),
    );
    let undeclared = json!({"metadata": {"annotations": {"datagate.dev/datasets": null}}});
    refused("a declaration that goes", &api.merge(&admitted, &undeclared));
    api.merge(
        &admitted,
        &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
    )
    .admitted();
    api.merge(&admitted, &json!({"metadata": {"finalizers": null}}))
        .admitted();
    for object in [&early, &admitted, &deployed, &cron] {
        let deleted = api.delete(object, "Background");
        assert!([200, 202].contains(&deleted.code), "{deleted:#?}");
    }

    // No expression of it is wrong for any kind.
    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/datagate-second-layer";
    let status = cluster
        .wait_until("the policy is checked", SOON, || {
            let policy = api.get_path(path).admitted();
            let seen = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            seen.then(|| policy["status"].clone())
        })
        .unwrap();
    assert_eq!(
        status["typeChecking"].get("expressionWarnings"),
        None,
        "{status:#}"
    );
}

#[test]
fn where_nothing_is_refused_it_refuses_nothing() {
    let cluster = &crate::webhook::rig().cluster;
    let chart = repository("charts/datagate");
    let template = |set: &str| {
        let text = super::helm(
            cluster,
            &[
                "template",
                RELEASE,
                &chart,
                "--show-only",
                "templates/secondlayer.yaml",
                "--set",
                "secondLayer.enabled=true",
                "--set",
                set,
            ],
        );
        let objects = serde_saphyr::from_multiple::<Value>(&text).unwrap();
        let binding = objects
            .iter()
            .find(|it| it["kind"] == "ValidatingAdmissionPolicyBinding");
        binding.unwrap()["spec"]["validationActions"].clone()
    };
    assert_eq!(template("mode=Enforce"), json!(["Deny"]));
    assert_eq!(template("mode=Observe"), json!(["Audit"]));
    assert_eq!(
        template("secondLayer.validationActions={Warn,Audit}"),
        json!(["Warn", "Audit"])
    );
}
