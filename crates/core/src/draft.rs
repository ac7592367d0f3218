//! Building a submission: what a kind's adapter calls.

use serde_json::value::RawValue;

use crate::path::{At, Paths, Seg};
use crate::settings::Settings;
use crate::submission::{
    Carrier, FrameId, Hold, Key, Node, NodeId, Order, OrderId, Role, Run, Runs, Submission, Void, What,
};
use crate::text::Text;
use crate::workload::meta::{Meta, OwnerReference};
use crate::workload::pod::{Container, PodSpec, PodTemplate, VISIBLE_DEVICES};

/// The submission being built, and what is at hand for it.
#[derive(Debug)]
pub struct Draft<'a, 's> {
    settings: &'s Settings,
    paths: &'s mut Paths<'a>,
    root: At,
    submission: Submission<'a>,
    identity: Identity<'a>,
}

/// Who the object is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity<'a> {
    /// `metadata.name`; the final one even with `generateName`.
    pub name: Text<'a>,
    /// `metadata.namespace`; empty if cluster-scoped.
    pub namespace: Text<'a>,
    /// `metadata.uid`.
    pub uid: Text<'a>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<OwnerReference<'a>>,
}

impl<'a> Identity<'a> {
    /// The owner that controls the object.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.owners.iter().find(|owner| owner.controller)
    }
}

impl<'a, 's> Draft<'a, 's> {
    /// An empty draft of the object at `root`: frame 0 is the object, order 0 is the start.
    #[must_use]
    pub fn new(settings: &'s Settings, paths: &'s mut Paths<'a>, root: At) -> Self {
        let submission = Submission {
            orders: vec![Order::Start],
            frames: 1,
            parents: vec![root],
            ..Submission::default()
        };
        Self {
            settings,
            paths,
            root,
            submission,
            identity: Identity::default(),
        }
    }

    /// The path of the object itself.
    #[must_use]
    pub fn root(&self) -> At {
        self.root
    }

    /// The finished submission.
    #[must_use]
    pub fn finish(self) -> (Submission<'a>, Identity<'a>) {
        (self.submission, self.identity)
    }

    /// The path of a field below `at`.
    pub fn field(&mut self, at: At, name: &'static str) -> At {
        self.paths.push(at, Seg::Field(name))
    }

    /// The path of the `index`-th item of a list below `at`.
    pub fn item(&mut self, at: At, name: &'static str, index: usize) -> At {
        self.paths
            .push(at, Seg::Item(name, u32::try_from(index).unwrap_or(u32::MAX)))
    }

    /// The object's own metadata.
    pub fn object(&mut self, meta: Meta<'a>) {
        self.keys(meta.labels.0, Carrier::Label, self.root);
        self.keys(meta.annotations.0, Carrier::Annotation, self.root);
        self.identity = Identity {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            owners: meta.owner_references,
        };
    }

    /// The metadata of a template inside the object.
    pub fn template_meta(&mut self, meta: Meta<'a>, at: At) {
        self.keys(meta.labels.0, Carrier::Label, at);
        self.keys(meta.annotations.0, Carrier::Annotation, at);
    }

    fn keys(&mut self, keys: Vec<(Text<'a>, Text<'a>)>, carrier: Carrier, at: At) {
        let field = if carrier == Carrier::Label {
            "metadata.labels"
        } else {
            "metadata.annotations"
        };
        for (full, value) in keys {
            let at = self.paths.push(at, Seg::Key(field, full.clone()));
            self.submission.keys.push(Key {
                name: full,
                value: Some(value),
                carrier,
                at,
            });
        }
    }

    /// A place where the object waits.
    pub fn held(&mut self, yes: bool, at: At, name: &'static str) {
        if yes {
            let at = self.field(at, name);
            self.submission.held.push(Hold { name, at });
        }
    }

    /// A new frame at a field: a pod spec, a list of jobs.
    pub fn frame(&mut self, at: At) -> FrameId {
        let frame = FrameId(self.submission.frames);
        self.submission.parents.push(at);
        self.submission.frames = self.submission.frames.saturating_add(1);
        frame
    }

    /// An order among the nodes of one frame.
    pub fn order(&mut self, order: Order) -> OrderId {
        if order == Order::Start {
            return OrderId(0);
        }
        self.submission.orders.push(order);
        OrderId(u32::try_from(self.submission.orders.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// The order "after all of these".
    pub fn all(&mut self, orders: impl IntoIterator<Item = Order>) -> OrderId {
        let ids: Box<[OrderId]> = orders.into_iter().map(|order| self.order(order)).collect();
        self.order(Order::All(ids))
    }

    fn node(&mut self, node: Node<'a>) -> NodeId {
        self.submission.nodes.push(node);
        NodeId(u32::try_from(self.submission.nodes.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// A call of a frame from frame `from`.
    pub fn call(
        &mut self,
        from: FrameId,
        name: Text<'a>,
        to: FrameId,
        after: OrderId,
        runs: Runs,
        at: At,
    ) -> NodeId {
        self.node(Node {
            frame: from,
            name,
            what: What::Call(to),
            after,
            runs,
            at,
        })
    }

    /// The one pod template of an object that has nothing else: called once by the object.
    pub fn only_pod(&mut self, template: PodTemplate<'a>, at: At, runs: Runs) {
        let frame = self.pod(template, at);
        self.call(FrameId(0), Text::default(), frame, OrderId(0), runs, at);
    }

    /// A pod template: its keys, and its containers in their order. Returns the pod's frame.
    pub fn pod(&mut self, template: PodTemplate<'a>, at: At) -> FrameId {
        self.template_meta(template.metadata, at);
        let spec = self.field(at, "spec");
        let frame = self.frame(spec);
        self.containers(template.spec, frame, spec);
        frame
    }

    /// The containers of a pod in their order: init containers one after another, then all the others at once.
    pub fn containers(&mut self, spec: PodSpec<'a>, frame: FrameId, at: At) {
        if let Some(place) = self.submission.parents.get_mut(frame.0 as usize) {
            *place = at;
        }
        let class = spec
            .runtime_class_name
            .as_ref()
            .filter(|class| self.settings.is_accelerated_class(class));
        if class.is_some() {
            let at = self.field(at, "runtimeClassName");
            self.submission.accelerator.get_or_insert(at);
        } else if !spec.resource_claims.0.is_empty() {
            let at = self.field(at, "resourceClaims");
            self.submission.accelerator.get_or_insert(at);
        }
        self.submission.raw.extend(spec.volumes.map(RawValue::get));
        let mut after = OrderId(0);
        for (container, i) in spec.init_containers.0.into_iter().zip(0..) {
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
    }

    fn container(
        &mut self,
        container: Container<'a>,
        role: Role,
        frame: FrameId,
        after: OrderId,
        runs: Runs,
        at: At,
    ) -> NodeId {
        let asks = container.resources.is_some_and(|resources| {
            let mut names = resources.limits.0.iter().chain(&resources.requests.0);
            names.any(|name| self.settings.is_accelerator(name)) || !resources.claims.0.is_empty()
        });
        let mut visible_devices = false;
        for (variable, i) in container.env.variables.into_iter().zip(0..) {
            visible_devices |= variable.name.as_str() == VISIBLE_DEVICES;
            if let Some(name) = crate::declaration::env_key(&variable.name) {
                let item = self.item(at, "env", i);
                let key = Key {
                    name,
                    value: variable.value,
                    carrier: Carrier::Env,
                    at: item,
                };
                self.submission.keys.push(key);
            }
        }
        let run = Run {
            role,
            image: container.image,
            command: container.command.map(|list| list.0),
            args: container.args.map(|list| list.0),
            accelerated: asks || visible_devices,
            raw: [container.env_from, container.volume_mounts, container.lifecycle]
                .into_iter()
                .flatten()
                .map(RawValue::get)
                .chain(container.env.raw)
                .collect(),
        };
        self.node(Node {
            frame,
            name: container.name,
            what: What::Run(run),
            after,
            runs,
            at,
        })
    }
}
