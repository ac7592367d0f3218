//! `tekton.dev` TaskRun and PipelineRun, and the Task, Pipeline and StepAction that they run.
//!
//! Steps of a task run one after another in one pod, although they stand among its `containers` (reference: Tekton's
//! entrypoint). A task's run is known to its PipelineRun by name alone, whoever owns it (`getTaskRunFunc` in Tekton's
//! PipelineRun controller), so a task shows no more than a word of what came before another task.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::accounts::TEKTON;
use super::leaf::List;
use super::meta::{Meta, null_is_default};
use super::pod::{Env, Resources};
use super::{Class, Edge, Info, Kind};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{OrderId, Runs, Unseen};
use crate::text::Text;

mod pipeline;
mod reference;
mod task;

use self::pipeline::PipelineSpec;
use self::reference::{Library, Reference};
use self::task::{ActionSpec, Asked, TaskSpec};

const GROUP: &str = "tekton.dev";

/// Steps are in one pod and in strict order.
const STEP: &str = "an earlier step of the same task, without `when` and without `onError: continue`";

/// Tasks are known by name.
const TASK: &str = "an earlier step of the same task, without `when` and without `onError: continue`; or, as `Declared` only, a task for which the other waits by `runAfter` or by using its results, without `when`, `onError: continue` or a `matrix` that may be empty";

/// What is not in the cluster.
const RESOLVERS: &str = "A reference to git, a hub, a bundle or a URL, a custom task and a `ClusterTask` cannot be seen, and are refused where the run is governed. The cluster resolver is followed if the reference names the namespace.";

/// An object with a spec.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
pub struct Of<'a, S> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: S,
}

/// The part of a pod template that a run sets for all steps.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodExtras<'a> {
    #[serde(borrow, default)]
    env: Env<'a>,
    #[serde(borrow, default)]
    runtime_class_name: Option<Text<'a>>,
}

/// Resources that a run sets for one step or sidecar.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Override<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default)]
    compute_resources: Option<Resources<'a>>,
    /// In v1beta1.
    #[serde(borrow, default)]
    resources: Option<Resources<'a>>,
}

/// JSON of a run, compared as it stands, because whether it changes anything may depend on what is not yet fetched.
fn parsed<'a, T: Deserialize<'a> + Default>(json: Option<&'a RawValue>, at: At, d: &mut Draft<'a, '_>) -> T {
    d.raw(json);
    let read = json.map(|json| serde_json::from_str::<Option<T>>(json.get()));
    read.transpose().map_or_else(
        |_| {
            d.opaque("what it sets", Unseen::Unreadable, at);
            T::default()
        },
        |read| read.flatten().unwrap_or_default(),
    )
}

/// What a run sets for the steps and sidecars of one task.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Overrides<'a> {
    #[serde(borrow, default)]
    pod_template: Option<&'a RawValue>,
    /// In v1beta1.
    #[serde(borrow, default)]
    task_pod_template: Option<&'a RawValue>,
    #[serde(borrow, default)]
    step_specs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    step_overrides: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sidecar_specs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sidecar_overrides: Option<&'a RawValue>,
    #[serde(borrow, default)]
    compute_resources: Option<&'a RawValue>,
}

impl<'a> Overrides<'a> {
    /// What asks for accelerators by them.
    fn read(self, at: At, asked: &mut Asked<'a>, d: &mut Draft<'a, '_>) {
        let resources: Option<Resources<'a>> = parsed(self.compute_resources, at, d);
        asked.all |= d.asks(resources.as_ref());
        for (json, name) in [
            (self.pod_template, "podTemplate"),
            (self.task_pod_template, "taskPodTemplate"),
        ] {
            let template = d.field(at, name);
            asked.all |= pod_template(json, template, d);
        }
        let accelerated = |json, d: &mut Draft<'a, '_>| {
            let list: List<Override<'a>> = parsed(json, at, d);
            let asks =
                |it: &Override<'a>| d.asks(it.compute_resources.as_ref()) || d.asks(it.resources.as_ref());
            let names = list.0.into_iter().filter(asks).map(|it| it.name);
            names.collect::<Vec<_>>()
        };
        for json in [self.step_specs, self.step_overrides] {
            asked.steps.extend(accelerated(json, d));
        }
        for json in [self.sidecar_specs, self.sidecar_overrides] {
            asked.sidecars.extend(accelerated(json, d));
        }
    }
}

/// A pod template of a run: its variables and runtime class; whether all steps have accelerators by it.
fn pod_template<'a>(template: Option<&'a RawValue>, at: At, d: &mut Draft<'a, '_>) -> bool {
    let extras: PodExtras<'a> = parsed(template, at, d);
    let class = d.runtime_class(extras.runtime_class_name.as_ref(), at);
    d.env(extras.env, at) || class
}

/// `TaskRunSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRunSpec<'a> {
    #[serde(borrow, default)]
    task_ref: Option<&'a RawValue>,
    #[serde(borrow, default)]
    task_spec: Option<Box<TaskSpec<'a>>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    status: Text<'a>,
    #[serde(borrow, default)]
    pod_template: Option<&'a RawValue>,
    #[serde(borrow, default)]
    step_specs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    step_overrides: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sidecar_specs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sidecar_overrides: Option<&'a RawValue>,
    #[serde(borrow, default)]
    compute_resources: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    workspaces: Option<&'a RawValue>,
    #[serde(borrow, default)]
    debug: Option<&'a RawValue>,
}

/// `tekton.dev` TaskRun.
#[derive(Debug)]
pub struct TaskRunKind;

impl Kind for TaskRunKind {
    const INFO: Info = Info {
        rewrites: true,
        creators: &[Edge::of(GROUP, "PipelineRun", TEKTON)],
        refers_to: &[(GROUP, "Task"), (GROUP, "StepAction")],
        proof: STEP,
        limits: &[
            RESOLVERS,
            "Sidecars start beside the steps, so one that trains has no filter before it. A breakpoint on failure lets a person call a failed step a success, so nothing is proved with one.",
            "An image that a parameter names is nobody's trusted image.",
        ],
        ..Info::new(GROUP, "TaskRun", "taskruns", &["v1", "v1beta1"])
    };
    type Object<'a> = Of<'a, TaskRunSpec<'a>>;

    fn draft<'a>(run: Of<'a, TaskRunSpec<'a>>, d: &mut Draft<'a, '_>) {
        d.object(run.metadata);
        let run = run.spec;
        d.held(&*run.status == "TaskRunPending");
        for json in [run.params, run.workspaces, run.debug] {
            d.raw(json);
        }
        let at = d.field(d.root(), "spec");
        let mut asked = Asked {
            // A person at a breakpoint may call a failed step a success.
            debugged: run.debug.is_some_and(|debug| debug.get().contains("onFailure")),
            ..Asked::default()
        };
        let overrides = Overrides {
            pod_template: run.pod_template,
            task_pod_template: None,
            step_specs: run.step_specs,
            step_overrides: run.step_overrides,
            sidecar_specs: run.sidecar_specs,
            sidecar_overrides: run.sidecar_overrides,
            compute_resources: run.compute_resources,
        };
        overrides.read(at, &mut asked, d);
        let mut library = Library::default();
        let frame = match run.task_spec {
            Some(spec) => {
                let at = d.field(at, "taskSpec");
                let frame = d.frame(at);
                spec.draft(frame, at, &asked, &mut library, d);
                Some(frame)
            }
            None => {
                let at = d.field(at, "taskRef");
                Reference::read(run.task_ref, at, d)
                    .and_then(|reference| library.task(&reference, Some(&asked), at, d))
            }
        };
        if let Some(frame) = frame {
            d.call(d.base(), Text::default(), frame, OrderId(0), Runs::Once, at);
        }
    }
}

/// `PipelineRunSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunSpec<'a> {
    #[serde(borrow, default)]
    pipeline_ref: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pipeline_spec: Option<PipelineSpec<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    status: Text<'a>,
    /// In v1beta1.
    #[serde(borrow, default)]
    pod_template: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    task_run_template: TaskRunTemplate<'a>,
    #[serde(borrow, default)]
    task_run_specs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    workspaces: Option<&'a RawValue>,
}

/// `PipelineTaskRunTemplate`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskRunTemplate<'a> {
    #[serde(borrow, default)]
    pod_template: Option<&'a RawValue>,
}

/// `PipelineTaskRunSpec`: what a PipelineRun sets for one of the tasks; the rest of it is `Overrides`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfTask<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pipeline_task_name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
}

/// `tekton.dev` PipelineRun.
#[derive(Debug)]
pub struct PipelineRunKind;

impl Kind for PipelineRunKind {
    const INFO: Info = Info {
        rewrites: true,
        // Of a pipeline that is a task of another.
        creators: &[Edge::of(GROUP, "PipelineRun", TEKTON)],
        refers_to: &[(GROUP, "Pipeline"), (GROUP, "Task"), (GROUP, "StepAction")],
        proof: TASK,
        limits: &[
            RESOLVERS,
            "Tekton takes whatever TaskRun has the name of a task's run for that run, whoever made it. So a filter in a task of its own is believed only where `Declared` evidence is; as a step of the task that trains it is proved.",
            "`finally` runs whatever became of the tasks, so nothing comes provably before it.",
        ],
        ..Info::new(GROUP, "PipelineRun", "pipelineruns", &["v1", "v1beta1"])
    };
    type Object<'a> = Of<'a, PipelineRunSpec<'a>>;

    fn draft<'a>(run: Of<'a, PipelineRunSpec<'a>>, d: &mut Draft<'a, '_>) {
        d.object(run.metadata);
        let run = run.spec;
        d.held(&*run.status == "PipelineRunPending");
        d.raw(run.params);
        d.raw(run.workspaces);
        let at = d.field(d.root(), "spec");
        let mut library = Library::default();
        for (json, name) in [
            (run.pod_template, "podTemplate"),
            (run.task_run_template.pod_template, "taskRunTemplate.podTemplate"),
        ] {
            let template = d.field(at, name);
            library.all_accelerated |= pod_template(json, template, d);
        }
        let specs: List<&'a RawValue> = parsed(run.task_run_specs, at, d);
        for (json, i) in specs.0.into_iter().zip(0..) {
            let at = d.item(at, "taskRunSpecs", i);
            let (Ok(of), Ok(overrides)) = (
                serde_json::from_str::<OfTask<'a>>(json.get()),
                serde_json::from_str::<Overrides<'a>>(json.get()),
            ) else {
                d.opaque("what it sets", Unseen::Unreadable, at);
                continue;
            };
            d.template_meta(of.metadata, at);
            let asked = library.asked.entry(of.pipeline_task_name).or_default();
            overrides.read(at, asked, d);
        }
        match run.pipeline_spec {
            Some(spec) => {
                let at = d.field(at, "pipelineSpec");
                spec.draft(d.base(), at, &mut library, d);
            }
            None => {
                let at = d.field(at, "pipelineRef");
                let called = Reference::read(run.pipeline_ref, at, d)
                    .and_then(|reference| library.pipeline(&reference, at, d));
                if let Some(frame) = called {
                    d.call(d.base(), Text::default(), frame, OrderId(0), Runs::Once, at);
                }
            }
        }
    }
}

/// `tekton.dev` Task.
#[derive(Debug)]
pub struct TaskKind;

impl Kind for TaskKind {
    const INFO: Info = Info {
        class: Class::Template,
        refers_to: &[(GROUP, "StepAction")],
        proof: STEP,
        limits: &[RESOLVERS],
        ..Info::new(GROUP, "Task", "tasks", &["v1", "v1beta1"])
    };
    type Object<'a> = Of<'a, TaskSpec<'a>>;

    fn draft<'a>(task: Of<'a, TaskSpec<'a>>, d: &mut Draft<'a, '_>) {
        d.object(task.metadata);
        let at = d.field(d.root(), "spec");
        let frame = d.frame(at);
        task.spec
            .draft(frame, at, &Asked::default(), &mut Library::default(), d);
        d.call(d.base(), Text::default(), frame, OrderId(0), Runs::Once, at);
    }
}

/// `tekton.dev` Pipeline.
#[derive(Debug)]
pub struct PipelineKind;

impl Kind for PipelineKind {
    const INFO: Info = Info {
        class: Class::Template,
        refers_to: &[(GROUP, "Pipeline"), (GROUP, "Task"), (GROUP, "StepAction")],
        proof: TASK,
        limits: &[RESOLVERS],
        ..Info::new(GROUP, "Pipeline", "pipelines", &["v1", "v1beta1"])
    };
    type Object<'a> = Of<'a, PipelineSpec<'a>>;

    fn draft<'a>(pipeline: Of<'a, PipelineSpec<'a>>, d: &mut Draft<'a, '_>) {
        d.object(pipeline.metadata);
        let at = d.field(d.root(), "spec");
        pipeline.spec.draft(d.base(), at, &mut Library::default(), d);
    }
}

/// `tekton.dev` StepAction.
#[derive(Debug)]
pub struct StepActionKind;

impl Kind for StepActionKind {
    const INFO: Info = Info {
        class: Class::Template,
        proof: "nothing: it is one step",
        limits: &[
            "One that declares data to train on is refused where a step is required, because nothing comes before it. Declare it where the action is used.",
        ],
        ..Info::new(GROUP, "StepAction", "stepactions", &["v1beta1", "v1alpha1"])
    };
    type Object<'a> = Of<'a, ActionSpec<'a>>;

    fn draft<'a>(action: Of<'a, ActionSpec<'a>>, d: &mut Draft<'a, '_>) {
        d.object(action.metadata);
        let at = d.field(d.root(), "spec");
        action.spec.draft_alone(at, d);
    }
}
