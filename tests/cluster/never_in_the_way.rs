//! What was admitted lives on, whatever rule comes later: it is finished, scaled, suspended, rolled and deleted.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use datagate_env::stdout_of;
use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{
    PAUSED, REGION_PAUSED, UNDECLARED, cron_job, declare, job, pod, pod_spec, replicated,
};

/// Both ways to be in the wrong, on one object of each kind, made before the policy came.
struct Old {
    team: Team,
    objects: Vec<Value>,
}

impl Old {
    fn new(name: &str) -> Self {
        let team = Team::new(name);
        let mut objects = Vec::new();
        for (suffix, datasets) in [("silent", None), ("paused", Some(PAUSED))] {
            let mut suspended = job(name, &format!("suspended-{suffix}"));
            suspended["spec"]["suspend"] = json!(true);
            let running = job(name, &format!("running-{suffix}"));
            let mut cron = cron_job(name, &format!("nightly-{suffix}"));
            cron["spec"]["schedule"] = json!("0 0 1 1 *");
            let alone = pod(name, &format!("alone-{suffix}"));
            let mut all = vec![suspended, running, cron, alone];
            for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
                all.push(replicated(
                    kind,
                    name,
                    &format!("{}-{suffix}", kind.to_lowercase()),
                ));
            }
            for mut object in all {
                if let Some(datasets) = datasets {
                    object = declare(object, datasets);
                }
                object["metadata"]["finalizers"] = json!(["example.com/hold"]);
                team.rig.api.create(&object).admitted();
                objects.push(object);
            }
        }
        for owner in [
            "running-silent",
            "running-paused",
            "statefulset-silent",
            "statefulset-paused",
        ] {
            team.child("pods", owner);
        }
        for owner in ["deployment-silent", "deployment-paused"] {
            let set = team.child("replicasets", owner);
            team.child("pods", set["metadata"]["name"].as_str().unwrap());
        }
        team.enforce(team.policy());
        Self { team, objects }
    }

    fn named(&self, name: &str) -> &Value {
        self.objects
            .iter()
            .find(|it| it["metadata"]["name"] == name)
            .unwrap()
    }
}

#[test]
fn old_objects_are_edited_scaled_and_deleted() {
    let old = Old::new("old");
    let (team, api) = (&old.team, &old.team.rig.api);
    for object in &old.objects {
        // A new one like it is refused.
        let mut again = object.clone();
        again["metadata"]["name"] = json!("again");
        let silent = object["metadata"]["name"].as_str().unwrap().ends_with("silent");
        api.create(&again)
            .refused(422, &[if silent { UNDECLARED } else { REGION_PAUSED }]);

        api.merge(object, &json!({"metadata": {"labels": {"team": "a"}}}))
            .admitted();
        api.merge(
            object,
            &json!({"metadata": {"annotations": {"example.com/note": "x"}}}),
        )
        .admitted();
        // As GitOps does it: the same again.
        api.apply(object).admitted();
    }
    let suffixes = ["silent", "paused"];
    for suffix in suffixes {
        let running = old.named(&format!("running-{suffix}"));
        api.merge(running, &json!({"spec": {"parallelism": 2}}))
            .admitted();
        api.merge(running, &json!({"spec": {"suspend": true}})).admitted();
        let nightly = old.named(&format!("nightly-{suffix}"));
        api.merge(nightly, &json!({"spec": {"schedule": "0 1 1 1 *"}}))
            .admitted();
        api.merge(nightly, &json!({"spec": {"suspend": true}})).admitted();
        let deployment = old.named(&format!("deployment-{suffix}"));
        for replicas in [3, 2, 0] {
            let command = [
                "scale".to_owned(),
                "--namespace=old".to_owned(),
                format!("deployment/deployment-{suffix}"),
                format!("--replicas={replicas}"),
            ];
            stdout_of(&mut team.rig.cluster.kubectl(command)).unwrap();
        }
        let resources = json!([{"name": "train", "resources": {"requests": {"cpu": "100m"}}}]);
        let template = json!({"spec": {"template": {"spec": {"containers": resources}}}});
        api.strategic(deployment, &template).admitted();
        for kind in ["deployment", "statefulset", "daemonset"] {
            let name = format!("{kind}/{kind}-{suffix}");
            let command = ["rollout", "restart", "--namespace=old", &name];
            stdout_of(&mut team.rig.cluster.kubectl(command)).unwrap();
        }
    }
    for object in &old.objects {
        api.delete(object, "Foreground").admitted();
        api.merge(object, &json!({"metadata": {"labels": {"team": "b"}}}))
            .admitted();
        // The garbage collector takes off its own meanwhile, and what it took off cannot be put back.
        let release = || {
            let mut finalizers = api.get(object).body["metadata"]["finalizers"].clone();
            finalizers
                .as_array_mut()
                .unwrap()
                .retain(|it| it != "example.com/hold");
            api.merge(object, &json!({"metadata": {"finalizers": finalizers}}))
        };
        let raced = "no new finalizers can be added";
        let what = "our finalizer is removed";
        team.until(what, release, |answer| !answer.text().contains(raced))
            .admitted();
    }
    team.rig.wait("everything is gone", || {
        let gone = |object: &Value| api.get(object).code == 404;
        old.objects.iter().all(gone).then_some(())
    });
}

#[test]
fn controllers_finish_what_runs() {
    let old = Old::new("old-finish");
    let (team, api) = (&old.team, &old.team.rig.api);
    for suffix in ["silent", "paused"] {
        let name = format!("running-{suffix}");
        let pod = team.child("pods", &name);
        api.patch_sub(&pod, "status", &json!({"status": {"phase": "Succeeded"}}))
            .admitted();
        // The controller takes its finalizer off the pod and writes the Job's status.
        let job = old.named(&name);
        team.rig.wait("the job is complete", || {
            let job = api.get(job).admitted();
            let conditions = job["status"]["conditions"].as_array()?.clone();
            conditions
                .iter()
                .find(|it| it["type"] == "Complete" && it["status"] == "True")
                .map(drop)
        });
        team.rig.wait("the pod has no finalizer", || {
            api.get(&pod).admitted()["metadata"]["finalizers"]
                .is_null()
                .then_some(())
        });
    }
    // A rollout of what says nothing goes on; a pause stops the new pods, and leaves the old ones.
    let restart = |name: &str| {
        let command = ["rollout", "restart", "--namespace=old-finish", name];
        stdout_of(&mut team.rig.cluster.kubectl(command)).unwrap();
    };
    let sets = |owner: &str| team.children("replicasets", owner);
    let pods = |set: &Value| team.children("pods", set["metadata"]["name"].as_str().unwrap());
    restart("deployment/deployment-silent");
    team.rig.wait("a pod of the new roll-out", || {
        let all = sets("deployment-silent");
        (all.len() == 2 && all.iter().all(|set| pods(set).len() == 1)).then_some(())
    });
    restart("deployment/deployment-paused");
    team.rig.wait("the old pod alone, and a refusal", || {
        let denied = team
            .decisions("ReplicaSet")
            .into_iter()
            .chain(team.decisions("Pod"))
            .any(|line| {
                let name = line["object"]["name"].as_str().unwrap_or_default();
                line["decision"] == "Denied" && name.starts_with("deployment-paused-")
            });
        let running: usize = sets("deployment-paused").iter().map(|set| pods(set).len()).sum();
        (denied && running == 1).then_some(())
    });
}

#[test]
fn a_namespace_is_deleted_with_all_that_is_in_it() {
    let old = Old::new("old-namespace");
    let (team, api) = (&old.team, &old.team.rig.api);
    for object in &old.objects {
        api.merge(object, &json!({"metadata": {"finalizers": null}}))
            .admitted();
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team.name}});
    api.delete(&namespace, "Background").admitted();
    // Nobody is there to say that the pods have stopped.
    team.rig.wait("the namespace is gone", || {
        let pods = api.get_path("/api/v1/namespaces/old-namespace/pods").body;
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let path = format!("/api/v1/namespaces/old-namespace/pods/{name}");
            api.delete_now(&path);
        }
        (api.get(&namespace).code == 404).then_some(())
    });
}

#[test]
fn the_cluster_itself_is_left_alone() {
    let team = Team::new("left-alone");
    let mut policy = team.policy();
    let both = json!(["kube-system", "left-alone"]);
    policy["spec"]["namespaceSelector"] = json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": both}]});
    policy["spec"]["workloads"] = json!("All");
    team.enforce(policy);
    let api = &team.rig.api;
    for object in [
        pod("kube-system", "device-plugin"),
        replicated("DaemonSet", "kube-system", "device-plugin"),
    ] {
        api.dry_run(&declare(object, PAUSED)).admitted();
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "left-alone", "labels": {"datagate.dev/x": "y"}}});
    api.create(&node).admitted();
    api.patch_sub(
        &node,
        "status",
        &json!({"status": {"capacity": {"nvidia.com/gpu": "8"}}}),
    )
    .admitted();
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x", "namespace": team.name}});
    api.create(&lease).admitted();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": team.name}, "data": {"pod": pod_spec().to_string()}});
    api.create(&map).admitted();
    api.delete(&node, "Background").admitted();

    // Nothing is asked about but workloads.
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/datagate";
    let configuration = api.get_path(path).admitted();
    let webhooks = configuration["webhooks"].as_array().unwrap();
    let rules = webhooks
        .iter()
        .flat_map(|webhook| webhook["rules"].as_array().unwrap());
    for rule in rules {
        assert_eq!(rule["operations"], json!(["CREATE", "UPDATE"]));
        if !["", "apps", "batch"].contains(&rule["apiGroups"][0].as_str().unwrap()) {
            continue;
        }
        for resource in rule["resources"].as_array().unwrap() {
            let resource = resource.as_str().unwrap();
            let known = [
                "pods",
                "pods/ephemeralcontainers",
                "podtemplates",
                "replicationcontrollers",
                "daemonsets",
                "deployments",
                "replicasets",
                "statefulsets",
                "cronjobs",
                "jobs",
            ];
            assert!(known.contains(&resource), "{resource}");
        }
    }
}
