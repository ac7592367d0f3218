//! `batch/v1` Job and CronJob.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::accounts::{JOBSET, KUBERAY, MPI_OPERATORS};
use super::leaf::Count;
use super::meta::{Meta, null_is_default};
use super::pod::PodTemplate;
use super::{Edge, Info, Kind};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{FrameId, Runs, Void};

/// `JobSpec`, wherever it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    /// `parallelism`.
    #[serde(default)]
    pub parallelism: Count,
    /// `completions`.
    #[serde(default)]
    pub completions: Count,
    #[serde(default)]
    success_policy: Option<IgnoredAny>,
    /// `template`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub template: PodTemplate<'a>,
}

impl<'a> JobSpec<'a> {
    /// A Job, on its own or as the whole of another kind.
    pub fn draft(self, at: At, d: &mut Draft<'a, '_>) {
        d.held(self.suspend);
        d.held(self.parallelism == Count::Of(0));
        d.held(self.completions == Count::Of(0));
        let runs = self.runs();
        let template = d.field(at, "template");
        d.only_pod(self.template, template, runs);
    }

    /// Whether its pods surely run, and all of them to completion: a success policy ends it before that.
    fn runs(&self) -> Runs {
        let early = self.success_policy.as_ref().map(|_| Void::CompletesEarly);
        self.parallelism
            .runs()
            .and(self.completions.runs())
            .and(Runs::unless(early))
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
        // Each run of a CronJob is a start of its own: a list may have aged, a rule may have come since.
        creators: &[
            Edge::start_of("batch", "CronJob", &["kube-system:cronjob-controller"]),
            Edge::of("jobset.x-k8s.io", "JobSet", JOBSET),
            // The launcher, and the submitter.
            Edge::of("kubeflow.org", "MPIJob", MPI_OPERATORS),
            Edge::of("ray.io", "RayJob", KUBERAY),
        ],
        ..Info::new("batch", "Job", "jobs", &["v1"])
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
    // In a box, so that it does not make every kind's object as large.
    #[serde(borrow, default)]
    spec: Box<CronJobSpec<'a>>,
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
    /// `metadata`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub metadata: Meta<'a>,
    /// `spec`.
    #[serde(borrow, default)]
    pub spec: JobSpec<'a>,
}

impl<'a> JobTemplate<'a> {
    /// One Job of several in another kind: the frame of its pod, and whether it surely runs to completion.
    pub fn draft(self, at: At, d: &mut Draft<'a, '_>) -> (FrameId, Runs) {
        d.template_meta(self.metadata, at);
        let spec = self.spec;
        d.held(spec.suspend);
        d.held(spec.parallelism == Count::Of(0));
        d.held(spec.completions == Count::Of(0));
        let runs = spec.runs();
        let at = d.field(at, "spec.template");
        (d.pod(spec.template, at), runs)
    }
}

impl Kind for CronJobKind {
    const INFO: Info = Info::new("batch", "CronJob", "cronjobs", &["v1"]);
    type Object<'a> = CronJob<'a>;

    fn draft<'a>(cron: CronJob<'a>, d: &mut Draft<'a, '_>) {
        d.object(cron.metadata);
        let spec = d.field(d.root(), "spec");
        d.held(cron.spec.suspend);
        let template = d.field(spec, "jobTemplate");
        d.template_meta(cron.spec.job_template.metadata, template);
        let job = d.field(template, "spec");
        cron.spec.job_template.spec.draft(job, d);
    }
}
