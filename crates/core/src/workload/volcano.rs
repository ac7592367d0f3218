//! `batch.volcano.sh` Job and CronJob, `training.volcano.sh` HyperJob, and the `bus.volcano.sh` Command that lets a Job
//! run again. Flows of Jobs are in `flow`.
//!
//! `tasks[].dependsOn` is satisfied by pods that are ready, so it proves nothing (reference: Volcano's controller).

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::accounts::VOLCANO;
use super::head::Head;
use super::leaf::{Count, List};
use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Class, Edge, Info, Kind, KnownKind};
use crate::draft::{Draft, Embedded};
use crate::path::At;
use crate::submission::{FrameId, NodeId, Order, OrderId, Runs, Unseen, Void};
use crate::text::Text;

pub mod flow;

/// For `docs/workloads.md`.
const PROOF: &str =
    "an init container in every task; `tasks[].dependsOn` proves nothing, it waits for pods that are ready";

/// `JobSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSpec<'a> {
    #[serde(borrow, default)]
    tasks: List<Task<'a>>,
    #[serde(default)]
    min_available: Count,
    #[serde(default)]
    min_success: Option<IgnoredAny>,
    #[serde(borrow, default)]
    policies: List<Policy<'a>>,
    /// Mounted into every container of every task.
    #[serde(borrow, default)]
    volumes: Option<&'a RawValue>,
    /// Change commands and environment.
    #[serde(borrow, default)]
    plugins: Option<&'a RawValue>,
}

/// `TaskSpec`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(default)]
    replicas: Count,
    #[serde(default)]
    min_available: Count,
    /// May make fewer pods than `replicas` suffice.
    #[serde(default)]
    partition_policy: Option<IgnoredAny>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
    #[serde(borrow, default)]
    policies: List<Policy<'a>>,
    #[serde(borrow, default)]
    depends_on: Option<TaskDependsOn<'a>>,
}

/// `LifecyclePolicy`.
#[derive(Debug, Deserialize)]
struct Policy<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    action: Text<'a>,
}

/// `DependsOn` of a task.
#[derive(Debug, Deserialize)]
struct TaskDependsOn<'a> {
    #[serde(borrow, default)]
    name: List<Text<'a>>,
}

impl Task<'_> {
    /// A count that is left out is 0.
    fn count(&self) -> i64 {
        match self.replicas {
            Count::Of(count) => count,
            Count::Unset | Count::Late => 0,
        }
    }
}

impl<'a> JobSpec<'a> {
    /// The tasks of a Job, called from its frame.
    fn draft(self, from: FrameId, at: At, d: &mut Draft<'a, '_>) {
        d.raw(self.volumes);
        d.raw(self.plugins);
        let mut tasks: HashMap<Text<'a>, NodeId> = HashMap::new();
        let mut waiting = Vec::new();
        for (task, i) in self.tasks.0.into_iter().zip(0..) {
            let at = d.item(at, "tasks", i);
            let none = task.count() <= 0;
            d.held(none && task.replicas != Count::Late);
            let runs = Runs::unless(none.then_some(Void::ZeroReplicas));
            let template = d.field(at, "template");
            let frame = d.pod(task.template, template);
            let node = d.call(from, task.name.clone(), frame, OrderId(0), runs, at);
            if let Some(others) = task.depends_on.filter(|it| !it.name.0.is_empty()) {
                waiting.push((node, others.name.0));
            }
            tasks.insert(task.name, node);
        }
        for (node, others) in waiting {
            let others = others.iter().filter_map(|name| tasks.get(name));
            let after = d.all(others.map(|other| Order::Weak(*other, Void::ReadinessOnly)));
            d.starts_after(node, after);
        }
    }

    /// Why the phase `Completed` does not say that all pods succeeded, if so (reference: Volcano's job controller).
    fn completes_early(&self) -> Option<Void> {
        let early =
            |policies: &List<Policy<'_>>| policies.0.iter().any(|it| it.action.as_str() == "CompleteJob");
        let all = |least: Count, count: i64| matches!(least, Count::Unset) || least == Count::Of(count);
        let counts = self.tasks.0.iter().map(Task::count);
        if self.tasks.0.is_empty() || counts.clone().any(|count| count <= 0) {
            return Some(Void::ZeroReplicas);
        }
        let sum = counts.fold(0, i64::saturating_add);
        let task_early = |task: &Task<'_>| {
            let partly = task.partition_policy.is_some() && task.min_available == Count::Unset;
            partly || early(&task.policies) || !all(task.min_available, task.count())
        };
        let job_early = self.min_success.is_some() || early(&self.policies) || !all(self.min_available, sum);
        (job_early || self.tasks.0.iter().any(task_early)).then_some(Void::CompletesEarly)
    }
}

/// `batch.volcano.sh` Job.
#[derive(Debug)]
pub struct JobKind;

/// A Volcano Job.
#[derive(Debug, Deserialize)]
pub struct Job<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSpec<'a>,
}

impl Kind for JobKind {
    const INFO: Info = Info {
        creators: &[
            Edge::start_of("batch.volcano.sh", "CronJob", VOLCANO),
            Edge::of("flow.volcano.sh", "JobFlow", VOLCANO),
        ],
        proof: PROOF,
        limits: &[
            "The `ray` plugin writes commands of its own: such pods are judged by themselves, with what their Job declares.",
        ],
        ..Info::new("batch.volcano.sh", "Job", "jobs", &["v1alpha1"])
    };
    type Object<'a> = Job<'a>;

    fn draft<'a>(job: Job<'a>, d: &mut Draft<'a, '_>) {
        d.object(job.metadata);
        let spec = d.field(d.root(), "spec");
        job.spec.draft(d.base(), spec, d);
    }
}

/// `batch.volcano.sh` CronJob.
#[derive(Debug)]
pub struct CronJobKind;

/// A Volcano CronJob.
#[derive(Debug, Deserialize)]
pub struct CronJob<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: CronJobSpec<'a>,
}

/// `CronJobSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    job_template: Template<'a>,
}

/// `JobTemplateSpec` of a CronJob.
#[derive(Debug, Default, Deserialize)]
struct Template<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSpec<'a>,
}

impl Kind for CronJobKind {
    const INFO: Info = Info {
        proof: PROOF,
        ..Info::new("batch.volcano.sh", "CronJob", "cronjobs", &["v1alpha1"])
    };
    type Object<'a> = CronJob<'a>;

    fn draft<'a>(cron: CronJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(cron.metadata);
        d.held(cron.spec.suspend);
        let template = d.field(d.root(), "spec.jobTemplate");
        d.template_meta(cron.spec.job_template.metadata, template);
        let spec = d.field(template, "spec");
        cron.spec.job_template.spec.draft(d.base(), spec, d);
    }
}

/// `training.volcano.sh` HyperJob: Jobs for several clusters.
#[derive(Debug)]
pub struct HyperJobKind;

/// A HyperJob.
#[derive(Debug, Deserialize)]
pub struct HyperJob<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: HyperJobSpec<'a>,
}

/// `HyperJobSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HyperJobSpec<'a> {
    #[serde(borrow, default)]
    replicated_jobs: List<ReplicatedJob<'a>>,
    #[serde(borrow, default)]
    plugins: Option<&'a RawValue>,
}

/// `ReplicatedJob`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicatedJob<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(default)]
    replicas: Count,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template_spec: JobSpec<'a>,
}

impl Kind for HyperJobKind {
    const INFO: Info = Info {
        class: Class::Trains,
        proof: PROOF,
        limits: &["Its Jobs run in other clusters, each of which needs datagate too."],
        ..Info::new("training.volcano.sh", "HyperJob", "hyperjobs", &["v1alpha1"])
    };
    type Object<'a> = HyperJob<'a>;

    fn draft<'a>(job: HyperJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(job.metadata);
        d.raw(job.spec.plugins);
        let spec = d.field(d.root(), "spec");
        for (job, i) in job.spec.replicated_jobs.0.into_iter().zip(0..) {
            let at = d.item(spec, "replicatedJobs", i);
            d.held(job.replicas == Count::Of(0));
            let template = d.field(at, "templateSpec");
            let frame = d.frame(template);
            job.template_spec.draft(frame, template, d);
            // They run in clusters of their own and wait for nothing.
            d.call(d.base(), job.name, frame, OrderId(0), job.replicas.runs(), at);
        }
    }
}

/// `bus.volcano.sh` Command.
#[derive(Debug)]
pub struct CommandKind;

/// A Command. Its fields stand on top.
#[derive(Debug, Deserialize)]
pub struct Command<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    action: Text<'a>,
    #[serde(borrow, default)]
    target: Option<Target<'a>>,
}

/// An owner reference, of which the controller reads all but the UID.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    kind: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
}

/// The actions after which nothing more runs than before.
const ENDS: &[&str] = &["AbortJob", "TerminateJob", "CompleteJob"];

impl Kind for CommandKind {
    const INFO: Info = Info {
        refers_to: &[("batch.volcano.sh", "Job")],
        proof: "the Job that it lets run again, judged in full; `AbortJob`, `TerminateJob` and `CompleteJob` need none",
        limits: &[
            "A Job of a JobFlow declares nothing itself, so a Command for it is refused as undeclared: declare in the JobTemplate as well.",
        ],
        ..Info::new("bus.volcano.sh", "Command", "commands", &["v1alpha1"])
    };
    type Object<'a> = Command<'a>;

    /// Whatever does not end a Job may let its pods start again: it is judged as the Job it is for.
    fn draft<'a>(command: Command<'a>, d: &mut Draft<'a, '_>) {
        d.object(command.metadata);
        // Commands for queues move no pods of their own.
        let is_job = |target: &Target<'_>| {
            target.kind.as_str() == "Job" && target.api_version.starts_with("batch.volcano.sh/")
        };
        let Some(target) = command.target.filter(is_job) else {
            return;
        };
        if ENDS.contains(&command.action.as_str()) {
            return;
        }
        let at = d.field(d.root(), "target");
        let Some((json, inside)) = d.fetch(KnownKind::VolcanoJob, None, &target.name, at) else {
            return;
        };
        let reference: Text<'a> = format!("Job {}", crate::render::shown(&target.name)).into();
        match d.embed(json, Head::of(json).as_ref(), inside, &reference) {
            Embedded::Frame(frame) => {
                d.call(d.base(), target.name, frame, OrderId(0), Runs::Once, at);
            }
            Embedded::Unknown => d.opaque(reference, Unseen::Unreadable, at),
            Embedded::Unreadable => {}
        }
    }
}
