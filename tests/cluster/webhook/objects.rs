//! What tests submit: the smallest objects of each kind, as values to change.

use serde_json::{Value, json};

/// People in Germany, France and the US: paused.
pub const PAUSED: &str = "member-posts-2024";

/// People in the US, Canada and Australia, and the record lists the filter.
pub const FINE: &str = "member-posts-us-2026-01";

/// The same people, and nothing was filtered.
pub const RAW: &str = "member-posts-us-raw";

/// The image that policies of tests trust to be the opt-out filter.
pub const FILTER: &str = "registry.example.com/opt-out-filter@sha256:5ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea1";

/// Any other.
pub const TRAINER: &str = "registry.example.com/llm-trainer:2.4";

pub const DATASETS: &str = "datagate.dev/datasets";
pub const PURPOSE: &str = "datagate.dev/purpose";

/// The finding on paused data that an annotation of the object names.
pub const REGION_PAUSED: &str = "RegionPaused metadata.annotations[datagate.dev/datasets]";

/// The finding on an object that says nothing.
pub const UNDECLARED: &str = "DataUndeclared metadata.annotations[datagate.dev/datasets]";

/// A pod spec that trains on a GPU.
pub fn pod_spec() -> Value {
    json!({
        "restartPolicy": "Never",
        "containers": [{"name": "train", "image": TRAINER, "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
    })
}

/// A pod spec without anything that would be governed by itself.
pub fn plain_spec() -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.example.com/app:1"}]})
}

fn metadata(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name})
}

pub fn pod(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(namespace, name), "spec": pod_spec()})
}

pub fn job(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(namespace, name),
        "spec": {"template": {"spec": pod_spec()}},
    })
}

pub fn cron_job(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(namespace, name),
        "spec": {
            "schedule": "@every 1s",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": {"spec": pod_spec()}}},
        },
    })
}

/// A Deployment, ReplicaSet, StatefulSet or DaemonSet.
pub fn replicated(kind: &str, namespace: &str, name: &str) -> Value {
    let mut spec = pod_spec();
    spec["restartPolicy"] = json!("Always");
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata(namespace, name),
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    });
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(1);
    }
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}

/// Declares data and the purpose of generative training on the object itself.
pub fn declare(mut object: Value, datasets: &str) -> Value {
    object["metadata"]["annotations"] = json!({PURPOSE: "GenerativeAITraining", DATASETS: datasets});
    object
}

/// The pod spec inside an object.
pub fn spec_of(object: &mut Value) -> &mut Value {
    let path = match object["kind"].as_str().unwrap() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "PodTemplate" => "/template/spec",
        _ => "/spec/template/spec",
    };
    object.pointer_mut(path).unwrap()
}

/// Puts a step before training.
pub fn with_filter(mut object: Value, image: &str) -> Value {
    spec_of(&mut object)["initContainers"] = json!([{"name": "opt-out", "image": image}]);
    object
}

/// A record of members' data.
pub fn record(name: &str, regions: &[&str]) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetRecord",
        "metadata": {"name": name},
        "spec": {
            "sourceCategory": "UserData",
            "personalData": "Present",
            "dataSubjects": {"regions": regions, "minimumAge": 18},
            "dataCategories": ["PublicPosts"],
        },
    })
}

/// The policy of the case that shaped datagate, for one namespace.
pub fn policy(name: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetPolicy",
        "metadata": {"name": name},
        "spec": {
            "validationActions": ["Deny"],
            "undeclared": "Deny",
            "workloads": "Accelerated",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "contact": "Slack #data-governance",
            "pauses": [{
                "name": "eea-uk-ch",
                "match": {
                    "regions": ["EEA", "GB", "CH"],
                    "sourceCategories": ["UserData"],
                    "purposes": ["GenerativeAITraining"],
                },
                "effectiveFrom": "2024-09-18T00:00:00Z",
            }],
            "requirements": [{
                "name": "members",
                "match": {"sourceCategories": ["UserData"], "purposes": ["GenerativeAITraining"], "regions": ["CA"]},
                "steps": [{"type": "OptOutFilter", "acceptedEvidence": ["TrustedImage", "Catalogued"]}],
            }],
            "trust": {"images": [{"stepType": "OptOutFilter", "image": FILTER}]},
        },
    })
}
