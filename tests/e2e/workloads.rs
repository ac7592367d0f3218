//! What the run submits: governed and plain workloads that really run, the policy and its records.

use datagate_env::NodeCluster;
use serde_json::{Value, json};

/// The team that trains.
pub const TEAM: &str = "ml";
/// The namespace of the load.
pub const LOAD: &str = "load";

/// People of a region that is paused.
pub const PAUSED: &str = "posts-europe";
/// People of Canada, who may opt out.
pub const CANADA: &str = "posts-canada";
/// People of the US, whom nothing is said of.
pub const FREE: &str = "posts-us";

/// Where the filter leaves what the trainer wants.
const SHARED: &str = "/data/filtered";

fn record(name: &str, region: &str) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetRecord",
        "metadata": {"name": name},
        "spec": {
            "sourceCategory": "UserData",
            "personalData": "Present",
            "dataSubjects": {"regions": [region], "minimumAge": 18},
            "dataCategories": ["PublicPosts"],
        },
    })
}

pub fn records() -> [Value; 3] {
    [record(PAUSED, "DE"), record(CANADA, "CA"), record(FREE, "US")]
}

/// The policy; `filter` is the image that is trusted to filter.
pub fn policy(filter: &str) -> Value {
    json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetPolicy",
        "metadata": {"name": "members"},
        "spec": {
            "validationActions": ["Deny"],
            "undeclared": "Deny",
            "workloads": "Accelerated",
            "namespaceSelector": {"matchExpressions":
                [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": [TEAM, LOAD]}]},
            "pauses": [{
                "name": "eea",
                "match": {"regions": ["EEA"], "sourceCategories": ["UserData"], "purposes": ["GenerativeAITraining"]},
            }],
            "requirements": [{
                "name": "canada",
                "match": {"regions": ["CA"], "sourceCategories": ["UserData"], "purposes": ["GenerativeAITraining"]},
                "steps": [{"type": "OptOutFilter", "acceptedEvidence": ["TrustedImage"]}],
            }],
            "trust": {"images": [{"stepType": "OptOutFilter", "image": filter, "args": ["filter", SHARED]}]},
        },
    })
}

/// A container of the image that every node has.
fn container(name: &str, image: &str, step: &str) -> Value {
    json!({
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [step, SHARED],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    })
}

/// A Job that trains on a GPU on this dataset, if it says so, after the filter, if there is one.
pub fn training(namespace: &str, name: &str, dataset: Option<&str>, filter: Option<&str>) -> Value {
    let mut trainer = container("train", NodeCluster::STEP_IMAGE, "train");
    trainer["resources"] = json!({"limits": {"nvidia.com/gpu": "1"}});
    let filters: Vec<Value> = filter
        .iter()
        .map(|image| container("opt-out", image, "filter"))
        .collect();
    let annotations = match dataset {
        Some(dataset) => {
            json!({"datagate.dev/purpose": "GenerativeAITraining", "datagate.dev/datasets": dataset})
        }
        None => json!({}),
    };
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "securityContext": {"fsGroup": 65532},
            "initContainers": filters,
            "containers": [trainer],
            "volumes": [{"name": "data", "emptyDir": {}}],
        }}},
    })
}

/// The same, every second.
pub fn nightly(name: &str, dataset: &str, filter: &str) -> Value {
    let job = training(TEAM, name, Some(dataset), Some(filter));
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": job["metadata"],
        "spec": {
            "schedule": "@every 1s",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": job["spec"]},
        },
    })
}

fn idle() -> Value {
    json!({
        // Who has PID 1 and no handler for it does not hear SIGTERM.
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "main", "image": NodeCluster::STEP_IMAGE, "imagePullPolicy": "IfNotPresent"}],
    })
}

/// A pod that nobody governs.
pub fn plain_pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name},
        "spec": idle(),
    })
}

/// A Deployment or DaemonSet that nobody governs.
pub fn plain(kind: &str, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": idle()},
        },
    })
}
