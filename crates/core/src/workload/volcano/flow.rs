//! `flow.volcano.sh` JobTemplate and JobFlow: Jobs of which some start when others are completed.
//!
//! A flow's Job is found by its name, whoever made it, and the template is looked up when that Job is made; `probe` and
//! `patch` are not read (reference: Volcano's jobflow controller). What a patch would add is judged all the same.

use std::collections::HashMap;

use serde::Deserialize;

use super::{JobSpec, List, Meta, null_is_default};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{FrameId, NodeId, Order, OrderId, Runs, Void};
use crate::text::Text;
use crate::workload::{Class, Info, Kind, KnownKind};

/// `flow.volcano.sh` JobTemplate.
#[derive(Debug)]
pub struct JobTemplateKind;

/// A JobTemplate: its spec is that of a Job.
#[derive(Debug, Deserialize)]
pub struct JobTemplate<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSpec<'a>,
}

impl Kind for JobTemplateKind {
    const INFO: Info = Info {
        class: Class::Template,
        proof: super::PROOF,
        ..Info::new("flow.volcano.sh", "JobTemplate", "jobtemplates", &["v1alpha1"])
    };
    type Object<'a> = JobTemplate<'a>;

    fn draft<'a>(template: JobTemplate<'a>, d: &mut Draft<'a, '_>) {
        d.object(template.metadata);
        let spec = d.field(d.root(), "spec");
        template.spec.draft(d.base(), spec, d);
    }
}

/// `flow.volcano.sh` JobFlow.
#[derive(Debug)]
pub struct JobFlowKind;

/// A JobFlow.
#[derive(Debug, Deserialize)]
pub struct JobFlow<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobFlowSpec<'a>,
}

/// `JobFlowSpec`.
#[derive(Debug, Default, Deserialize)]
struct JobFlowSpec<'a> {
    #[serde(borrow, default)]
    flows: List<Flow<'a>>,
}

/// `Flow`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flow<'a> {
    /// Its own name and that of its template.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default)]
    depends_on: Option<DependsOn<'a>>,
    #[serde(borrow, default)]
    patch: Option<Patch<'a>>,
}

/// `DependsOn`.
#[derive(Debug, Deserialize)]
struct DependsOn<'a> {
    #[serde(borrow, default)]
    targets: List<Text<'a>>,
}

/// `Patch`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Patch<'a> {
    #[serde(borrow, default)]
    job_spec: Option<JobSpec<'a>>,
}

impl Kind for JobFlowKind {
    const INFO: Info = Info {
        refers_to: &[("flow.volcano.sh", "JobTemplate")],
        proof: "an init container in every task, or a flow that `dependsOn.targets` waits for, whose template has no `CompleteJob` policy, no `minSuccess`, no count of 0 and no `minAvailable` below its replicas",
        limits: &[
            "Volcano takes whatever Job is called `<flow>-<target>` for the one it waits for, so a step in another flow counts as `Declared` only.",
            "A template is read when the JobFlow is judged, and again by Volcano when it makes the Job.",
            "`probe` proves nothing. A `patch` is not read by Volcano today; a flow that has one proves nothing.",
        ],
        ..Info::new("flow.volcano.sh", "JobFlow", "jobflows", &["v1alpha1"])
    };
    type Object<'a> = JobFlow<'a>;

    fn draft<'a>(flow: JobFlow<'a>, d: &mut Draft<'a, '_>) {
        d.object(flow.metadata);
        let spec = d.field(d.root(), "spec");
        let mut templates: HashMap<Text<'a>, Option<(FrameId, Runs)>> = HashMap::new();
        // A name that stands there twice is one Job, made by whichever comes first: it proves nothing.
        let mut jobs: HashMap<Text<'a>, Option<NodeId>> = HashMap::new();
        let mut waiting = Vec::new();
        for (flow, i) in flow.spec.flows.0.into_iter().zip(0..) {
            let at = d.item(spec, "flows", i);
            let template = match templates.get(&flow.name) {
                Some(template) => *template,
                None => {
                    let template = read(&flow.name, at, d);
                    templates.insert(flow.name.clone(), template);
                    template
                }
            };
            let patch = flow.patch.and_then(|patch| patch.job_spec).map(|patch| {
                let at = d.field(at, "patch.jobSpec");
                let frame = d.frame(at);
                patch.draft(frame, at, d);
                frame
            });
            let mut nodes = Vec::new();
            if let Some((frame, runs)) = template {
                let runs = runs.and(Runs::unless(patch.map(|_| Void::Conditional)));
                let node = d.call(d.base(), flow.name.clone(), frame, OrderId(0), runs, at);
                let job = jobs.entry(flow.name.clone());
                job.and_modify(|it| *it = None).or_insert(Some(node));
                nodes.push(node);
            }
            if let Some(frame) = patch {
                let runs = Runs::Maybe(Void::Conditional);
                nodes.push(d.call(d.base(), flow.name, frame, OrderId(0), runs, at));
            }
            if let Some(depends_on) = flow.depends_on {
                waiting.push((nodes, depends_on.targets.0));
            }
        }
        for (nodes, targets) in waiting {
            let done = targets
                .iter()
                .filter_map(|name| jobs.get(name).copied().flatten());
            let after = d.all(done.map(Order::Done));
            for node in nodes {
                d.starts_after(node, after);
            }
        }
    }
}

/// The frame of a template, read once, and what its Job proves when it is completed.
fn read<'a>(name: &Text<'a>, at: At, d: &mut Draft<'a, '_>) -> Option<(FrameId, Runs)> {
    let (template, inside) = d.fetch_as::<JobTemplate<'a>>(KnownKind::VolcanoJobTemplate, name, at)?;
    d.template_meta(template.metadata, inside);
    let spec = d.field(inside, "spec");
    let frame = d.frame(spec);
    let runs = Runs::ByName.and(Runs::unless(template.spec.completes_early()));
    template.spec.draft(frame, spec, d);
    Some((frame, runs))
}
