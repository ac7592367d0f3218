//! `leaderworkerset.x-k8s.io` LeaderWorkerSet: groups of a leader and its workers, and the DisaggregatedSet of several.
//!
//! Workers never wait for the completion of a leader, at most for its readiness.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::accounts::LWS;
use super::leaf::{Count, List};
use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Edge, Info, Kind};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{Order, OrderId, Runs, Void};
use crate::text::Text;

/// For `docs/workloads.md`.
const PROOF: &str =
    "an init container in the leader's template and in the workers'; `LeaderReady` proves nothing";

/// `LeaderWorkerSetSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(default)]
    replicas: Count,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    startup_policy: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    leader_worker_template: Templates<'a>,
}

/// `LeaderWorkerTemplate`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Templates<'a> {
    #[serde(borrow, default)]
    leader_template: Option<PodTemplate<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    worker_template: PodTemplate<'a>,
    /// Mounted where a container asks for a volume of that name.
    #[serde(borrow, default)]
    volume_claim_templates: Option<&'a RawValue>,
}

impl<'a> Spec<'a> {
    fn draft(self, at: At, set: Runs, d: &mut Draft<'a, '_>) {
        d.held(self.replicas == Count::Of(0));
        let runs = self.replicas.runs().and(set);
        let at = d.field(at, "leaderWorkerTemplate");
        let templates = self.leader_worker_template;
        d.raw(templates.volume_claim_templates);
        let mut after = OrderId(0);
        // Without a template of its own the leader is one of the workers.
        if let Some(template) = templates.leader_template {
            let at = d.field(at, "leaderTemplate");
            let frame = d.pod(template, at);
            let leader = d.call(d.base(), "leader".into(), frame, OrderId(0), runs, at);
            if self.startup_policy.as_str() == "LeaderReady" {
                after = d.order(Order::Weak(leader, Void::ReadinessOnly));
            }
        }
        let at = d.field(at, "workerTemplate");
        let frame = d.pod(templates.worker_template, at);
        d.call(d.base(), "worker".into(), frame, after, runs, at);
    }
}

/// `leaderworkerset.x-k8s.io` LeaderWorkerSet.
#[derive(Debug)]
pub struct LeaderWorkerSetKind;

/// A LeaderWorkerSet.
#[derive(Debug, Deserialize)]
pub struct LeaderWorkerSet<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Spec<'a>,
}

impl Kind for LeaderWorkerSetKind {
    const INFO: Info = Info {
        creators: &[
            Edge::of("disaggregatedset.x-k8s.io", "DisaggregatedSet", LWS),
            // The data cache, made by an account of the user's namespace.
            Edge::by_own_account("trainer.kubeflow.org", "TrainJob"),
        ],
        proof: PROOF,
        ..Info::new(
            "leaderworkerset.x-k8s.io",
            "LeaderWorkerSet",
            "leaderworkersets",
            &["v1"],
        )
    };
    type Object<'a> = LeaderWorkerSet<'a>;

    fn draft<'a>(set: LeaderWorkerSet<'a>, d: &mut Draft<'a, '_>) {
        d.object(set.metadata);
        let spec = d.field(d.root(), "spec");
        set.spec.draft(spec, Runs::Once, d);
    }
}

/// `disaggregatedset.x-k8s.io` DisaggregatedSet.
#[derive(Debug)]
pub struct DisaggregatedSetKind;

/// A DisaggregatedSet.
#[derive(Debug, Deserialize)]
pub struct DisaggregatedSet<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: SetSpec<'a>,
}

/// `DisaggregatedSetSpec`.
#[derive(Debug, Default, Deserialize)]
struct SetSpec<'a> {
    #[serde(default)]
    slices: Count,
    #[serde(borrow, default)]
    roles: List<SetRole<'a>>,
}

/// `DisaggregatedRoleSpec`: the template of a LeaderWorkerSet.
#[derive(Debug, Default, Deserialize)]
struct SetRole<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Spec<'a>,
}

impl Kind for DisaggregatedSetKind {
    const INFO: Info = Info {
        proof: "an init container in every template of every role",
        ..Info::new(
            "disaggregatedset.x-k8s.io",
            "DisaggregatedSet",
            "disaggregatedsets",
            &["v1"],
        )
    };
    type Object<'a> = DisaggregatedSet<'a>;

    fn draft<'a>(set: DisaggregatedSet<'a>, d: &mut Draft<'a, '_>) {
        d.object(set.metadata);
        let spec = d.field(d.root(), "spec");
        d.held(set.spec.slices == Count::Of(0));
        let runs = set.spec.slices.runs();
        for (role, i) in set.spec.roles.0.into_iter().zip(0..) {
            let at = d.item(spec, "roles", i);
            d.template_meta(role.metadata, at);
            let at = d.field(at, "spec");
            role.spec.draft(at, runs, d);
        }
    }
}
