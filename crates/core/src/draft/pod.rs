//! Pods and their containers.

use serde_json::value::RawValue;

use super::Draft;
use crate::path::{At, Seg};
use crate::submission::{Carrier, FrameId, Key, NodeId, Order, OrderId, Role, Run, Runs, Void};
use crate::text::Text;
use crate::workload::leaf::List;
use crate::workload::pod::{Container, Env, EnvVar, PodSpec, PodTemplate, Resources, VISIBLE_DEVICES};

impl<'a> Draft<'a, '_> {
    /// The one pod template of an object that has nothing else: called once by the object.
    pub fn only_pod(&mut self, template: PodTemplate<'a>, at: At, runs: Runs) {
        let frame = self.pod(template, at);
        self.call(self.base, Text::default(), frame, OrderId(0), runs, at);
    }

    /// A pod template: its keys, and its containers in their order. Returns the pod's frame.
    pub fn pod(&mut self, template: PodTemplate<'a>, at: At) -> FrameId {
        self.template_meta(template.metadata, at);
        let spec = self.field(at, "spec");
        let frame = self.frame(spec);
        self.containers(template.spec, frame, spec);
        frame
    }

    /// The containers of a pod in their order: init containers one after another, then all the others at once. Returns
    /// after what those others start.
    pub fn containers(&mut self, spec: PodSpec<'a>, frame: FrameId, at: At) -> OrderId {
        if let Some(place) = self.submission.parents.get_mut(frame.0 as usize) {
            *place = at;
        }
        if !self.runtime_class(spec.runtime_class_name.as_ref(), at) && !spec.resource_claims.0.is_empty() {
            let at = self.field(at, "resourceClaims");
            self.submission.accelerator.get_or_insert(at);
        }
        self.submission.raw.extend(spec.volumes.map(RawValue::get));
        let after = self.init_containers(spec.init_containers, frame, at);
        for (container, i) in spec.containers.0.into_iter().zip(0..) {
            let at = self.item(at, "containers", i);
            self.container(container, Role::Main, frame, after, Runs::Once, at);
        }
        for (container, i) in spec.ephemeral_containers.0.into_iter().zip(0..) {
            let at = self.item(at, "ephemeralContainers", i);
            // Added to a pod that runs already: behind nothing, and nothing waits for it.
            self.container(
                container,
                Role::Ephemeral,
                frame,
                OrderId(0),
                Runs::Maybe(Void::Ephemeral),
                at,
            );
        }
        after
    }

    /// Init containers one after another. Returns the order after the last.
    pub fn init_containers(&mut self, list: List<Container<'a>>, frame: FrameId, at: At) -> OrderId {
        let mut after = OrderId(0);
        for (container, i) in list.0.into_iter().zip(0..) {
            let at = self.item(at, "initContainers", i);
            let keeps_running = !matches!(
                container.restart_policy.as_deref(),
                None | Some("Never" | "OnFailure")
            );
            if keeps_running {
                let runs = Runs::Maybe(Void::Sidecar);
                self.container(container, Role::Sidecar, frame, after, runs, at);
            } else {
                let id = self.container(container, Role::Init, frame, after, Runs::Once, at);
                after = self.order(Order::Done(id));
            }
        }
        after
    }

    /// An environment variable below `at`, which may stand for a key. Returns whether it gives access to accelerators.
    pub fn variable(&mut self, variable: EnvVar<'a>, at: At, seg: Seg<'a>) -> bool {
        let visible = variable.name.as_str() == VISIBLE_DEVICES;
        if let Some(name) = crate::declaration::env_key(&variable.name) {
            let at = self.paths.push(at, seg);
            let key = Key {
                name,
                value: variable.value,
                carrier: Carrier::Env,
                at,
            };
            self.submission.keys.push(key);
        }
        visible
    }

    /// The variables in `env` at a field. Returns whether one of them gives access to accelerators.
    pub fn variables(&mut self, variables: Vec<EnvVar<'a>>, at: At) -> bool {
        let mut visible_devices = false;
        for (variable, i) in variables.into_iter().zip(0..) {
            visible_devices |= self.variable(variable, at, Seg::Item("env", i));
        }
        visible_devices
    }

    /// A container.
    pub fn container(
        &mut self,
        container: Container<'a>,
        role: Role,
        frame: FrameId,
        after: OrderId,
        runs: Runs,
        at: At,
    ) -> NodeId {
        let asks = self.asks(container.resources.as_ref());
        let raw_env = container.env.raw;
        let visible_devices = self.env(container.env, at);
        let run = Run {
            role,
            image: container.image,
            command: container.command.map(|list| list.0),
            args: container.args.map(|list| list.0),
            rewritten: container.rewritten,
            accelerated: asks || visible_devices,
            raw: [container.env_from, container.volume_mounts, container.lifecycle]
                .into_iter()
                .flatten()
                .map(RawValue::get)
                .chain(raw_env)
                .collect(),
        };
        self.run(frame, container.name, run, after, runs, at)
    }

    /// Whether resources ask for an accelerator.
    #[must_use]
    pub fn asks(&self, resources: Option<&Resources<'a>>) -> bool {
        resources.is_some_and(|resources| {
            let mut names = resources.limits.0.iter().chain(&resources.requests.0);
            names.any(|name| self.context.settings.is_accelerator(name)) || !resources.claims.0.is_empty()
        })
    }

    /// The variables of a container: its keys, and whether they give access to accelerators.
    pub fn env(&mut self, env: Env<'a>, at: At) -> bool {
        self.variables(env.variables, at)
    }

    /// The runtime class of a pod: some give access to accelerators.
    pub fn runtime_class(&mut self, class: Option<&Text<'a>>, at: At) -> bool {
        let accelerated = class.is_some_and(|class| self.context.settings.is_accelerated_class(class));
        if accelerated {
            let at = self.field(at, "runtimeClassName");
            self.submission.accelerator.get_or_insert(at);
        }
        accelerated
    }
}
