//! Kubeflow Pipelines: ScheduledWorkflow, a recurring run.
//!
//! A pipeline of version 2 is compiled into a Workflow whose images arrive only with the pods, as a patch that an
//! earlier pod computes; there is nothing to see before, so its pods are judged. Pipeline and PipelineVersion run nothing
//! and are not covered: what becomes of them is a Workflow.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::argo::{LIMITS, PROOF, Spec, Values};
use super::leaf::List;
use super::meta::{Meta, null_is_default};
use super::{Info, Kind};
use crate::draft::Draft;
use crate::render::shown;
use crate::submission::Unseen;
use crate::text::Text;

/// `kubeflow.org` ScheduledWorkflow.
#[derive(Debug)]
pub struct ScheduledWorkflowKind;

/// A ScheduledWorkflow.
#[derive(Debug, Deserialize)]
pub struct ScheduledWorkflow<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: ScheduledSpec<'a>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// `ScheduledWorkflowSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScheduledSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    enabled: bool,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    workflow: Resource<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pipeline_id: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pipeline_version_id: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pipeline_name: Text<'a>,
}

/// `WorkflowResource`.
#[derive(Debug, Default, Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    parameters: List<Parameter<'a>>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Parameter<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    value: Text<'a>,
}

/// What stands in `workflow.spec`: a whole Workflow. If it has no entrypoint, it is the spec of one.
#[derive(Debug, Deserialize)]
struct Whole<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Spec<'a>,
}

impl Kind for ScheduledWorkflowKind {
    const INFO: Info = Info {
        status: false,
        rewrites: true,
        refers_to: &[
            ("argoproj.io", "WorkflowTemplate"),
            ("argoproj.io", "ClusterWorkflowTemplate"),
        ],
        proof: PROOF,
        limits: LIMITS,
        ..Info::new(
            "kubeflow.org",
            "ScheduledWorkflow",
            "scheduledworkflows",
            &["v1beta1"],
        )
    };
    type Object<'a> = ScheduledWorkflow<'a>;

    fn draft<'a>(object: ScheduledWorkflow<'a>, d: &mut Draft<'a, '_>) {
        d.object(object.metadata);
        d.status(object.status);
        let spec = object.spec;
        d.held(!spec.enabled);
        let at = d.field(d.root(), "spec");
        let workflow = d.field(at, "workflow.spec");
        let Some(json) = spec.workflow.spec else {
            // Its server compiles the pipeline for each run.
            let names = [spec.pipeline_version_id, spec.pipeline_id, spec.pipeline_name];
            let name = names.into_iter().find(|name| !name.is_empty());
            let reference = format!("pipeline {}", shown(&name.unwrap_or_default()));
            d.opaque(reference, Unseen::Elsewhere, at);
            return;
        };
        if json.get().starts_with('"') {
            d.raw(Some(json));
            d.opaque("the workflow", Unseen::Encoded, workflow);
            return;
        }
        let values = spec.workflow.parameters.0.into_iter().map(|parameter| {
            // `[[ScheduledTime]]` and the like are filled in for each run.
            let value = Some(parameter.value).filter(|value| !value.contains("[["));
            (parameter.name, value)
        });
        let values: Values<'a> = values.collect();
        let whole = serde_json::from_str::<Whole<'a>>(json.get());
        if let Ok(whole) = whole
            && whole.spec.is_started()
        {
            d.template_meta(whole.metadata, workflow);
            let at = d.field(workflow, "spec");
            whole.spec.draft(at, values, d);
        } else if let Ok(bare) = serde_json::from_str::<Spec<'a>>(json.get()) {
            bare.draft(workflow, values, d);
        } else {
            d.opaque("the workflow", Unseen::Unreadable, workflow);
        }
    }
}
