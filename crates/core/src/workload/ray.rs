//! `ray.io` RayCluster, RayJob, RayService and RayCronJob: a head, groups of workers, and who submits.
//!
//! Ray has no steps, and tasks run on every pod: only an init container of each group's own proves anything. A cluster
//! that lives on can be given work without any request to Kubernetes, so it is judged when it is made.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::accounts::KUBERAY;
use super::head::Head;
use super::leaf::{Count, Entries, List};
use super::meta::{Meta, null_is_default};
use super::pod::{Container, PodTemplate};
use super::{Edge, Info, Kind, KnownKind};
use crate::draft::{Draft, Embedded};
use crate::path::At;
use crate::submission::{FrameId, OrderId, Role, Runs, Unseen, Void};
use crate::text::Text;

/// For `docs/workloads.md`.
const PROOF: &str = "an init container in the head and in every worker group, those of 0 replicas too";

/// For `docs/workloads.md`.
const NO_REQUEST: &str = "Work that is given to a running cluster by Ray's own API makes no request to Kubernetes: what the cluster may train on is judged when the cluster is made.";

/// For `docs/workloads.md`.
const LATE: &str = "A template that is changed reaches new pods only, and is judged as if it reached all.";

/// For `docs/workloads.md`.
const TEXTS: &str = "`entrypoint` and `runtimeEnvYAML` are compared and never read: `python filter.py && python train.py` proves nothing.";

/// For `docs/workloads.md`.
const SUBMITTER: &str = "A `submitterPodTemplate` may run anything, so with the image of what trains it needs the step as well. A job on a cluster that is there (`clusterSelector`) is judged with that cluster, as it is now.";

/// Both have the same fields.
const VERSIONS: &[&str] = &["v1", "v1alpha1"];

/// `RayClusterSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    head_group_spec: Group<'a>,
    #[serde(borrow, default)]
    worker_group_specs: List<Group<'a>>,
    #[serde(default, deserialize_with = "null_is_default")]
    enable_in_tree_autoscaling: bool,
    /// Like a container, and one more of the head.
    #[serde(borrow, default)]
    autoscaler_options: Option<Container<'a>>,
    /// May name an image that runs in every pod.
    #[serde(borrow, default)]
    history_server_options: Option<&'a RawValue>,
}

/// `HeadGroupSpec` and `WorkerGroupSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    group_name: Text<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(default)]
    replicas: Count,
    #[serde(default)]
    min_replicas: Count,
    #[serde(borrow, default)]
    ray_start_params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

impl<'a> Group<'a> {
    /// Whether it has no worker for now: the count is 0 unless it is given, and never below the minimum. The autoscaler
    /// may raise it, which is an update of its own.
    fn is_empty(&self) -> bool {
        let at_least_one = |count| matches!(count, Count::Of(1..) | Count::Late);
        !at_least_one(self.replicas) && !at_least_one(self.min_replicas)
    }

    /// The pod of a group, and after what its containers start.
    fn draft(self, at: At, d: &mut Draft<'a, '_>) -> (FrameId, OrderId) {
        d.raw(self.ray_start_params);
        let template = d.field(at, "template");
        d.template_meta(self.template.metadata, template);
        let spec = d.field(template, "spec");
        let frame = d.frame(spec);
        let after = d.containers(self.template.spec, frame, spec);
        (frame, after)
    }
}

impl<'a> ClusterSpec<'a> {
    fn draft(self, at: At, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        d.raw(self.history_server_options);
        let head = d.field(at, "headGroupSpec");
        let image = self.head_group_spec.template.spec.containers.0.first();
        let image = image.map(|container| container.image.clone());
        let (frame, after) = self.head_group_spec.draft(head, d);
        if let Some(mut autoscaler) = self.autoscaler_options
            && self.enable_in_tree_autoscaling
        {
            if autoscaler.image.is_empty() {
                autoscaler.image = image.unwrap_or_default();
            }
            let at = d.field(at, "autoscalerOptions");
            d.container(autoscaler, Role::Main, frame, after, Runs::Once, at);
        }
        d.call(d.base(), "head".into(), frame, OrderId(0), Runs::Once, head);
        for (group, i) in self.worker_group_specs.0.into_iter().zip(0..) {
            let at = d.item(at, "workerGroupSpecs", i);
            d.held(group.suspend);
            let empty = group.is_empty();
            d.held(empty);
            let runs = Runs::unless(empty.then_some(Void::ZeroReplicas));
            let name = group.group_name.clone();
            let (frame, _) = group.draft(at, d);
            d.call(d.base(), name, frame, OrderId(0), runs, at);
        }
    }
}

/// `RayJobSpec`, of a RayJob or of what becomes one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default)]
    ray_cluster_spec: Option<ClusterSpec<'a>>,
    #[serde(borrow, default)]
    cluster_selector: Entries<'a, Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    submission_mode: Text<'a>,
    #[serde(borrow, default)]
    submitter_pod_template: Option<PodTemplate<'a>>,
    /// Text for a shell, and YAML: compared, never read.
    #[serde(borrow, default)]
    entrypoint: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "runtimeEnvYAML")]
    runtime_env_yaml: Option<&'a RawValue>,
}

/// The one key of a `clusterSelector` that is read (reference: KubeRay's controller).
const SELECTOR: &str = "ray.io/cluster";

impl<'a> JobSpec<'a> {
    fn draft(self, at: At, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        d.raw(self.entrypoint);
        d.raw(self.runtime_env_yaml);
        if let Some(cluster) = self.ray_cluster_spec {
            let at = d.field(at, "rayClusterSpec");
            cluster.draft(at, d);
        }
        if !self.cluster_selector.0.is_empty() {
            let at = d.field(at, "clusterSelector");
            existing(self.cluster_selector, at, d);
        }
        // The other modes submit by HTTP or from the head itself. What it submits runs in the cluster, but it may run
        // anything: it is a pod like the others.
        if matches!(self.submission_mode.as_str(), "" | "K8sJobMode")
            && let Some(template) = self.submitter_pod_template
        {
            let at = d.field(at, "submitterPodTemplate");
            let frame = d.pod(template, at);
            d.call(d.base(), "submitter".into(), frame, OrderId(0), Runs::Once, at);
        }
    }
}

/// A job on a cluster that is there already.
fn existing<'a>(selector: Entries<'a, Text<'a>>, at: At, d: &mut Draft<'a, '_>) {
    let name = selector.0.into_iter().find(|(key, _)| key.as_str() == SELECTOR);
    let Some((_, name)) = name.filter(|(_, name)| !name.is_empty()) else {
        return d.opaque("clusterSelector", Unseen::NotFound, at);
    };
    let Some((json, inside)) = d.fetch(KnownKind::RayCluster, None, &name, at) else {
        return;
    };
    let reference: Text<'a> = format!("RayCluster {}", crate::render::shown(&name)).into();
    match d.embed(json, Head::of(json).as_ref(), inside, &reference) {
        Embedded::Frame(frame) => {
            d.call(d.base(), name, frame, OrderId(0), Runs::Once, at);
        }
        Embedded::Unknown => d.opaque(reference, Unseen::Unreadable, at),
        Embedded::Unreadable => {}
    }
}

/// An object of any of these kinds.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
struct RayObject<'a, S> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: S,
}

/// `ray.io` RayCluster.
#[derive(Debug)]
pub struct RayClusterKind;

/// A RayCluster.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct RayCluster<'a>(#[serde(borrow)] RayObject<'a, ClusterSpec<'a>>);

impl Kind for RayClusterKind {
    const INFO: Info = Info {
        rewrites: true,
        creators: &[
            Edge::of("ray.io", "RayJob", KUBERAY),
            Edge::of("ray.io", "RayService", KUBERAY),
        ],
        proof: PROOF,
        limits: &[NO_REQUEST, LATE],
        ..Info::new("ray.io", "RayCluster", "rayclusters", VERSIONS)
    };
    type Object<'a> = RayCluster<'a>;

    fn draft<'a>(RayCluster(cluster): RayCluster<'a>, d: &mut Draft<'a, '_>) {
        d.object(cluster.metadata);
        let spec = d.field(d.root(), "spec");
        cluster.spec.draft(spec, d);
    }
}

/// `ray.io` RayJob.
#[derive(Debug)]
pub struct RayJobKind;

/// A RayJob.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct RayJob<'a>(#[serde(borrow)] RayObject<'a, JobSpec<'a>>);

impl Kind for RayJobKind {
    const INFO: Info = Info {
        rewrites: true,
        creators: &[Edge::start_of("ray.io", "RayCronJob", KUBERAY)],
        refers_to: &[("ray.io", "RayCluster")],
        proof: PROOF,
        limits: &[TEXTS, SUBMITTER],
        ..Info::new("ray.io", "RayJob", "rayjobs", VERSIONS)
    };
    type Object<'a> = RayJob<'a>;

    fn draft<'a>(RayJob(job): RayJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(job.metadata);
        let spec = d.field(d.root(), "spec");
        job.spec.draft(spec, d);
    }
}

/// `ray.io` RayService.
#[derive(Debug)]
pub struct RayServiceKind;

/// A RayService.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct RayService<'a>(#[serde(borrow)] RayObject<'a, ServiceSpec<'a>>);

/// `RayServiceSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    /// YAML: compared, never read.
    #[serde(borrow, default, rename = "serveConfigV2")]
    serve_config_v2: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    ray_cluster_config: ClusterSpec<'a>,
}

impl Kind for RayServiceKind {
    const INFO: Info = Info {
        rewrites: true,
        proof: PROOF,
        limits: &[NO_REQUEST, LATE],
        ..Info::new("ray.io", "RayService", "rayservices", VERSIONS)
    };
    type Object<'a> = RayService<'a>;

    fn draft<'a>(RayService(service): RayService<'a>, d: &mut Draft<'a, '_>) {
        d.object(service.metadata);
        d.held(service.spec.suspend);
        d.raw(service.spec.serve_config_v2);
        let cluster = d.field(d.root(), "spec.rayClusterConfig");
        service.spec.ray_cluster_config.draft(cluster, d);
    }
}

/// `ray.io` RayCronJob.
#[derive(Debug)]
pub struct RayCronJobKind;

/// A RayCronJob.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct RayCronJob<'a>(#[serde(borrow)] RayObject<'a, CronJobSpec<'a>>);

/// `RayCronJobSpec`. Its template has no metadata of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    job_template: JobSpec<'a>,
}

impl Kind for RayCronJobKind {
    const INFO: Info = Info {
        rewrites: true,
        refers_to: &[("ray.io", "RayCluster")],
        proof: PROOF,
        limits: &[TEXTS, SUBMITTER],
        ..Info::new("ray.io", "RayCronJob", "raycronjobs", VERSIONS)
    };
    type Object<'a> = RayCronJob<'a>;

    fn draft<'a>(RayCronJob(cron): RayCronJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(cron.metadata);
        d.held(cron.spec.suspend);
        let job = d.field(d.root(), "spec.jobTemplate");
        cron.spec.job_template.draft(job, d);
    }
}
