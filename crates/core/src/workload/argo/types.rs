//! What is read of Argo's objects.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::text::Text;
use crate::workload::leaf::{Count, Entries, List};
use crate::workload::meta::{Meta, null_is_default};
use crate::workload::pod::Container;

/// `WorkflowSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// No new step starts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub suspend: bool,
    /// How many pods at a time; with 0 none ever starts.
    #[serde(default)]
    pub parallelism: Count,
    /// The template that runs.
    #[serde(borrow, default)]
    pub entrypoint: Option<Text<'a>>,
    /// A template that runs when all is over.
    #[serde(borrow, default)]
    pub on_exit: Option<Text<'a>>,
    /// Templates that run when something happens.
    #[serde(borrow, default)]
    pub hooks: Entries<'a, Hook<'a>>,
    /// `Arguments`.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    /// The templates.
    #[serde(borrow, default)]
    pub templates: List<Template<'a>>,
    /// Merged under every template.
    #[serde(borrow, default)]
    pub template_defaults: Option<&'a RawValue>,
    /// The spec is that of a template, which this one overrides.
    #[serde(borrow, default)]
    pub workflow_template_ref: Option<ResourceRef<'a>>,
    /// Labels and annotations of all pods.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub pod_metadata: Meta<'a>,
    /// Labels and annotations of the Workflows made from it.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub workflow_metadata: Meta<'a>,
    /// YAML that is laid over every pod.
    #[serde(borrow, default)]
    pub pod_spec_patch: Option<Text<'a>>,
    /// How artifacts are deleted: in a pod.
    #[serde(borrow, default, rename = "artifactGC")]
    pub artifact_gc: Option<ArtifactGc<'a>>,
    /// Sidecars of the agent, which runs `http` and `plugin` templates.
    #[serde(borrow, default)]
    pub executor_plugins: List<Plugin<'a>>,
    /// Dynamic resource allocation, of every pod.
    #[serde(default)]
    pub resource_claims: List<IgnoredAny>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub volumes: Option<&'a RawValue>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub volume_claim_templates: Option<&'a RawValue>,
    /// Compared, never read: where an artifact with only a key comes from.
    #[serde(borrow, default)]
    pub artifact_repository_ref: Option<&'a RawValue>,
}

/// `WorkflowTemplateRef`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRef<'a> {
    /// Its name.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// A ClusterWorkflowTemplate.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cluster_scope: bool,
}

/// `TemplateRef`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef<'a> {
    /// The name of the WorkflowTemplate.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// The template in it.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub template: Text<'a>,
    /// A ClusterWorkflowTemplate.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cluster_scope: bool,
}

/// `WorkflowLevelArtifactGC`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactGc<'a> {
    /// YAML that is laid over the pod that deletes.
    #[serde(borrow, default)]
    pub pod_spec_patch: Option<Text<'a>>,
}

/// `ExecutorPlugin`.
#[derive(Debug, Deserialize)]
pub struct Plugin<'a> {
    /// `spec`.
    #[serde(borrow, default)]
    pub spec: PluginSpec<'a>,
}

/// `ExecutorPluginSpec`.
#[derive(Debug, Default, Deserialize)]
pub struct PluginSpec<'a> {
    /// `sidecar`.
    #[serde(borrow, default)]
    pub sidecar: PluginSidecar<'a>,
}

/// `ExecutorPluginSidecar`.
#[derive(Debug, Default, Deserialize)]
pub struct PluginSidecar<'a> {
    /// `container`.
    #[serde(borrow, default)]
    pub container: Option<Container<'a>>,
}

/// `LifecycleHook`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook<'a> {
    /// A template beside this one.
    #[serde(borrow, default)]
    pub template: Option<Text<'a>>,
    /// A template elsewhere.
    #[serde(borrow, default)]
    pub template_ref: Option<TemplateRef<'a>>,
    /// `Arguments`.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
}

/// `Template`. It is of the type of the first of these that is there: container, containerSet, steps, dag, script, and
/// what runs no container of the user.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template<'a> {
    /// Its name.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// Labels and annotations of its pod.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub metadata: Meta<'a>,
    /// `Inputs`.
    #[serde(borrow, default)]
    pub inputs: Option<&'a RawValue>,
    /// What follows starts when it is ready.
    #[serde(default, deserialize_with = "null_is_default")]
    pub daemon: bool,
    /// Its result may be taken from a cache.
    #[serde(default)]
    pub memoize: Option<IgnoredAny>,
    /// A pod with one main container.
    #[serde(borrow, default)]
    pub container: Option<Container<'a>>,
    /// A pod with several, in the order of their dependencies.
    #[serde(borrow, default)]
    pub container_set: Option<ContainerSet<'a>>,
    /// Groups of calls, one group after another.
    #[serde(borrow, default)]
    pub steps: Option<List<List<Task<'a>>>>,
    /// Calls that depend on one another.
    #[serde(borrow, default)]
    pub dag: Option<Dag<'a>>,
    /// A container with a text to run.
    #[serde(borrow, default)]
    pub script: Option<&'a RawValue>,
    /// Makes an object, of which nothing is known but a text. It is judged when it is made.
    #[serde(borrow, default)]
    pub resource: Option<&'a RawValue>,
    /// Lists artifacts.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// Asks a server.
    #[serde(borrow, default)]
    pub http: Option<&'a RawValue>,
    /// Asks a plugin.
    #[serde(borrow, default)]
    pub plugin: Option<&'a RawValue>,
    /// Run before the main container.
    #[serde(borrow, default)]
    pub init_containers: List<Container<'a>>,
    /// Run beside it.
    #[serde(borrow, default)]
    pub sidecars: List<Container<'a>>,
    /// YAML that is laid over its pod.
    #[serde(borrow, default)]
    pub pod_spec_patch: Option<Text<'a>>,
    /// Dynamic resource allocation.
    #[serde(default)]
    pub resource_claims: List<IgnoredAny>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub volumes: Option<&'a RawValue>,
}

/// `ContainerSetTemplate`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSet<'a> {
    /// `ContainerNode`: a container and what it waits for.
    #[serde(borrow, default)]
    pub containers: List<&'a RawValue>,
    /// Compared, never read.
    #[serde(borrow, default)]
    pub volume_mounts: Option<&'a RawValue>,
}

/// What a container of a set waits for.
#[derive(Debug, Default, Deserialize)]
pub struct Dependencies<'a> {
    /// Names of others.
    #[serde(borrow, default)]
    pub dependencies: List<Text<'a>>,
}

/// `DAGTemplate`.
#[derive(Debug, Deserialize)]
pub struct Dag<'a> {
    /// The tasks that are wanted, with spaces between; by default those on which nothing depends.
    #[serde(borrow, default)]
    pub target: Option<Text<'a>>,
    /// The tasks.
    #[serde(borrow, default)]
    pub tasks: List<Task<'a>>,
}

/// `WorkflowStep` and `DAGTask`: a call of a template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task<'a> {
    /// Its name.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// A template beside this one.
    #[serde(borrow, default)]
    pub template: Option<Text<'a>>,
    /// A template right here.
    #[serde(borrow, default)]
    pub inline: Option<Box<Template<'a>>>,
    /// A template elsewhere.
    #[serde(borrow, default)]
    pub template_ref: Option<TemplateRef<'a>>,
    /// `Arguments`.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    /// Of a DAG: what it waits for, as a list.
    #[serde(borrow, default)]
    pub dependencies: List<Text<'a>>,
    /// Of a DAG: what it waits for, as an expression.
    #[serde(borrow, default)]
    pub depends: Option<Text<'a>>,
    /// Runs once for each.
    #[serde(default)]
    pub with_items: Option<Vec<IgnoredAny>>,
    /// Runs once for each of a JSON list.
    #[serde(borrow, default)]
    pub with_param: Option<Text<'a>>,
    /// Runs once for each number.
    #[serde(default)]
    pub with_sequence: Option<IgnoredAny>,
    /// Runs only then.
    #[serde(borrow, default)]
    pub when: Option<Text<'a>>,
    /// What follows runs although it failed.
    #[serde(default)]
    pub continue_on: Option<ContinueOn>,
    /// A template that runs when it is over.
    #[serde(borrow, default)]
    pub on_exit: Option<Text<'a>>,
    /// Templates that run when something happens.
    #[serde(borrow, default)]
    pub hooks: Entries<'a, Hook<'a>>,
}

/// `ContinueOn`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ContinueOn {
    /// On an error of the system.
    #[serde(default, deserialize_with = "null_is_default")]
    pub error: bool,
    /// On a failure of what ran.
    #[serde(default, deserialize_with = "null_is_default")]
    pub failed: bool,
}

/// `WorkflowTemplate` and `ClusterWorkflowTemplate`, as far as another object uses it.
#[derive(Debug, Deserialize)]
pub struct Referred<'a> {
    /// `spec`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub spec: Spec<'a>,
}

impl Spec<'_> {
    /// Whether it names what it starts with.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.entrypoint.as_ref().is_some_and(|name| !name.is_empty())
    }
}
