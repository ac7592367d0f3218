//! A template that runs a pod: what stands in it, with the defaults of all templates and the parameters that are known.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::graph::EntryId;
use super::params::{self, Values};
use super::run::{Run, is_set};
use super::types::{Dependencies, Template};
use crate::draft::Draft;
use crate::path::At;
use crate::submission::{FrameId, NodeId, Order, OrderId, Role, Runs, Unseen};
use crate::text::Text;
use crate::workload::leaf::List;
use crate::workload::pod::{Container, PodSpec};

impl<'a> Run<'a> {
    /// Writes the pod of a template into its frame.
    pub fn pod(
        &mut self,
        id: EntryId,
        mut template: Template<'a>,
        name: Text<'a>,
        (frame, at): (FrameId, At),
        d: &mut Draft<'a, '_>,
    ) {
        d.template_meta(std::mem::take(&mut template.metadata), at);
        patched(template.pod_spec_patch.as_ref(), at, d);
        let none = Values::new();
        let globals = &self.globals;
        let inputs = self.inputs.get(&id).unwrap_or(&none);
        let fill = |container: &mut Container<'a>| {
            let image = std::mem::take(&mut container.image);
            container.image = params::fill(image, globals, inputs);
        };
        let mut init_containers = template.init_containers;
        init_containers.0.iter_mut().for_each(fill);
        let pod = PodSpec {
            init_containers,
            resource_claims: template.resource_claims,
            volumes: template.volumes,
            ..PodSpec::default()
        };
        let mut after = d.containers(pod, frame, at);
        if let Some(defaults) = &self.defaults {
            after = defaults.before(frame, after, d);
        }
        let main = |container: &mut Container<'a>| {
            fill(container);
            if matches!(container.name.as_str(), "" | "main") {
                container.name = name.clone();
            }
        };
        if let Some(mut container) = template.container {
            if let Some(defaults) = &mut self.defaults {
                defaults.merge(&mut container, false, d);
            }
            main(&mut container);
            let at = d.field(at, "container");
            d.container(container, Role::Main, frame, after, Runs::Once, at);
        } else if let Some(set) = template.container_set {
            let at = d.field(at, "containerSet");
            d.raw(set.volume_mounts);
            container_set(set.containers, frame, after, at, fill, d);
        } else if let Some(script) = template.script {
            let at = d.field(at, "script");
            d.raw(Some(script));
            match serde_json::from_str::<Container<'a>>(script.get()) {
                Ok(mut container) => {
                    if let Some(defaults) = &mut self.defaults {
                        defaults.merge(&mut container, true, d);
                    }
                    main(&mut container);
                    // The source is given to the command as a file, so the image never runs as it is.
                    container.args.get_or_insert_default();
                    d.container(container, Role::Main, frame, after, Runs::Once, at);
                }
                Err(_) => d.opaque("script", Unseen::Unreadable, at),
            }
        }
        for (mut sidecar, i) in template.sidecars.0.into_iter().zip(0..) {
            let at = d.item(at, "sidecars", i);
            fill(&mut sidecar);
            d.container(sidecar, Role::Main, frame, after, Runs::Once, at);
        }
        if let Some(defaults) = &self.defaults {
            defaults.beside(frame, after, d);
        }
    }
}

/// Containers of one pod of which some wait for the success of others (reference: Argo's emissary).
fn container_set<'a>(
    containers: List<&'a RawValue>,
    frame: FrameId,
    after: OrderId,
    at: At,
    fill: impl Fn(&mut Container<'a>),
    d: &mut Draft<'a, '_>,
) {
    let mut read = Vec::new();
    for (json, i) in containers.0.into_iter().zip(0..) {
        let at = d.item(at, "containers", i);
        let container = serde_json::from_str::<Container<'a>>(json.get());
        let before = serde_json::from_str::<Dependencies<'a>>(json.get());
        match (container, before) {
            (Ok(mut container), Ok(before)) => {
                fill(&mut container);
                read.push((container, before.dependencies, at));
            }
            _ => d.opaque("containerSet", Unseen::Unreadable, at),
        }
    }
    let first = d.next_node().0;
    let mut index: HashMap<Text<'a>, u32> = HashMap::new();
    let mut ambiguous = false;
    for ((container, ..), i) in read.iter().zip(0..) {
        ambiguous |= container.name.contains("{{");
        ambiguous |= index.insert(container.name.clone(), i).is_some();
    }
    if ambiguous {
        index.clear();
    }
    for (container, before, at) in read {
        let mut all = vec![after];
        for name in &before.0 {
            if let Some(i) = index.get(name) {
                all.push(d.order(Order::Done(NodeId(first.saturating_add(*i)))));
            }
        }
        let after = d.order(Order::All(all.into()));
        d.container(container, Role::Main, frame, after, Runs::Once, at);
    }
}

/// YAML that is laid over a pod when it is made: what it runs then cannot be seen.
pub fn patched<'a>(patch: Option<&Text<'a>>, at: At, d: &mut Draft<'a, '_>) {
    if is_set(patch) {
        let at = d.field(at, "podSpecPatch");
        d.opaque("podSpecPatch", Unseen::Late, at);
    }
}
