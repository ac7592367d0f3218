//! `kueue.x-k8s.io` Workload: what Kueue writes down of a job that waits in a queue.
//!
//! It runs nothing itself: Kueue starts the job, which is judged then. So it is a template: one without keys is never
//! governed for itself, and Kueue's own are judged as the continuation of their job.

use serde::Deserialize;

use super::accounts::KUEUE;
use super::leaf::{Count, List};
use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Class, Edge, Info, Kind};
use crate::draft::Draft;
use crate::submission::OrderId;
use crate::text::Text;

/// `kueue.x-k8s.io` Workload.
#[derive(Debug)]
pub struct WorkloadKind;

/// A Workload.
#[derive(Debug, Deserialize)]
pub struct Workload<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: WorkloadSpec<'a>,
}

/// `WorkloadSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadSpec<'a> {
    #[serde(default)]
    active: Option<bool>,
    #[serde(borrow, default)]
    pod_sets: List<PodSet<'a>>,
}

/// `PodSet`.
#[derive(Debug, Deserialize)]
struct PodSet<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(default)]
    count: Count,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

impl Kind for WorkloadKind {
    const INFO: Info = Info {
        class: Class::Template,
        creators: &[
            Edge::of("batch", "Job", KUEUE),
            Edge::of("", "Pod", KUEUE),
            Edge::of("apps", "Deployment", KUEUE),
            Edge::of("apps", "ReplicaSet", KUEUE),
            Edge::of("apps", "StatefulSet", KUEUE),
            Edge::of("jobset.x-k8s.io", "JobSet", KUEUE),
            Edge::of("kubeflow.org", "MPIJob", KUEUE),
            Edge::of("kubeflow.org", "PaddleJob", KUEUE),
            Edge::of("kubeflow.org", "PyTorchJob", KUEUE),
            Edge::of("kubeflow.org", "TFJob", KUEUE),
            Edge::of("kubeflow.org", "XGBoostJob", KUEUE),
            Edge::of("kubeflow.org", "JAXJob", KUEUE),
            Edge::of("ray.io", "RayJob", KUEUE),
            Edge::of("ray.io", "RayService", KUEUE),
            Edge::of("ray.io", "RayCluster", KUEUE),
            Edge::of("trainer.kubeflow.org", "TrainJob", KUEUE),
            Edge::of("sparkoperator.k8s.io", "SparkApplication", KUEUE),
            Edge::of("leaderworkerset.x-k8s.io", "LeaderWorkerSet", KUEUE),
            Edge::of("workload.codeflare.dev", "AppWrapper", KUEUE),
        ],
        limits: &[
            "The order between the pod sets of a job does not stand in it, so one that declares data and is not made by Kueue for a job needs the step in each pod set.",
        ],
        ..Info::new("kueue.x-k8s.io", "Workload", "workloads", &["v1beta2", "v1beta1"])
    };
    type Object<'a> = Workload<'a>;

    fn draft<'a>(workload: Workload<'a>, d: &mut Draft<'a, '_>) {
        d.object(workload.metadata);
        d.held(workload.spec.active == Some(false));
        let (base, spec) = (d.base(), d.field(d.root(), "spec"));
        for (set, i) in workload.spec.pod_sets.0.into_iter().zip(0..) {
            let at = d.item(spec, "podSets", i);
            d.held(set.count == Count::Of(0));
            let template = d.field(at, "template");
            let frame = d.pod(set.template, template);
            d.call(base, set.name, frame, OrderId(0), set.count.runs(), at);
        }
    }
}
