//! The kinds of workload: one small adapter each, and one list of them.
//!
//! To add a kind, write its borrowed type and its `Kind` in `workload/<family>.rs` and one row in `kinds!` below.
//! Webhook rules, RBAC and the docs are generated from that list.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer};

use crate::draft::{Context, Draft, Drafted};
use crate::path::{At, Paths};

mod read;

pub use read::ReadError;

pub mod accounts;
pub mod adoption;
pub mod apps;
pub mod appwrapper;
pub mod argo;
pub mod batch;
pub mod flyte;
pub mod head;
pub mod jobset;
pub mod katib;
pub mod kubeflow;
pub mod kueue;
pub mod leaf;
pub mod lws;
pub mod meta;
pub mod notebook;
pub mod pipelines;
pub mod pod;
pub mod ray;
pub mod spark;
pub mod tekton;
pub mod trainer;
pub mod volcano;

/// What is known of a kind besides how to read it. Most of it is what `Info::new` says; a kind names what differs.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// API group; empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Resource name in paths and rules.
    pub plural: &'static str,
    /// Versions whose shape the adapter reads; the first is the one that is asked for.
    pub versions: &'static [&'static str],
    /// Whether it lives in a namespace.
    pub scope: Scope,
    /// What it is there for.
    pub class: Class,
    /// Subresources through which what runs can change.
    pub subresources: &'static [&'static str],
    /// Whether its status is a subresource. If not, whoever may write the object may write its status.
    pub status: bool,
    /// Whether its operator writes commands and container names of its own into the pods, so that only roles, images
    /// and accelerators of a child can be compared with it.
    pub rewrites: bool,
    /// Who makes objects of this kind for which owners.
    pub creators: &'static [Edge],
    /// Groups and kinds that objects of this kind refer to by name and that run with them.
    pub refers_to: &'static [(&'static str, &'static str)],
    /// For `docs/workloads.md`: what shows that a step comes before training.
    pub proof: &'static str,
    /// For `docs/workloads.md`: what is not seen, or is stricter than one might expect.
    pub limits: &'static [&'static str],
}

impl Info {
    /// A namespaced kind with a status subresource that may or may not train and that only people make.
    #[must_use]
    pub const fn new(
        group: &'static str,
        kind: &'static str,
        plural: &'static str,
        versions: &'static [&'static str],
    ) -> Self {
        Self {
            group,
            kind,
            plural,
            versions,
            scope: Scope::Namespaced,
            class: Class::Runs,
            subresources: &[],
            status: true,
            rewrites: false,
            creators: &[],
            refers_to: &[],
            proof: "an init container of the pod, without `restartPolicy: Always`",
            limits: &[],
        }
    }

    /// Whether the kind exists for training, so that it is governed without any key or accelerator.
    #[must_use]
    pub fn trains(&self) -> bool {
        self.class == Class::Trains
    }

    /// Whether everything else in a cluster uses this kind too, so that not every object of it is of interest.
    #[must_use]
    pub fn is_core(&self) -> bool {
        matches!(self.group, "" | "apps" | "batch")
    }
}

/// What a kind is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It exists for training.
    Trains,
    /// It runs whatever it is given.
    Runs,
    /// It runs nothing itself; whatever runs it is judged with it. So it need not declare what it cannot know, and is
    /// governed only where it does declare something.
    Template,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// "For an owner of this kind, one of those accounts makes the child."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The owner's group.
    pub group: &'static str,
    /// The owner's kind.
    pub kind: &'static str,
    /// The service accounts that make the child, as `namespace:name`.
    pub accounts: &'static [&'static str],
    /// What the child takes over from its owner.
    pub takes: Takes,
}

/// What a child takes over from its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// It continues it: declaration, steps and order are the root's, and what the root would be refused for now is
    /// forgiven, except a pause.
    Everything,
    /// It is a start of its own, judged in full with the root's declaration joined to it.
    Declaration,
}

impl Edge {
    /// The child continues its owner.
    #[must_use]
    pub const fn of(group: &'static str, kind: &'static str, accounts: &'static [&'static str]) -> Self {
        Self {
            group,
            kind,
            accounts,
            takes: Takes::Everything,
        }
    }

    /// Each child is a start of its own.
    #[must_use]
    pub const fn start_of(
        group: &'static str,
        kind: &'static str,
        accounts: &'static [&'static str],
    ) -> Self {
        Self {
            group,
            kind,
            accounts,
            takes: Takes::Declaration,
        }
    }

    /// Whether objects of that kind are the owners.
    #[must_use]
    pub fn is_from(&self, kind: KnownKind) -> bool {
        let info = kind.info();
        self.kind == info.kind && self.group == info.group
    }

    /// The child is made by an account of its own namespace, which proves nothing: whoever administers the namespace
    /// can be that account. So it is judged in full, as if it repeated its owner's declaration, which anyone may.
    #[must_use]
    pub const fn by_own_account(group: &'static str, kind: &'static str) -> Self {
        Self::start_of(group, kind, &[])
    }
}

/// A kind of workload.
pub trait Kind {
    /// What is known of it.
    const INFO: Info;
    /// How it is read: a borrowed type with the few fields that matter.
    type Object<'a>: Deserialize<'a>;
    /// How it becomes a submission. Takes the object, so that leaves move and nothing is copied.
    fn draft<'a>(object: Self::Object<'a>, d: &mut Draft<'a, '_>);
}

use spark::connect as spark_connect;
use volcano::flow as volcano_flow;

macro_rules! kinds {
    ($($family:ident :: $kind:ident as $name:ident),+ $(,)?) => {
        /// A kind datagate knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KnownKind { $(#[doc = stringify!($name)] $name),+ }

        /// An object of a kind datagate knows, read but not yet a submission.
        #[derive(Debug)]
        pub enum Object<'a> { $(#[doc = stringify!($name)] $name(<$family::$kind as Kind>::Object<'a>)),+ }

        impl KnownKind {
            /// The one list.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// What is known of the kind.
            #[must_use]
            pub const fn info(self) -> &'static Info {
                match self { $(Self::$name => const { &<$family::$kind as Kind>::INFO }),+ }
            }
        }

        impl<'de> DeserializeSeed<'de> for KnownKind {
            type Value = Object<'de>;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object<'de>, D::Error> {
                match self { $(Self::$name => Deserialize::deserialize(deserializer).map(Object::$name)),+ }
            }
        }

        impl<'a> Object<'a> {
            /// Writes the object into a draft: as the object it is of, or as one inside another.
            pub fn draft_into(self, d: &mut Draft<'a, '_>) {
                match self { $(Self::$name(object) => <$family::$kind as Kind>::draft(object, d)),+ }
            }
        }
    };
}

kinds! {
    pod::PodKind as Pod,
    pod::PodTemplateKind as PodTemplate,
    apps::ReplicationControllerKind as ReplicationController,
    batch::JobKind as Job,
    batch::CronJobKind as CronJob,
    apps::DeploymentKind as Deployment,
    apps::ReplicaSetKind as ReplicaSet,
    apps::StatefulSetKind as StatefulSet,
    apps::DaemonSetKind as DaemonSet,
    jobset::JobSetKind as JobSet,
    argo::WorkflowKind as Workflow,
    argo::CronWorkflowKind as CronWorkflow,
    argo::WorkflowTemplateKind as WorkflowTemplate,
    argo::ClusterWorkflowTemplateKind as ClusterWorkflowTemplate,
    pipelines::ScheduledWorkflowKind as ScheduledWorkflow,
    kubeflow::PyTorchJobKind as PyTorchJob,
    kubeflow::TFJobKind as TFJob,
    kubeflow::XGBoostJobKind as XGBoostJob,
    kubeflow::PaddleJobKind as PaddleJob,
    kubeflow::JAXJobKind as JAXJob,
    kubeflow::MPIJobKind as MPIJob,
    notebook::NotebookKind as Notebook,
    trainer::TrainJobKind as TrainJob,
    trainer::TrainingRuntimeKind as TrainingRuntime,
    trainer::ClusterTrainingRuntimeKind as ClusterTrainingRuntime,
    trainer::OptimizationJobKind as OptimizationJob,
    ray::RayClusterKind as RayCluster,
    ray::RayJobKind as RayJob,
    ray::RayServiceKind as RayService,
    ray::RayCronJobKind as RayCronJob,
    volcano::JobKind as VolcanoJob,
    volcano::CronJobKind as VolcanoCronJob,
    volcano_flow::JobTemplateKind as VolcanoJobTemplate,
    volcano_flow::JobFlowKind as JobFlow,
    volcano::HyperJobKind as HyperJob,
    volcano::CommandKind as VolcanoCommand,
    lws::LeaderWorkerSetKind as LeaderWorkerSet,
    lws::DisaggregatedSetKind as DisaggregatedSet,
    spark::SparkApplicationKind as SparkApplication,
    spark::ScheduledSparkApplicationKind as ScheduledSparkApplication,
    spark_connect::SparkConnectKind as SparkConnect,
    tekton::TaskRunKind as TaskRun,
    tekton::PipelineRunKind as PipelineRun,
    tekton::TaskKind as TektonTask,
    tekton::PipelineKind as TektonPipeline,
    tekton::StepActionKind as StepAction,
    appwrapper::AppWrapperKind as AppWrapper,
    katib::ExperimentKind as Experiment,
    katib::TrialKind as Trial,
    kueue::WorkloadKind as Workload,
    flyte::FlyteWorkflowKind as FlyteWorkflow,
    flyte::TaskActionKind as TaskAction,
}

impl<'a> Object<'a> {
    /// The object's submission and who it is; its paths start at `root`.
    #[must_use]
    pub fn draft(self, context: Context<'a, '_>, paths: &mut Paths<'a>, root: At) -> Drafted<'a> {
        let mut draft = Draft::new(context, paths, root);
        self.draft_into(&mut draft);
        draft.finish()
    }
}

/// Owners that make whatever they embed, of any kind.
const EMBEDDERS: &[Edge] = &[
    Edge::of("workload.codeflare.dev", "AppWrapper", accounts::APPWRAPPER),
    Edge::of("kubeflow.org", "Trial", accounts::KATIB),
    // What it runs is encoded, so there is nothing that a child could continue.
    Edge::start_of("flyte.lyft.com", "FlyteWorkflow", accounts::FLYTE),
    Edge::start_of("flyte.org", "TaskAction", accounts::FLYTE),
];

impl KnownKind {
    /// Who makes objects of this kind for which owners. What embeds is not embedded itself, nor is what makes it, so
    /// that no kind is its own ancestor.
    pub fn creators(self) -> impl Iterator<Item = &'static Edge> {
        let info = self.info();
        let embeds = EMBEDDERS.iter().any(|edge| edge.is_from(self));
        let embedders = EMBEDDERS.iter().filter(move |edge| {
            let embedder = Self::find(edge.group, edge.kind);
            let mut makers = embedder.into_iter().flat_map(|it| it.info().creators);
            !embeds && !makers.any(|maker| maker.is_from(self))
        });
        info.creators.iter().chain(embedders)
    }

    /// The version in which objects are asked for.
    #[must_use]
    pub fn default_version(self) -> &'static str {
        self.info().versions.first().copied().unwrap_or("v1")
    }

    /// The version of that name, if the adapter reads it.
    #[must_use]
    pub fn version(self, version: &str) -> Option<&'static str> {
        self.info().versions.iter().copied().find(|it| *it == version)
    }

    /// The kind that a person names `Kind.group`, or `Kind` alone if it is Kubernetes' own or the only one.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        if let Some((kind, group)) = text.split_once('.') {
            return Self::find(group, kind);
        }
        let mut alike = Self::ALL.iter().copied().filter(|it| it.info().kind == text);
        let first = alike.next()?;
        (first.info().is_core() || alike.next().is_none()).then_some(first)
    }

    /// The kind of that group and name.
    #[must_use]
    pub fn find(group: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.info().kind == kind && known.info().group == group)
    }

    /// Reads an object of this kind.
    ///
    /// # Errors
    ///
    /// If the text is not an object of the kind, with the field that surprised.
    pub fn read(self, json: &str) -> Result<Object<'_>, ReadError> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        self.deserialize(&mut deserializer)
            .map_err(|error| ReadError::of(&error, json))
    }
}
