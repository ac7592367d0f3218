//! `apps/v1` Deployment, ReplicaSet, StatefulSet and DaemonSet, and `v1` ReplicationController: a count and a template.

use serde::Deserialize;

use super::accounts::{LWS, NOTEBOOKS, TEKTON};
use super::leaf::Count;
use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Edge, Info, Kind};
use crate::draft::Draft;

/// An object of any of these kinds.
#[derive(Debug, Deserialize)]
pub struct Replicated<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: ReplicatedSpec<'a>,
}

/// Their common spec.
#[derive(Debug, Default, Deserialize)]
pub struct ReplicatedSpec<'a> {
    #[serde(default)]
    replicas: Count,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

fn draft<'a>(object: Replicated<'a>, d: &mut Draft<'a, '_>) {
    d.object(object.metadata);
    d.held(object.spec.replicas == Count::Of(0));
    let at = d.field(d.root(), "spec.template");
    d.only_pod(object.spec.template, at, object.spec.replicas.runs());
}

/// Declares a kind with a count and a template.
macro_rules! replicated {
    ($($(#[$doc:meta])* $name:ident = $group:literal $kind:literal $plural:literal, creators $creators:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Kind for $name {
            const INFO: Info = Info { creators: $creators, ..Info::new($group, $kind, $plural, &["v1"]) };
            type Object<'a> = Replicated<'a>;

            fn draft<'a>(object: Replicated<'a>, d: &mut Draft<'a, '_>) {
                draft(object, d);
            }
        }
    )+};
}

replicated! {
    /// `apps/v1` Deployment.
    DeploymentKind = "apps" "Deployment" "deployments", creators &[];
    /// `apps/v1` ReplicaSet.
    ReplicaSetKind = "apps" "ReplicaSet" "replicasets",
        creators &[Edge::of("apps", "Deployment", &["kube-system:deployment-controller"])];
    /// `apps/v1` StatefulSet.
    StatefulSetKind = "apps" "StatefulSet" "statefulsets",
        creators &[
            Edge::of("leaderworkerset.x-k8s.io", "LeaderWorkerSet", LWS),
            // The workers belong to the pod of their leader.
            Edge::of("", "Pod", LWS),
            Edge::of("kubeflow.org", "Notebook", NOTEBOOKS),
            // The affinity assistant: it keeps the pods that share a volume on one node.
            Edge::of("tekton.dev", "PipelineRun", TEKTON),
        ];
    /// `apps/v1` DaemonSet. It has no count.
    DaemonSetKind = "apps" "DaemonSet" "daemonsets", creators &[];
    /// `v1` ReplicationController.
    ReplicationControllerKind = "" "ReplicationController" "replicationcontrollers",
        creators &[];
}
