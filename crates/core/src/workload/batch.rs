//! `batch/v1` Job and CronJob.

use serde::Deserialize;

use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Edge, Info, Kind, Scope};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{Runs, Void};

/// `JobSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
pub struct JobSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(default)]
    parallelism: Option<i64>,
    #[serde(default)]
    completions: Option<i64>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplate<'a>,
}

impl<'a> JobSpec<'a> {
    /// A Job, on its own or inside another kind.
    pub fn draft(self, at: At, d: &mut Draft<'a, '_>) {
        d.held(self.suspend, at, "suspend");
        d.held(self.parallelism == Some(0), at, "parallelism");
        d.held(self.completions == Some(0), at, "completions");
        let never = self.parallelism == Some(0) || self.completions == Some(0);
        let template = d.field(at, "template");
        d.only_pod(
            self.template,
            template,
            if never {
                Runs::Maybe(Void::ZeroReplicas)
            } else {
                Runs::Once
            },
        );
    }
}

/// `batch/v1` Job.
#[derive(Debug)]
pub struct JobKind;

/// A Job.
#[derive(Debug, Deserialize)]
pub struct Job<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: JobSpec<'a>,
}

impl Kind for JobKind {
    const INFO: Info = Info {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        versions: &["v1"],
        scope: Scope::Namespaced,
        trains: false,
        subresources: &[],
        // Each run of a CronJob is a start of its own: a list may have aged, a rule may have come since.
        creators: &[Edge::start_of("batch", "CronJob", "cronjob-controller")],
        holds: &["spec.suspend", "spec.parallelism", "spec.completions"],
    };
    type Object<'a> = Job<'a>;

    fn draft<'a>(job: Job<'a>, d: &mut Draft<'a, '_>) {
        d.object(job.metadata);
        let spec = d.field(d.root(), "spec");
        job.spec.draft(spec, d);
    }
}

/// `batch/v1` CronJob.
#[derive(Debug)]
pub struct CronJobKind;

/// A CronJob.
#[derive(Debug, Deserialize)]
pub struct CronJob<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: CronJobSpec<'a>,
}

/// `CronJobSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronJobSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default)]
    job_template: JobTemplate<'a>,
}

/// `JobTemplateSpec`.
#[derive(Debug, Default, Deserialize)]
pub struct JobTemplate<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: JobSpec<'a>,
}

impl Kind for CronJobKind {
    const INFO: Info = Info {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        versions: &["v1"],
        scope: Scope::Namespaced,
        trains: false,
        subresources: &[],
        creators: &[],
        holds: &["spec.suspend"],
    };
    type Object<'a> = CronJob<'a>;

    fn draft<'a>(cron: CronJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(cron.metadata);
        let spec = d.field(d.root(), "spec");
        d.held(cron.spec.suspend, spec, "suspend");
        let template = d.field(spec, "jobTemplate");
        d.template_meta(cron.spec.job_template.metadata, template);
        let job = d.field(template, "spec");
        cron.spec.job_template.spec.draft(job, d);
    }
}
