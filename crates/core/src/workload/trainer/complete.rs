//! What the Trainer sets in a runtime after the patches: counts, the initializers' and the trainer's containers, and
//! what its plugins add.

use crate::text::Text;
use crate::workload::jobset::{JobSetSpec, ReplicatedJob};
use crate::workload::leaf::{Count, List};
use crate::workload::pod::{Container, Env, EnvVar, Resources, VISIBLE_DEVICES};

use super::ANCESTOR;

/// The container that trains, and the Job that runs beside a launcher.
const NODE: &str = "node";

/// What is set.
pub(super) struct Completion<'a> {
    /// Pods of the trainer.
    pub(super) count: Count,
    /// The Job `node` trains beside the launcher and gets its resources.
    pub(super) launcher_is_node: bool,
    /// The command of the trainer is completed by a plugin.
    pub(super) rewritten: bool,
    /// Flux adds an init container.
    pub(super) flux: bool,
    pub(super) image: Option<Text<'a>>,
    pub(super) command: Option<List<Text<'a>>>,
    pub(super) args: Option<List<Text<'a>>>,
    pub(super) resources: Resources<'a>,
    pub(super) env: Env<'a>,
    /// Whether the variables of the initializers give access to devices.
    pub(super) dataset_devices: bool,
    /// The same for the model.
    pub(super) model_devices: bool,
}

/// Containers that one TrainJob may set: each takes a copy of its command.
const MAX_NODES: usize = 8;

/// It is in more containers than can be followed.
pub(super) struct TooMany;

impl<'a> Completion<'a> {
    /// Sets it, unless that is in too many containers.
    pub(super) fn apply(self, runtime: &mut JobSetSpec<'a>) -> Result<(), TooMany> {
        let devices = gives_devices(&self.env);
        let mut nodes: usize = 0;
        // Only the TrainJob holds it back.
        runtime.suspend = false;
        let jobs = &mut runtime.replicated_jobs.0;
        let view = self.flux.then(|| self.flux_view(jobs));
        for job in jobs {
            match job.template.metadata.labels.get(ANCESTOR).map(Text::as_str) {
                Some("trainer") => {
                    job.replicas = Count::Of(1);
                    if self.count != Count::Unset {
                        job.template.spec.parallelism = self.count;
                        job.template.spec.completions = self.count;
                    }
                    for container in named(job, NODE) {
                        nodes = nodes.saturating_add(1);
                        if nodes > MAX_NODES {
                            return Err(TooMany);
                        }
                        self.train(container);
                        self.equip(container, devices);
                    }
                }
                Some("dataset-initializer") => {
                    job.replicas = Count::Of(1);
                    named(job, "dataset-initializer").for_each(|it| give(it, self.dataset_devices));
                }
                Some("model-initializer") => {
                    job.replicas = Count::Of(1);
                    named(job, "model-initializer").for_each(|it| give(it, self.model_devices));
                }
                _ if self.launcher_is_node && *job.name == *NODE => {
                    for container in named(job, NODE) {
                        nodes = nodes.saturating_add(1);
                        if nodes > MAX_NODES {
                            return Err(TooMany);
                        }
                        self.equip(container, devices);
                    }
                }
                _ => {}
            }
            if let Some(image) = view.as_ref().filter(|_| *job.name == *NODE) {
                job.template.spec.template.spec.init_containers.0.push(Container {
                    name: "flux-installer".into(),
                    image: image.clone(),
                    rewritten: true,
                    ..Container::default()
                });
            }
        }
        Ok(())
    }

    fn train(&self, node: &mut Container<'a>) {
        if let Some(image) = &self.image {
            node.image = image.clone();
        }
        let texts = |list: &List<Text<'a>>| Some(List(list.0.clone()));
        if let Some(command) = &self.command {
            node.command = texts(command);
        }
        if let Some(args) = &self.args {
            node.args = texts(args);
        }
        node.rewritten = self.rewritten;
    }

    /// Some versions replace the resources and some merge them, so all that either asks for counts.
    fn equip(&self, node: &mut Container<'a>, devices: bool) {
        let resources = node.resources.get_or_insert_default();
        let more = &self.resources;
        resources.limits.0.extend(more.limits.0.iter().cloned());
        resources.requests.0.extend(more.requests.0.iter().cloned());
        resources.claims.0.extend(more.claims.0.iter().copied());
        give(node, devices);
    }

    /// The image of the init container that Flux adds: of the TrainJob, of the runtime, or the Trainer's own.
    fn flux_view(&self, jobs: &[ReplicatedJob<'a>]) -> Text<'a> {
        const IMAGE: &str = "FLUX_VIEW_IMAGE";
        let trainers = jobs
            .iter()
            .filter(|job| job.template.metadata.labels.get(ANCESTOR).map(Text::as_str) == Some("trainer"));
        let nodes = trainers.flat_map(|job| &job.template.spec.template.spec.containers.0);
        value(&self.env, IMAGE)
            .or_else(|| {
                let mut nodes = nodes.filter(|container| *container.name == *NODE);
                nodes.find_map(|node| value(&node.env, IMAGE))
            })
            .unwrap_or_else(|| "ghcr.io/converged-computing/flux-view-ubuntu:tag-jammy".into())
    }
}

/// The containers of a Job with that name.
fn named<'j, 'a>(
    job: &'j mut ReplicatedJob<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'j mut Container<'a>> {
    let containers = job.template.spec.template.spec.containers.0.iter_mut();
    containers.filter(move |container| *container.name == *name)
}

/// Adds the variable that gives access to devices; keys are read where they stand.
pub(super) fn give(container: &mut Container<'_>, devices: bool) {
    let name = VISIBLE_DEVICES.into();
    let variable = devices.then_some(EnvVar { name, value: None });
    container.env.variables.extend(variable);
}

/// Whether any of these variables gives access to devices.
pub(super) fn gives_devices(env: &Env<'_>) -> bool {
    env.variables
        .iter()
        .any(|variable| *variable.name == *VISIBLE_DEVICES)
}

/// The literal value of a variable; the last one of the name counts.
fn value<'a>(env: &Env<'a>, name: &str) -> Option<Text<'a>> {
    let raw = env.raw.filter(|raw| raw.contains(name))?;
    let variables = serde_json::from_str::<List<EnvVar<'a>>>(raw).ok()?;
    let mut values = variables.0.into_iter().rev();
    values.find(|it| *it.name == *name)?.value
}
