//! What the API servers of a cluster serve besides custom resources, from the aggregated discovery document.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Kind;
use super::schema::Seen;

/// What to ask for: one document for all groups.
pub const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The built-in kinds with a pod template: group, kind, resource, where the containers are.
const BUILT_IN: [(&str, &str, &str, &str); 9] = [
    ("", "Pod", "pods", "spec.containers"),
    ("", "PodTemplate", "podtemplates", "template.spec.containers"),
    (
        "",
        "ReplicationController",
        "replicationcontrollers",
        "spec.template.spec.containers",
    ),
    ("apps", "DaemonSet", "daemonsets", "spec.template.spec.containers"),
    (
        "apps",
        "Deployment",
        "deployments",
        "spec.template.spec.containers",
    ),
    (
        "apps",
        "ReplicaSet",
        "replicasets",
        "spec.template.spec.containers",
    ),
    (
        "apps",
        "StatefulSet",
        "statefulsets",
        "spec.template.spec.containers",
    ),
    (
        "batch",
        "CronJob",
        "cronjobs",
        "spec.jobTemplate.spec.template.spec.containers",
    ),
    ("batch", "Job", "jobs", "spec.template.spec.containers"),
];

/// The other groups of kube-apiserver itself, and those of the usual metrics servers: no pods in them.
const WITHOUT_PODS: [&str; 25] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "custom.metrics.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "external.metrics.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "metrics.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// The document.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Discovery {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Clone, Debug, Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Named,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Named {
    /// None in the core group.
    #[serde(default)]
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Clone, Debug, Deserialize)]
struct Resource {
    resource: String,
}

impl Discovery {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// If it is no JSON of that form.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The built-in kinds with a pod template that are served.
    pub fn built_in(&self) -> impl Iterator<Item = Kind> + '_ {
        BUILT_IN.into_iter().filter_map(|(group, kind, plural, place)| {
            let found = self.items.iter().find(|it| it.metadata.name == group)?;
            let serves = |it: &&Version| it.resources.iter().any(|it| it.resource == plural);
            let versions: Vec<String> = found
                .versions
                .iter()
                .filter(serves)
                .map(|it| it.version.clone())
                .collect();
            (!versions.is_empty()).then(|| Kind {
                group: group.to_owned(),
                kind: kind.to_owned(),
                plural: plural.to_owned(),
                namespaced: true,
                versions,
                seen: Seen {
                    places: vec![place.to_owned()],
                    ..Seen::default()
                },
            })
        })
    }

    /// What cannot be looked into: groups whose API server does not answer, and groups that another API server than
    /// Kubernetes' own serves, whose schemas are not in the list of CRDs. `custom` are the groups of that list.
    #[must_use]
    pub fn unseen(&self, custom: &BTreeSet<String>) -> Vec<String> {
        let mut unseen = Vec::new();
        for group in &self.items {
            let name = group.metadata.name.as_str();
            let stale = group.versions.iter().filter(|it| it.freshness == "Stale");
            let stale: Vec<&str> = stale.map(|it| it.version.as_str()).collect();
            if !stale.is_empty() {
                let versions = stale.join(", ");
                unseen.push(format!(
                    "{name} {versions}: its API server does not answer. See `kubectl get apiservices`"
                ));
            } else if !name.is_empty() && !custom.contains(name) && !WITHOUT_PODS.contains(&name) {
                unseen.push(format!(
                    "{name}: served by an API server of its own, whose schemas are not looked at"
                ));
            }
        }
        unseen
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn group(name: &str, freshness: &str, resources: &[&str]) -> Value {
        let resources: Vec<Value> = resources
            .iter()
            .map(|it| json!({"resource": it, "scope": "Namespaced"}))
            .collect();
        let version = json!({"version": "v1", "freshness": freshness, "resources": resources});
        json!({"metadata": {"name": name}, "versions": [version]})
    }

    fn discovery(groups: &[Value]) -> Discovery {
        Discovery::read(&json!({"kind": "APIGroupDiscoveryList", "items": groups}).to_string()).unwrap()
    }

    #[test]
    fn built_in_kinds_are_those_that_are_served() {
        let served = discovery(&[
            json!({"metadata": {}, "versions": [{"version": "v1", "resources": [{"resource": "pods"}]}]}),
            group("batch", "Current", &["jobs"]),
            group("example.com", "Current", &["deployments"]),
        ]);
        let kinds: Vec<Kind> = served.built_in().collect();
        let kinds: Vec<_> = kinds.iter().map(|it| (&*it.kind, it.versions.concat())).collect();
        assert_eq!(kinds, [("Pod", "v1".to_owned()), ("Job", "v1".to_owned())]);
    }

    #[test]
    fn groups_of_others_are_told() {
        let served = discovery(&[
            group("batch", "Current", &[]),
            group("custom.example.com", "Current", &[]),
            group("apps.openshift.io", "Current", &["deploymentconfigs"]),
            group("metrics.k8s.io", "Stale", &[]),
        ]);
        let unseen = served.unseen(&["custom.example.com".to_owned()].into());
        assert_eq!(
            unseen,
            [
                "apps.openshift.io: served by an API server of its own, whose schemas are not looked at",
                "metrics.k8s.io v1: its API server does not answer. See `kubectl get apiservices`",
            ]
        );
    }
}
