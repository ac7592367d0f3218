//! `flyte.lyft.com` FlyteWorkflow and `flyte.org` TaskAction: tasks that Flyte's plugins make pods and jobs of.
//!
//! Read is what shows: tasks with a container or a pod. Whatever else a task is, a plugin makes something of it that
//! cannot be foreseen. Order is not read either: an init container is the only step that proves something here. So what
//! Flyte makes is judged in full when it is made.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::leaf::{Entries, List};
use super::meta::{Meta, null_is_default};
use super::pod::{Env, EnvVar, PodSpec, Resources};
use super::{Info, Kind};
use crate::draft::Draft;
use crate::path::At;
use crate::render::shown;
use crate::submission::{OrderId, Role, Run, Runs, Unseen};
use crate::text::Text;

/// `flyte.lyft.com` FlyteWorkflow.
#[derive(Debug)]
pub struct FlyteWorkflowKind;

/// A FlyteWorkflow. Its fields stand beside its metadata.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlyteWorkflow<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sub_workflows: Option<&'a RawValue>,
    #[serde(borrow, default)]
    inputs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tasks: Entries<'a, TaskTemplate<'a>>,
    /// Where the tasks are if they are not here.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    workflow_closure_reference: Text<'a>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// `WorkflowSpec`, of the workflow or of one inside it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph<'a> {
    #[serde(borrow, default)]
    nodes: Entries<'a, GraphNode<'a>>,
    #[serde(borrow, default)]
    on_failure: Option<GraphNode<'a>>,
}

/// `NodeSpec`, of which only what it sets for its task.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphNode<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    task: Text<'a>,
    #[serde(borrow, default)]
    resources: Option<Resources<'a>>,
    #[serde(borrow, default)]
    extended_resources: Option<&'a RawValue>,
}

/// `core.TaskTemplate` as JSON. Protobuf reads both spellings of a name.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskTemplate<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    id: Id<'a>,
    #[serde(borrow, default)]
    container: Option<Container<'a>>,
    #[serde(borrow, default, alias = "k8s_pod")]
    k8s_pod: Option<K8sPod<'a>>,
    #[serde(borrow, default)]
    custom: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "extended_resources")]
    extended_resources: Option<&'a RawValue>,
}

/// `core.Identifier`.
#[derive(Debug, Default, Deserialize)]
struct Id<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
}

/// `core.Container`.
#[derive(Debug, Deserialize)]
struct Container<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    image: Text<'a>,
    #[serde(borrow, default)]
    command: List<Text<'a>>,
    #[serde(borrow, default)]
    args: List<Text<'a>>,
    #[serde(borrow, default)]
    env: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    resources: FlyteResources<'a>,
}

/// `core.KeyValuePair`.
#[derive(Debug, Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    key: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    value: Text<'a>,
}

/// `core.Resources`.
#[derive(Debug, Default, Deserialize)]
struct FlyteResources<'a> {
    #[serde(borrow, default)]
    requests: List<ResourceEntry<'a>>,
    #[serde(borrow, default)]
    limits: List<ResourceEntry<'a>>,
}

/// `core.Resources.ResourceEntry`; its name is an enumeration, as a word or a number.
#[derive(Debug, Deserialize)]
struct ResourceEntry<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    value: Text<'a>,
}

impl FlyteResources<'_> {
    fn ask(&self) -> bool {
        let gpu = |it: &ResourceEntry<'_>| {
            it.name.is_some_and(|name| matches!(name.get(), "\"GPU\"" | "2"))
                && !matches!(&*it.value, "" | "0")
        };
        self.requests.0.iter().chain(&self.limits.0).any(gpu)
    }
}

/// `core.K8sPod`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct K8sPod<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, alias = "pod_spec", deserialize_with = "null_is_default")]
    pod_spec: PodSpec<'a>,
}

/// Whether something is set.
fn is_set(json: Option<&RawValue>) -> bool {
    json.is_some_and(|json| !matches!(json.get(), "null" | "{}"))
}

/// The tasks for which the nodes of a graph ask for accelerators.
fn asking<'a>(graph: Graph<'a>, d: &Draft<'a, '_>, tasks: &mut HashSet<Text<'a>>) {
    let nodes = graph.nodes.0.into_iter().map(|(_, node)| node);
    for node in nodes.chain(graph.on_failure) {
        if d.asks(node.resources.as_ref()) || is_set(node.extended_resources) {
            tasks.insert(node.task);
        }
    }
}

impl Kind for FlyteWorkflowKind {
    const INFO: Info = Info {
        status: false,
        rewrites: true,
        proof: "an init container, without `restartPolicy: Always`, in the pod template of every task that trains",
        limits: &[
            "The order of its tasks is not read.",
            "A task that shows neither a container nor a pod, and a workflow whose tasks are stored elsewhere, cannot be seen. They are refused where keys or `workloads: All` govern the workflow; under `Accelerated` alone an encoded task shows no accelerator, so what Flyte makes of it is judged when it is made, in full, and the workflow is left alone.",
        ],
        ..Info::new("flyte.lyft.com", "FlyteWorkflow", "flyteworkflows", &["v1alpha1"])
    };
    type Object<'a> = FlyteWorkflow<'a>;

    fn draft<'a>(workflow: FlyteWorkflow<'a>, d: &mut Draft<'a, '_>) {
        d.object(workflow.metadata);
        d.status(workflow.status);
        for json in [workflow.spec, workflow.sub_workflows, workflow.inputs] {
            d.raw(json);
        }
        let mut accelerated = HashSet::new();
        let graph = workflow
            .spec
            .map(|spec| serde_json::from_str::<Graph<'a>>(spec.get()));
        let inner = workflow
            .sub_workflows
            .map(|sub| serde_json::from_str::<Entries<'a, Graph<'a>>>(sub.get()));
        match graph.transpose() {
            Ok(graph) => asking(graph.unwrap_or_default(), d, &mut accelerated),
            Err(_) => {
                let at = d.field(d.root(), "spec");
                d.opaque("the graph of the workflow", Unseen::Unreadable, at);
            }
        }
        match inner.transpose() {
            Ok(graphs) => {
                for (_, graph) in graphs.unwrap_or_default().0 {
                    asking(graph, d, &mut accelerated);
                }
            }
            Err(_) => {
                let at = d.field(d.root(), "subWorkflows");
                d.opaque("the graphs of the workflows inside", Unseen::Unreadable, at);
            }
        }
        for (key, task) in workflow.tasks.0 {
            // The key has project, domain and version in it too.
            let name = if task.id.name.is_empty() {
                &key
            } else {
                &task.id.name
            };
            let at = d.entry(d.root(), "tasks", name);
            task.draft(accelerated.contains(&key), at, d);
        }
        if !workflow.workflow_closure_reference.is_empty() {
            let at = d.field(d.root(), "workflowClosureReference");
            d.opaque("the closure of the workflow", Unseen::Elsewhere, at);
        }
    }
}

impl<'a> TaskTemplate<'a> {
    fn draft(self, asked: bool, at: At, d: &mut Draft<'a, '_>) {
        d.raw(self.custom);
        d.raw(self.extended_resources);
        let asked = asked || is_set(self.extended_resources);
        let base = d.base();
        if let Some(pod) = self.k8s_pod {
            let at = d.field(at, "k8sPod");
            d.template_meta(pod.metadata, at);
            let at = d.field(at, "podSpec");
            let frame = d.frame(at);
            d.containers(pod.pod_spec, frame, at);
            if asked {
                d.accelerate(at);
            }
            d.call(base, self.id.name, frame, OrderId(0), Runs::Once, at);
        } else if let Some(container) = self.container {
            let at = d.field(at, "container");
            let frame = d.frame(at);
            let read = |env: &'a RawValue| serde_json::from_str::<List<KeyValue<'a>>>(env.get()).ok();
            let variables = container.env.and_then(read).unwrap_or_default();
            let variables = variables.0.into_iter().map(|it| EnvVar {
                name: it.key,
                value: Some(it.value),
            });
            let env = Env {
                raw: None,
                variables: variables.collect(),
            };
            let accelerated = d.env(env, at) || asked || container.resources.ask();
            let some = |list: Vec<Text<'a>>| (!list.is_empty()).then_some(list);
            let run = Run {
                role: Role::Main,
                image: container.image,
                command: some(container.command.0),
                args: some(container.args.0),
                rewritten: false,
                accelerated,
                raw: container.env.into_iter().map(RawValue::get).collect(),
            };
            d.run(frame, self.id.name.clone(), run, OrderId(0), Runs::Once, at);
            d.call(base, self.id.name, frame, OrderId(0), Runs::Once, at);
        } else {
            let told = format!("task {}", shown(&self.id.name));
            d.opaque(told, Unseen::Encoded, at);
            if asked {
                d.accelerate(at);
            }
        }
    }
}

/// `flyte.org` TaskAction.
#[derive(Debug)]
pub struct TaskActionKind;

/// A TaskAction.
#[derive(Debug, Deserialize)]
pub struct TaskAction<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
}

/// `TaskActionSpec`, of which the template is protobuf bytes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskActionSpec<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    action_name: Text<'a>,
}

impl Kind for TaskActionKind {
    const INFO: Info = Info {
        rewrites: true,
        proof: "nothing: it is encoded",
        limits: &[
            "It is refused where keys or `workloads: All` govern it, and left alone otherwise: it shows no accelerator. The pods and jobs that Flyte makes of it are judged when they are made, in full.",
        ],
        ..Info::new("flyte.org", "TaskAction", "taskactions", &["v1"])
    };
    type Object<'a> = TaskAction<'a>;

    fn draft<'a>(action: TaskAction<'a>, d: &mut Draft<'a, '_>) {
        d.object(action.metadata);
        d.raw(action.spec);
        let spec = action
            .spec
            .map(|spec| serde_json::from_str::<TaskActionSpec<'a>>(spec.get()));
        let spec = spec.transpose().ok().flatten().unwrap_or_default();
        let at = d.field(d.root(), "spec.taskTemplate");
        d.opaque(format!("task {}", shown(&spec.action_name)), Unseen::Encoded, at);
    }
}
