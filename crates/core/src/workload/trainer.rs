//! `trainer.kubeflow.org`: TrainJob, the runtimes it names, and OptimizationJob.
//!
//! A TrainJob names a runtime, which is the template of a JobSet, and says what differs. What runs is the runtime, with
//! the patches in their order, then the initializer, then the trainer (reference: the Trainer's runtime and JobSet
//! plugins, v2.0 to v2.3).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::accounts::TRAINER;
use super::jobset::{JobSetSpec, PROOF};
use super::leaf::{Count, List, Verbatim};
use super::meta::{Keys, Meta, null_is_default};
use super::pod::{Env, Resources};
use super::{Class, Edge, Info, Kind, KnownKind, Scope};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{Carrier, Unseen};
use crate::text::Text;

mod complete;
mod patch;

use self::patch::{Patch, PodSpecOverride, PodTemplateOverride, RuntimePatch};

const GROUP: &str = "trainer.kubeflow.org";

/// The label of a Job's template that says which part of a TrainJob it is.
pub const ANCESTOR: &str = "trainer.kubeflow.org/trainjob-ancestor-step";

/// `TrainJobSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainJobSpec<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    runtime_ref: RuntimeRef<'a>,
    #[serde(borrow, default)]
    initializer: Verbatim<'a, Initializer<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    trainer: Trainer<'a>,
    /// Until v2.1.
    #[serde(borrow, default)]
    labels: Keys<'a>,
    /// Until v2.1.
    #[serde(borrow, default)]
    annotations: Keys<'a>,
    /// The patches as v2.0 calls them.
    #[serde(borrow, default)]
    pod_spec_overrides: List<PodSpecOverride<'a>>,
    /// The patches as v2.1 calls them.
    #[serde(borrow, default)]
    pod_template_overrides: List<PodTemplateOverride<'a>>,
    /// The patches since v2.2.
    #[serde(borrow, default)]
    runtime_patches: List<RuntimePatch<'a>>,
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    /// If it is somebody else than the Trainer, that one runs it, or nobody until this changes.
    #[serde(borrow, default)]
    managed_by: Option<&'a RawValue>,
}

/// `RuntimeRef`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeRef<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default)]
    api_group: Option<Text<'a>>,
    #[serde(borrow, default)]
    kind: Option<Text<'a>>,
}

/// `Initializer`.
#[derive(Debug, Default, Deserialize)]
struct Initializer<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    dataset: Download<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    model: Download<'a>,
}

/// `DatasetInitializer` and `ModelInitializer`.
#[derive(Debug, Default, Deserialize)]
struct Download<'a> {
    #[serde(borrow, default)]
    env: Env<'a>,
}

/// `Trainer`: what differs in the container `node`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trainer<'a> {
    #[serde(borrow, default)]
    image: Verbatim<'a, Option<Text<'a>>>,
    #[serde(borrow, default)]
    command: Verbatim<'a, Option<List<Text<'a>>>>,
    #[serde(borrow, default)]
    args: Verbatim<'a, Option<List<Text<'a>>>>,
    #[serde(borrow, default)]
    env: Verbatim<'a, Env<'a>>,
    #[serde(borrow, default)]
    resources_per_node: Verbatim<'a, Resources<'a>>,
    #[serde(default)]
    num_nodes: Count,
}

impl<'a> TrainJobSpec<'a> {
    /// A TrainJob, on its own or as the template of another kind.
    pub fn draft(mut self, at: At, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        d.held(self.trainer.num_nodes == Count::Of(0));
        d.keys(std::mem::take(&mut self.labels), Carrier::Label, "labels", at);
        d.keys(
            std::mem::take(&mut self.annotations),
            Carrier::Annotation,
            "annotations",
            at,
        );
        // While the runtime is not there all of this is compared by itself, so that a TrainJob that changed in nothing
        // else can lose its finalizer without the runtime.
        d.raw(self.managed_by);
        d.raw(self.initializer.json);
        d.raw(self.trainer.image.json);
        d.raw(self.trainer.command.json);
        d.raw(self.trainer.args.json);
        d.raw(self.trainer.env.json);
        let resources = &self.trainer.resources_per_node;
        d.raw(resources.json.filter(|_| resources.value.is_extended()));
        self.env_keys(at, d);
        let patches = self.patches(at, d);
        let Some((mut runtime, inside)) = self.runtime(at, d) else {
            return;
        };
        let template = d.field(inside, "spec.template");
        d.template_meta(std::mem::take(&mut runtime.metadata), inside);
        d.template_meta(std::mem::take(&mut runtime.spec.template.metadata), template);
        patch::apply(patches, &mut runtime.spec.template.spec, d);
        if self.complete(&mut runtime.spec).is_err() {
            let at = d.field(at, "trainer");
            d.opaque("the trainer in so many containers", Unseen::TooFar, at);
        }
        let jobs = d.field(template, "spec");
        runtime.spec.template.spec.draft(jobs, d);
    }

    /// The keys in the variables of the TrainJob itself.
    fn env_keys(&self, at: At, d: &mut Draft<'a, '_>) {
        let initializer = &self.initializer.value;
        for (env, field) in [
            (&initializer.dataset.env, "initializer.dataset"),
            (&initializer.model.env, "initializer.model"),
            (&self.trainer.env.value, "trainer"),
        ] {
            let at = d.field(at, field);
            d.variables(env.variables.clone(), at);
        }
    }

    /// The patches of all versions in one shape; a cluster has those of one.
    fn patches(&mut self, at: At, d: &mut Draft<'a, '_>) -> Vec<Patch<'a>> {
        let mut patches = Vec::new();
        for (it, i) in std::mem::take(&mut self.pod_spec_overrides.0)
            .into_iter()
            .zip(0..)
        {
            let at = d.item(at, "podSpecOverrides", i);
            it.read(at, &mut patches, d);
        }
        for (it, i) in std::mem::take(&mut self.pod_template_overrides.0)
            .into_iter()
            .zip(0..)
        {
            let at = d.item(at, "podTemplateOverrides", i);
            it.read(at, &mut patches, d);
        }
        for (it, i) in std::mem::take(&mut self.runtime_patches.0).into_iter().zip(0..) {
            let at = d.item(at, "runtimePatches", i);
            it.read(at, &mut patches, d);
        }
        patches
    }

    fn runtime(&self, at: At, d: &mut Draft<'a, '_>) -> Option<(Runtime<'a>, At)> {
        let reference = &self.runtime_ref;
        let at = d.field(at, "runtimeRef");
        let group = reference.api_group.as_deref().unwrap_or(GROUP);
        let kind = match reference.kind.as_deref() {
            _ if group != GROUP => None,
            None | Some("ClusterTrainingRuntime") => Some(KnownKind::ClusterTrainingRuntime),
            Some("TrainingRuntime") => Some(KnownKind::TrainingRuntime),
            Some(_) => None,
        };
        let Some(kind) = kind else {
            let shown = crate::render::shown;
            let kind = reference.kind.as_deref().unwrap_or("ClusterTrainingRuntime");
            let named = format!("{} {} of {}", shown(kind), shown(&reference.name), shown(group));
            d.opaque(named, Unseen::UnknownKind, at);
            return None;
        };
        d.fetch_as(kind, &reference.name, at)
    }

    /// What the Trainer itself sets in the runtime.
    fn complete(self, runtime: &mut RuntimeSpec<'a>) -> Result<(), complete::TooMany> {
        let policy = runtime.ml_policy.as_ref();
        let has = |what: fn(&MLPolicy) -> bool| policy.is_some_and(what);
        let tune: &[&str] = &["tune", "run"];
        let is_tune = |list: &List<Text<'a>>| list.0.iter().map(Text::as_str).eq(tune.iter().copied());
        let trainer = self.trainer;
        let completion = complete::Completion {
            count: match (trainer.num_nodes, policy) {
                (Count::Unset, Some(policy)) if policy.num_nodes == Count::Unset => Count::Of(1),
                (Count::Unset, Some(policy)) => policy.num_nodes,
                (count, _) => count,
            },
            launcher_is_node: has(|it| it.mpi.as_ref().is_some_and(|mpi| mpi.run_launcher_as_node)),
            // The Trainer appends the recipe to the command of torchtune, and wraps that of Flux.
            rewritten: has(|it| it.flux.is_some())
                || has(|it| it.torch.is_some()) && trainer.command.value.as_ref().is_some_and(is_tune),
            flux: has(|it| it.flux.is_some()),
            image: trainer.image.value,
            command: trainer.command.value,
            args: trainer.args.value,
            resources: trainer.resources_per_node.value,
            env: trainer.env.value,
            dataset_devices: complete::gives_devices(&self.initializer.value.dataset.env),
            model_devices: complete::gives_devices(&self.initializer.value.model.env),
        };
        completion.apply(&mut runtime.template.spec)
    }
}

/// `TrainingRuntime` and `ClusterTrainingRuntime`.
#[derive(Debug, Deserialize)]
pub struct Runtime<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: RuntimeSpec<'a>,
}

/// `TrainingRuntimeSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeSpec<'a> {
    #[serde(default)]
    ml_policy: Option<MLPolicy>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: JobSetTemplate<'a>,
}

/// `MLPolicy`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MLPolicy {
    #[serde(default)]
    num_nodes: Count,
    #[serde(default)]
    torch: Option<IgnoredAny>,
    #[serde(default)]
    flux: Option<IgnoredAny>,
    #[serde(default)]
    mpi: Option<MpiPolicy>,
}

/// `MPIMLPolicySource`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MpiPolicy {
    #[serde(default, deserialize_with = "null_is_default")]
    run_launcher_as_node: bool,
}

/// `JobSetTemplateSpec`.
#[derive(Debug, Default, Deserialize)]
struct JobSetTemplate<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSetSpec<'a>,
}

impl<'a> Runtime<'a> {
    fn draft(self, d: &mut Draft<'a, '_>) {
        d.object(self.metadata);
        let template = d.field(d.root(), "spec.template");
        d.template_meta(self.spec.template.metadata, template);
        let spec = d.field(template, "spec");
        self.spec.template.spec.draft(spec, d);
    }
}

/// `trainer.kubeflow.org` TrainingRuntime.
#[derive(Debug)]
pub struct TrainingRuntimeKind;

impl Kind for TrainingRuntimeKind {
    const INFO: Info = Info {
        class: Class::Template,
        proof: PROOF,
        ..Info::new(GROUP, "TrainingRuntime", "trainingruntimes", &["v1alpha1"])
    };
    type Object<'a> = Runtime<'a>;

    fn draft<'a>(runtime: Runtime<'a>, d: &mut Draft<'a, '_>) {
        runtime.draft(d);
    }
}

/// `trainer.kubeflow.org` ClusterTrainingRuntime.
#[derive(Debug)]
pub struct ClusterTrainingRuntimeKind;

impl Kind for ClusterTrainingRuntimeKind {
    const INFO: Info = Info {
        class: Class::Template,
        scope: Scope::Cluster,
        proof: PROOF,
        ..Info::new(
            GROUP,
            "ClusterTrainingRuntime",
            "clustertrainingruntimes",
            &["v1alpha1"],
        )
    };
    type Object<'a> = Runtime<'a>;

    fn draft<'a>(runtime: Runtime<'a>, d: &mut Draft<'a, '_>) {
        runtime.draft(d);
    }
}

const REFERS_TO: &[(&str, &str)] = &[(GROUP, "TrainingRuntime"), (GROUP, "ClusterTrainingRuntime")];

/// `trainer.kubeflow.org` TrainJob.
#[derive(Debug)]
pub struct TrainJobKind;

/// A TrainJob, or the template of one.
#[derive(Debug, Default, Deserialize)]
pub struct TrainJob<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Box<TrainJobSpec<'a>>,
}

impl Kind for TrainJobKind {
    const INFO: Info = Info {
        class: Class::Trains,
        creators: &[Edge::of(GROUP, "OptimizationJob", TRAINER)],
        refers_to: REFERS_TO,
        proof: PROOF,
        limits: &[
            "A TrainJob cannot add a container: the filter belongs into its runtime. A download by the initializer is no filter.",
            "Since v2.3 the Trainer keeps a runtime as it was when the TrainJob came. What it makes of it is compared with the runtime as it is now and judged by itself where it differs.",
            "A patch of a Job or a container that the runtime has not is refused, as the Trainer does.",
            "Patched init containers run in the order of the patch.",
        ],
        ..Info::new(GROUP, "TrainJob", "trainjobs", &["v1alpha1"])
    };
    type Object<'a> = TrainJob<'a>;

    fn draft<'a>(job: TrainJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(job.metadata);
        let spec = d.field(d.root(), "spec");
        job.spec.draft(spec, d);
    }
}

/// `trainer.kubeflow.org` OptimizationJob: TrainJobs from one template, with other parameters each.
#[derive(Debug)]
pub struct OptimizationJobKind;

/// An OptimizationJob.
#[derive(Debug, Deserialize)]
pub struct OptimizationJob<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: OptimizationJobSpec<'a>,
}

/// `OptimizationJobSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OptimizationJobSpec<'a> {
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    train_job_template: TrainJob<'a>,
}

impl Kind for OptimizationJobKind {
    const INFO: Info = Info {
        class: Class::Trains,
        // The parameters of a trial become arguments.
        rewrites: true,
        refers_to: REFERS_TO,
        proof: PROOF,
        ..Info::new(GROUP, "OptimizationJob", "optimizationjobs", &["v1alpha1"])
    };
    type Object<'a> = OptimizationJob<'a>;

    fn draft<'a>(job: OptimizationJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(job.metadata);
        d.raw(job.spec.parameters);
        let template = d.field(d.root(), "spec.trainJobTemplate");
        d.template_meta(job.spec.train_job_template.metadata, template);
        let spec = d.field(template, "spec");
        job.spec.train_job_template.spec.draft(spec, d);
    }
}
