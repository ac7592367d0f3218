//! `apps/v1` Deployment, ReplicaSet, StatefulSet and DaemonSet, and `v1` ReplicationController: a count and a template.

use serde::Deserialize;

use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Edge, Info, Kind, Scope};
use crate::draft::Draft;
use crate::submission::{Runs, Void};

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
    replicas: Option<i64>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

fn draft<'a>(object: Replicated<'a>, d: &mut Draft<'a, '_>) {
    d.object(object.metadata);
    let none = object.spec.replicas == Some(0);
    d.held(none, d.root(), "spec.replicas");
    let at = d.field(d.root(), "spec.template");
    d.only_pod(
        object.spec.template,
        at,
        if none {
            Runs::Maybe(Void::ZeroReplicas)
        } else {
            Runs::Once
        },
    );
}

/// Declares a kind with a count and a template.
macro_rules! replicated {
    ($($(#[$doc:meta])* $name:ident = $group:literal $kind:literal $plural:literal, creators $creators:expr, holds $holds:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Kind for $name {
            const INFO: Info = Info {
                group: $group,
                kind: $kind,
                plural: $plural,
                versions: &["v1"],
                scope: Scope::Namespaced,
                trains: false,
                subresources: &[],
                creators: $creators,
                holds: $holds,
            };
            type Object<'a> = Replicated<'a>;

            fn draft<'a>(object: Replicated<'a>, d: &mut Draft<'a, '_>) {
                draft(object, d);
            }
        }
    )+};
}

replicated! {
    /// `apps/v1` Deployment.
    DeploymentKind = "apps" "Deployment" "deployments", creators &[], holds &["spec.replicas"];
    /// `apps/v1` ReplicaSet.
    ReplicaSetKind = "apps" "ReplicaSet" "replicasets",
        creators &[Edge::of("apps", "Deployment", "deployment-controller")], holds &["spec.replicas"];
    /// `apps/v1` StatefulSet.
    StatefulSetKind = "apps" "StatefulSet" "statefulsets", creators &[], holds &["spec.replicas"];
    /// `apps/v1` DaemonSet. It has no count.
    DaemonSetKind = "apps" "DaemonSet" "daemonsets", creators &[], holds &[];
    /// `v1` ReplicationController.
    ReplicationControllerKind = "" "ReplicationController" "replicationcontrollers",
        creators &[], holds &["spec.replicas"];
}
