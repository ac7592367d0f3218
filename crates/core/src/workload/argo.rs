//! Argo Workflows: Workflow, CronWorkflow, WorkflowTemplate and ClusterWorkflowTemplate.
//!
//! A template is a frame: a pod, groups of steps, or tasks that depend on one another. Steps prove that the groups before
//! them succeeded; a task proves it of those whose `Succeeded` its `depends` rests on. A pod of a task can be stood in for
//! by any pod of the same name or node id, because the controller adopts what it finds (reference: `createWorkflowPod`),
//! so what ran in another pod is known by name only.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::accounts::{ARGO, PIPELINES};
use super::meta::{Meta, null_is_default};
use super::{Class, Edge, Info, Kind, Scope};
use crate::draft::Draft;

mod dag;
mod defaults;
mod depends;
mod graph;
mod params;
mod pod;
mod run;
mod types;

pub use self::params::Values;
pub use self::types::Spec;

const TEMPLATES: &[(&str, &str)] = &[
    ("argoproj.io", "WorkflowTemplate"),
    ("argoproj.io", "ClusterWorkflowTemplate"),
];

/// What shows the order, of all of Argo's kinds.
pub const PROOF: &str = "an earlier group of `steps`, `depends: NAME.Succeeded` of a task, `dependencies` in a \
     `containerSet`, or `initContainers` of the template; what ran in another pod counts as declared only, because Argo \
     takes any pod of that name for it";

/// What is not seen, of all of Argo's kinds.
pub const LIMITS: &[&str] = &[
    "`dependencies: [NAME]` and `depends: NAME` prove nothing, because a skipped task satisfies them",
    "`podSpecPatch` and names with `{{...}}` are refused as opaque",
    "an image with `{{...}}` is seen only if its parameter is a literal, and of a template only if it is called once",
    "what a `resource` template creates is judged when it is created",
];

/// `argoproj.io` Workflow.
#[derive(Debug)]
pub struct WorkflowKind;

/// A Workflow.
#[derive(Debug, Deserialize)]
pub struct Workflow<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Box<Spec<'a>>,
    /// The controller runs the spec that is stored here, and skips what succeeded according to it.
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

impl Kind for WorkflowKind {
    const INFO: Info = Info {
        status: false,
        rewrites: true,
        creators: &[
            Edge::start_of("argoproj.io", "CronWorkflow", ARGO),
            Edge::start_of("kubeflow.org", "ScheduledWorkflow", PIPELINES),
        ],
        refers_to: TEMPLATES,
        proof: PROOF,
        limits: LIMITS,
        ..Info::new("argoproj.io", "Workflow", "workflows", &["v1alpha1"])
    };
    type Object<'a> = Workflow<'a>;

    fn draft<'a>(workflow: Workflow<'a>, d: &mut Draft<'a, '_>) {
        d.object(workflow.metadata);
        d.status(workflow.status);
        let spec = d.field(d.root(), "spec");
        workflow.spec.draft(spec, Values::new(), d);
    }
}

/// `argoproj.io` CronWorkflow.
#[derive(Debug)]
pub struct CronWorkflowKind;

/// A CronWorkflow.
#[derive(Debug, Deserialize)]
pub struct CronWorkflow<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: CronSpec<'a>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// `CronWorkflowSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    workflow_spec: Box<Spec<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    workflow_metadata: Meta<'a>,
    #[serde(borrow, default)]
    when: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_strategy: Option<&'a RawValue>,
}

impl Kind for CronWorkflowKind {
    const INFO: Info = Info {
        status: false,
        rewrites: true,
        refers_to: TEMPLATES,
        proof: PROOF,
        limits: LIMITS,
        ..Info::new("argoproj.io", "CronWorkflow", "cronworkflows", &["v1alpha1"])
    };
    type Object<'a> = CronWorkflow<'a>;

    fn draft<'a>(cron: CronWorkflow<'a>, d: &mut Draft<'a, '_>) {
        d.object(cron.metadata);
        d.status(cron.status);
        d.held(cron.spec.suspend);
        d.raw(cron.spec.when);
        d.raw(cron.spec.stop_strategy);
        let spec = d.field(d.root(), "spec");
        let metadata = d.field(spec, "workflowMetadata");
        d.bare_meta(cron.spec.workflow_metadata, metadata);
        let workflow = d.field(spec, "workflowSpec");
        cron.spec.workflow_spec.draft(workflow, Values::new(), d);
    }
}

/// A WorkflowTemplate or ClusterWorkflowTemplate. It has no status.
#[derive(Debug, Deserialize)]
pub struct WorkflowTemplate<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Box<Spec<'a>>,
}

fn draft_template<'a>(template: WorkflowTemplate<'a>, d: &mut Draft<'a, '_>) {
    d.object(template.metadata);
    let spec = d.field(d.root(), "spec");
    template.spec.draft(spec, Values::new(), d);
}

/// `argoproj.io` WorkflowTemplate.
#[derive(Debug)]
pub struct WorkflowTemplateKind;

impl Kind for WorkflowTemplateKind {
    const INFO: Info = Info {
        class: Class::Template,
        rewrites: true,
        refers_to: TEMPLATES,
        proof: PROOF,
        limits: LIMITS,
        ..Info::new(
            "argoproj.io",
            "WorkflowTemplate",
            "workflowtemplates",
            &["v1alpha1"],
        )
    };
    type Object<'a> = WorkflowTemplate<'a>;

    fn draft<'a>(template: WorkflowTemplate<'a>, d: &mut Draft<'a, '_>) {
        draft_template(template, d);
    }
}

/// `argoproj.io` ClusterWorkflowTemplate.
#[derive(Debug)]
pub struct ClusterWorkflowTemplateKind;

impl Kind for ClusterWorkflowTemplateKind {
    const INFO: Info = Info {
        class: Class::Template,
        scope: Scope::Cluster,
        rewrites: true,
        refers_to: TEMPLATES,
        proof: PROOF,
        limits: LIMITS,
        ..Info::new(
            "argoproj.io",
            "ClusterWorkflowTemplate",
            "clusterworkflowtemplates",
            &["v1alpha1"],
        )
    };
    type Object<'a> = WorkflowTemplate<'a>;

    fn draft<'a>(template: WorkflowTemplate<'a>, d: &mut Draft<'a, '_>) {
        draft_template(template, d);
    }
}

#[cfg(test)]
mod tests;
