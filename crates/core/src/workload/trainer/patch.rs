//! The patches of a TrainJob, under the three names that they had so far in one API version.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ANCESTOR;
use super::complete::{give, gives_devices};
use crate::draft::Draft;
use crate::path::At;
use crate::render::shown;
use crate::submission::Unseen;
use crate::text::Text;
use crate::workload::jobset::{JobSetSpec, ReplicatedJob};
use crate::workload::leaf::{List, Verbatim};
use crate::workload::meta::{Meta, null_is_default};
use crate::workload::pod::{Container, Env};

/// A patch of one or more replicated Jobs.
pub(super) struct Patch<'a> {
    /// The Jobs' names.
    jobs: Vec<Text<'a>>,
    /// What part of the TrainJob they become.
    ancestor: Option<Text<'a>>,
    pod: PodPatch<'a>,
    /// The field of the containers.
    at: At,
}

/// What patches may change in a pod template and what matters of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodPatch<'a> {
    #[serde(borrow, default)]
    volumes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    init_containers: Verbatim<'a, List<ContainerPatch<'a>>>,
    #[serde(borrow, default)]
    containers: Verbatim<'a, List<ContainerPatch<'a>>>,
}

/// `ContainerPatch`: the rest of a container cannot be patched, the Trainer reads nothing else.
#[derive(Debug, Default, Deserialize)]
struct ContainerPatch<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, default)]
    env: Env<'a>,
}

/// Something with a name.
#[derive(Debug, Default, Deserialize)]
struct Named<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
}

/// `PodSpecOverride`, v2.0.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpecOverride<'a> {
    #[serde(borrow, default)]
    target_jobs: Verbatim<'a, List<Named<'a>>>,
    #[serde(borrow, default)]
    volumes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    init_containers: Verbatim<'a, List<ContainerPatch<'a>>>,
    #[serde(borrow, default)]
    containers: Verbatim<'a, List<ContainerPatch<'a>>>,
}

/// `PodTemplateOverride`, v2.1.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodTemplateOverride<'a> {
    #[serde(borrow, default)]
    target_jobs: Verbatim<'a, List<Named<'a>>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: PodPatch<'a>,
}

/// `RuntimePatch`, since v2.2.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimePatch<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    training_runtime_spec: RuntimeSpecPatch<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct RuntimeSpecPatch<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: JobSetTemplatePatch<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct JobSetTemplatePatch<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSetPatch<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSetPatch<'a> {
    #[serde(borrow, default)]
    replicated_jobs: List<JobPatch<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct JobPatch<'a> {
    #[serde(borrow, default)]
    name: Verbatim<'a, Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: JobTemplatePatch<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct JobTemplatePatch<'a> {
    #[serde(borrow, default)]
    metadata: Verbatim<'a, Meta<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: JobSpecPatch<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct JobSpecPatch<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    template: PodTemplatePatch<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct PodTemplatePatch<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: PodPatch<'a>,
}

impl<'a> PodSpecOverride<'a> {
    pub(super) fn read(self, at: At, patches: &mut Vec<Patch<'a>>, d: &mut Draft<'a, '_>) {
        let pod = PodPatch {
            volumes: self.volumes,
            init_containers: self.init_containers,
            containers: self.containers,
        };
        patches.extend(Patch::of(self.target_jobs, pod, at, d));
    }
}

impl<'a> PodTemplateOverride<'a> {
    pub(super) fn read(self, at: At, patches: &mut Vec<Patch<'a>>, d: &mut Draft<'a, '_>) {
        d.template_meta(self.metadata, at);
        let spec = d.field(at, "spec");
        patches.extend(Patch::of(self.target_jobs, self.spec, spec, d));
    }
}

impl<'a> RuntimePatch<'a> {
    pub(super) fn read(self, at: At, patches: &mut Vec<Patch<'a>>, d: &mut Draft<'a, '_>) {
        let template = self.training_runtime_spec.template;
        let at = d.field(at, "trainingRuntimeSpec.template");
        d.template_meta(template.metadata, at);
        let jobs = d.field(at, "spec");
        for (job, i) in template.spec.replicated_jobs.0.into_iter().zip(0..) {
            let at = d.item(jobs, "replicatedJobs", i);
            let at = d.field(at, "template");
            let JobTemplatePatch { metadata, spec } = job.template;
            let ancestor = metadata.value.labels.get(ANCESTOR).cloned();
            d.template_meta(metadata.value, at);
            let pod = d.field(at, "spec.template");
            d.template_meta(spec.template.metadata, pod);
            let at = d.field(pod, "spec");
            let patch = Patch {
                jobs: vec![job.name.value],
                ancestor,
                pod: spec.template.spec,
                at,
            };
            let label = metadata.json.filter(|_| patch.ancestor.is_some());
            patches.extend(patch.compared((job.name.json, label), d));
        }
    }
}

impl<'a> Patch<'a> {
    /// A patch as it was until v2.1.
    fn of(
        jobs: Verbatim<'a, List<Named<'a>>>,
        pod: PodPatch<'a>,
        at: At,
        d: &mut Draft<'a, '_>,
    ) -> Option<Self> {
        let patch = Self {
            jobs: jobs.value.0.into_iter().map(|job| job.name).collect(),
            ancestor: None,
            pod,
            at,
        };
        patch.compared((jobs.json, None), d)
    }

    /// The patch, compared as it stands and with its keys read; if it says nothing of what runs, not at all: Kueue adds
    /// and removes patches that only choose nodes, and must always be able to.
    fn compared(
        self,
        (jobs, label): (Option<&'a RawValue>, Option<&'a RawValue>),
        d: &mut Draft<'a, '_>,
    ) -> Option<Self> {
        let pod = &self.pod;
        let (init, main) = (&pod.init_containers, &pod.containers);
        if label.is_none() && pod.volumes.is_none() && init.json.is_none() && main.json.is_none() {
            return None;
        }
        for json in [jobs, label, pod.volumes, init.json, main.json] {
            d.raw(json);
        }
        for (list, field) in [(init, "initContainers"), (main, "containers")] {
            for (container, i) in list.value.0.iter().zip(0..) {
                let at = d.item(self.at, field, i);
                d.variables(container.env.variables.clone(), at);
            }
        }
        Some(self)
    }

    /// Patches one Job. A container that it names and the Job has not, the Trainer would refuse; it is opaque.
    fn apply(&self, job: &mut ReplicatedJob<'a>, d: &mut Draft<'a, '_>) {
        if let Some(ancestor) = &self.ancestor {
            let labels = &mut job.template.metadata.labels.read;
            labels.retain(|(key, _)| **key != *ANCESTOR);
            labels.push((ANCESTOR.into(), ancestor.clone()));
        }
        let pod = &mut job.template.spec.template.spec;
        let (init, main) = (&self.pod.init_containers.value.0, &self.pod.containers.value.0);
        for missing in merge(&mut pod.init_containers.0, init).chain(merge(&mut pod.containers.0, main)) {
            let named = format!("the container {} of the runtime", shown(missing));
            d.opaque(named, Unseen::NotFound, self.at);
        }
    }
}

/// Containers that all patches of one TrainJob may pass over, so that many patches of a large Job stay cheap. What the
/// Trainer's schema allows is far below.
const MAX_PASSED: usize = 100_000;

/// Applies patches in their order.
pub(super) fn apply<'a>(patches: Vec<Patch<'a>>, runtime: &mut JobSetSpec<'a>, d: &mut Draft<'a, '_>) {
    let jobs = &mut runtime.replicated_jobs.0;
    let index: HashMap<Text<'a>, usize> = jobs.iter().map(|job| job.name.clone()).zip(0..).collect();
    let mut passed: usize = 0;
    for patch in patches {
        for name in &patch.jobs {
            let Some(job) = index.get(name).and_then(|at| jobs.get_mut(*at)) else {
                let named = format!("the replicated Job {} of the runtime", shown(name));
                d.opaque(named, Unseen::NotFound, patch.at);
                continue;
            };
            let pod = &job.template.spec.template.spec;
            let containers = pod.init_containers.0.len().saturating_add(pod.containers.0.len());
            let named = &patch.pod;
            let names = named
                .init_containers
                .value
                .0
                .len()
                .saturating_add(named.containers.value.0.len());
            passed = passed.saturating_add(containers).saturating_add(names);
            if passed > MAX_PASSED {
                d.opaque("all that so many patches change", Unseen::TooFar, patch.at);
                return;
            }
            patch.apply(job, d);
        }
    }
}

/// Merges a list of patches into a list of containers by name, as Kubernetes' strategic merge does, and returns the names
/// that are not there. Patched containers take the order of the patch among themselves, so a patch can put one init
/// container before another without changing either (reference: apimachinery's `normalizeElementOrder`).
fn merge<'p, 'a>(
    containers: &mut Vec<Container<'a>>,
    patches: &'p [ContainerPatch<'a>],
) -> impl Iterator<Item = &'p str> {
    let mut patched: HashMap<&str, usize> = HashMap::new();
    for (patch, i) in patches.iter().zip(0..) {
        patched.entry(&patch.name).or_insert(i);
    }
    let mut ours: Vec<Option<(usize, Container<'a>)>> = Vec::new();
    ours.resize_with(patches.len(), || None);
    let mut others: Vec<(usize, Container<'a>)> = Vec::new();
    for (mut container, i) in containers.drain(..).zip(0..) {
        match patched.get(container.name.as_str()).copied() {
            Some(index) => {
                let devices = patches.get(index).is_some_and(|patch| gives_devices(&patch.env));
                give(&mut container, devices);
                // Names are unique; should they not be, nothing is lost.
                match ours.get_mut(index) {
                    Some(slot) if slot.is_none() => *slot = Some((i, container)),
                    _ => others.push((i, container)),
                }
            }
            None => others.push((i, container)),
        }
    }
    let missing: Vec<&'p str> = patches
        .iter()
        .zip(&ours)
        .filter(|(_, found)| found.is_none())
        .map(|(patch, _)| patch.name.as_str())
        .collect();
    let mut others = others.into_iter().peekable();
    for (i, container) in ours.into_iter().flatten() {
        while let Some((_, other)) = others.next_if(|(other, _)| *other < i) {
            containers.push(other);
        }
        containers.push(container);
    }
    containers.extend(others.map(|(_, container)| container));
    missing.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patched_containers_take_the_order_of_the_patch() {
        let named = |name: char| Text::from(name.to_string());
        for (containers, patches, merged, missing) in [
            ("abc", "", "abc", ""),
            ("abc", "b", "abc", ""),
            ("abc", "ac", "abc", ""),
            ("abc", "ca", "bca", ""),
            ("abcd", "db", "acdb", ""),
            ("ab", "ba", "ba", ""),
            ("ab", "bxa", "ba", "x"),
            ("aab", "ba", "aba", ""),
            ("", "x", "", "x"),
        ] {
            let container = |name| Container {
                name: named(name),
                ..Container::default()
            };
            let patch = |name| ContainerPatch {
                name: named(name),
                ..ContainerPatch::default()
            };
            let mut list: Vec<Container<'_>> = containers.chars().map(container).collect();
            let patches: Vec<ContainerPatch<'_>> = patches.chars().map(patch).collect();
            let lost: String = merge(&mut list, &patches).collect();
            let got: String = list.iter().map(|container| container.name.as_str()).collect();
            assert_eq!((&*got, &*lost), (merged, missing), "{containers}");
        }
    }
}
