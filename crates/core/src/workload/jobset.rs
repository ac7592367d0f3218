//! `jobset.x-k8s.io` JobSet: replicated Jobs, of which some wait for others.
//!
//! `dependsOn` with `Complete` proves that the other has succeeded; `Ready` and `startupPolicy` count failed Jobs as
//! satisfied (reference: JobSet's controller), so they prove nothing.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::accounts::TRAINER;
use super::batch::JobTemplate;
use super::leaf::{Count, List};
use super::meta::{Meta, null_is_default};
use super::{Edge, Info, Kind};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{NodeId, Order, OrderId, Runs, Void};
use crate::text::Text;

/// `JobSetSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSetSpec<'a> {
    /// `suspend`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub suspend: bool,
    /// The replicated Jobs.
    #[serde(borrow, default)]
    pub replicated_jobs: List<ReplicatedJob<'a>>,
    /// Mounted where a container asks for a volume of that name.
    #[serde(borrow, default)]
    volume_claim_policies: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    startup_policy: StartupPolicy<'a>,
    /// If it is somebody else than JobSet, that one runs it, or nobody until this changes.
    #[serde(borrow, default)]
    managed_by: Option<&'a RawValue>,
}

/// `StartupPolicy`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartupPolicy<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    startup_policy_order: Text<'a>,
}

/// `ReplicatedJob`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicatedJob<'a> {
    /// `name`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// `replicas`.
    #[serde(default)]
    pub replicas: Count,
    /// `template`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub template: JobTemplate<'a>,
    #[serde(borrow, default)]
    depends_on: List<DependsOn<'a>>,
}

/// `DependsOn`.
#[derive(Debug, Deserialize)]
struct DependsOn<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    status: Text<'a>,
}

/// A replicated Job that another may wait for.
#[derive(Clone, Copy)]
struct Earlier {
    node: NodeId,
    after: OrderId,
    /// Whether it is not ready before it has started: with no replicas it is ready at once.
    starts: bool,
}

impl Earlier {
    /// What is known once it is ready: nothing of what it does, but it has started after what it waits for itself.
    fn ready(self) -> impl Iterator<Item = Order> {
        let started = self.starts.then(|| Order::All(Box::new([self.after])));
        std::iter::once(Order::Weak(self.node, Void::ReadinessOnly)).chain(started)
    }
}

impl<'a> JobSetSpec<'a> {
    /// A list of Jobs, of a JobSet or of what becomes one.
    pub fn draft(self, at: At, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        d.raw(self.volume_claim_policies);
        d.raw(self.managed_by);
        let in_order = &*self.startup_policy.startup_policy_order == "InOrder";
        let mut previous: Option<Earlier> = None;
        let mut earlier: HashMap<Text<'a>, Earlier> = HashMap::new();
        for (job, i) in self.replicated_jobs.0.into_iter().zip(0..) {
            let at = d.item(at, "replicatedJobs", i);
            let mut after = Vec::new();
            for other in &job.depends_on.0 {
                // A dependency must come earlier in the list.
                match (earlier.get(&other.name), other.status.as_str()) {
                    (Some(other), "Complete") => after.push(Order::Done(other.node)),
                    (Some(other), _) => after.extend(other.ready()),
                    (None, _) => {}
                }
            }
            after.extend(previous.filter(|_| in_order).into_iter().flat_map(Earlier::ready));
            let after = d.all(after);
            d.held(job.replicas == Count::Of(0));
            let template = d.field(at, "template");
            let (frame, runs) = job.template.draft(template, d);
            let runs = job.replicas.runs().and(runs);
            let node = d.call(d.base(), job.name.clone(), frame, after, runs, at);
            let this = Earlier {
                node,
                after,
                starts: job.replicas.runs() == Runs::Once,
            };
            previous = Some(this);
            earlier.insert(job.name, this);
        }
    }
}

/// What shows that a step comes before training, in a JobSet and in what becomes one.
pub(super) const PROOF: &str = "an init container of the pod, without `restartPolicy: Always`, or a replicated Job that training awaits with `dependsOn` and `status: Complete`, directly or through others";

/// `jobset.x-k8s.io` JobSet.
#[derive(Debug)]
pub struct JobSetKind;

/// A JobSet.
#[derive(Debug, Deserialize)]
pub struct JobSet<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSetSpec<'a>,
}

impl Kind for JobSetKind {
    const INFO: Info = Info {
        creators: &[Edge::of("trainer.kubeflow.org", "TrainJob", TRAINER)],
        proof: PROOF,
        limits: &[
            "`status: Ready`, `startupPolicy`, a count of 0 and a `successPolicy` of a Job's template prove nothing: what waits starts before all of the Job has succeeded, or even if it failed.",
            "After a suspension what had succeeded is not run again, so training may resume on an older result of the filter; the data is judged again then.",
        ],
        ..Info::new("jobset.x-k8s.io", "JobSet", "jobsets", &["v1alpha2"])
    };
    type Object<'a> = JobSet<'a>;

    fn draft<'a>(set: JobSet<'a>, d: &mut Draft<'a, '_>) {
        d.object(set.metadata);
        let spec = d.field(d.root(), "spec");
        set.spec.draft(spec, d);
    }
}
