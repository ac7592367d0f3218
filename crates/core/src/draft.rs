//! Building a submission: what a kind's adapter calls.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fetched::{Fetched, Need};
use crate::path::{At, Paths, Seg};
use crate::settings::Settings;
use crate::submission::{
    Carrier, FrameId, Key, Node, NodeId, Opaque, Order, OrderId, Place, Role, Run, Runs, Submission, Unseen,
    Void, What,
};
use crate::text::Text;
use crate::workload::leaf::List;
use crate::workload::meta::{Keys, Meta, OwnerReference};
use crate::workload::pod::{Container, Env, EnvVar, PodSpec, PodTemplate, Resources, VISIBLE_DEVICES};
use crate::workload::{KnownKind, Scope};

/// The submission being built, and what is at hand for it.
#[derive(Debug)]
pub struct Draft<'a, 's> {
    context: Context<'a, 's>,
    paths: &'s mut Paths<'a>,
    /// Where the object that is being read stands, and the frame it is: those of an embedded one while it is read.
    root: At,
    base: FrameId,
    depth: usize,
    submission: Submission<'a>,
    identity: Identity<'a>,
    needs: Vec<Need>,
    /// Bytes of what was referred to, so that a small object cannot make a large one of many references.
    bytes: usize,
}

/// What a submission is drafted with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a, 's> {
    /// What the platform team set.
    pub settings: &'s Settings,
    /// What was brought so far.
    pub fetched: &'a Fetched,
    /// The namespace of the request, in which references are looked up.
    pub namespace: &'s str,
}

/// A drafted object.
#[derive(Debug)]
pub struct Drafted<'a> {
    /// What it would run.
    pub submission: Submission<'a>,
    /// Who it is.
    pub identity: Identity<'a>,
    /// What must be brought before the submission is complete.
    pub needs: Vec<Need>,
}

const LABELS: &str = "metadata.labels";
const ANNOTATIONS: &str = "metadata.annotations";

/// Objects inside objects, and references from what was referred to, lead at most this deep. Each step of references
/// costs a round of look-ups, so this bounds them too.
const MAX_DEPTH: usize = 6;

/// References of one submission.
const MAX_REFERENCES: usize = 64;

/// Bytes of all that one submission refers to.
const MAX_REFERRED_BYTES: usize = 16 * 1024 * 1024;

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
    /// Keys by which operators know their own objects.
    pub claims: Vec<(Carrier, Text<'a>)>,
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
    pub fn new(context: Context<'a, 's>, paths: &'s mut Paths<'a>, root: At) -> Self {
        let submission = Submission {
            orders: vec![Order::Start],
            frames: 1,
            parents: vec![root],
            ..Submission::default()
        };
        Self {
            context,
            paths,
            root,
            base: FrameId(0),
            depth: 0,
            submission,
            identity: Identity::default(),
            needs: Vec::new(),
            bytes: 0,
        }
    }

    /// The path of the object that is being read.
    #[must_use]
    pub fn root(&self) -> At {
        self.root
    }

    /// The frame of the object that is being read.
    #[must_use]
    pub fn base(&self) -> FrameId {
        self.base
    }

    /// The finished submission.
    #[must_use]
    pub fn finish(self) -> Drafted<'a> {
        Drafted {
            submission: self.submission,
            identity: self.identity,
            needs: self.needs,
        }
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

    /// The path of an entry of a map below `at`: `spec.replicas[Worker]`.
    pub fn entry(&mut self, at: At, name: &'static str, key: &Text<'a>) -> At {
        self.paths.push(at, Seg::Key(name, key.clone()))
    }

    /// The object's own metadata.
    pub fn object(&mut self, mut meta: Meta<'a>) {
        if self.depth > 0 {
            return self.template_meta(meta, self.root);
        }
        let claims_of = |keys: &mut Keys<'a>| std::mem::take(&mut keys.claims);
        let (labels, annotations) = (claims_of(&mut meta.labels), claims_of(&mut meta.annotations));
        self.keys(meta.labels, Carrier::Label, LABELS, self.root);
        self.keys(meta.annotations, Carrier::Annotation, ANNOTATIONS, self.root);
        let of = |carrier: Carrier| move |key| (carrier, key);
        let labels = labels.into_iter().map(of(Carrier::Label));
        let annotations = annotations.into_iter().map(of(Carrier::Annotation));
        let claims = labels.chain(annotations).collect();
        self.identity = Identity {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            owners: meta.owner_references,
            claims,
        };
    }

    /// The metadata of a template inside the object.
    pub fn template_meta(&mut self, meta: Meta<'a>, at: At) {
        self.keys(meta.labels, Carrier::Label, LABELS, at);
        self.keys(meta.annotations, Carrier::Annotation, ANNOTATIONS, at);
    }

    /// Labels and annotations that stand in a field of their own, such as `podMetadata`.
    pub fn bare_meta(&mut self, meta: Meta<'a>, at: At) {
        self.keys(meta.labels, Carrier::Label, "labels", at);
        self.keys(meta.annotations, Carrier::Annotation, "annotations", at);
    }

    /// Labels or annotations that stand in a field below `at`.
    pub fn keys(&mut self, keys: Keys<'a>, carrier: Carrier, field: &'static str, at: At) {
        for (full, value) in keys.ours {
            let at = self.paths.push(at, Seg::Key(field, full.clone()));
            self.submission.keys.push(Key {
                name: full,
                value: Some(value),
                carrier,
                at,
            });
        }
    }

    /// A field that may hold the object back, and whether it does. Called for every such field, in the order of the
    /// object, so that a release shows as one that did and does no longer.
    pub fn held(&mut self, yes: bool) {
        self.submission.holds.push(yes);
    }

    /// JSON that belongs to what runs, compared and never read. What is absent is compared too, so that nothing can move
    /// from one field to the next unseen.
    pub fn raw(&mut self, json: Option<&'a RawValue>) {
        self.submission.raw.push(json.map_or("", RawValue::get));
    }

    /// The same, of JSON that is text already.
    pub fn raw_text(&mut self, json: Option<&'a str>) {
        self.submission.raw.extend(json);
    }

    /// The object's `status`, for kinds whose users may write it. One in which nothing is set does not count.
    pub fn status(&mut self, status: Option<&'a RawValue>) {
        if self.depth == 0 {
            self.submission.status = status.map(RawValue::get).filter(|json| says_something(json));
        }
    }

    /// What comes first is written as the first of its steps, not as an init container.
    pub fn has_steps(&mut self) {
        self.submission.place = Place::Steps;
    }

    /// Something that will run and cannot be seen.
    pub fn opaque(&mut self, reference: impl Into<Text<'a>>, why: Unseen, at: At) {
        let reference = reference.into();
        self.submission.opaque.push(Opaque { reference, why, at });
    }

    /// An object that this one refers to by name, with the path of what is inside it. While it is not brought it is
    /// asked for; what cannot be had is opaque.
    pub fn fetch(
        &mut self,
        kind: KnownKind,
        namespace: Option<&str>,
        name: &Text<'a>,
        at: At,
    ) -> Option<(&'a str, At)> {
        let reference: Text<'a> = format!("{} {}", kind.info().kind, crate::render::shown(name)).into();
        self.submission.references.push(reference.clone());
        let namespace = match kind.info().scope {
            Scope::Cluster => "",
            Scope::Namespaced => namespace.unwrap_or(self.context.namespace),
        };
        let need = Need::Object {
            kind,
            version: kind.default_version(),
            namespace: namespace.into(),
            name: name.as_str().into(),
            uid: None,
        };
        let over = self.submission.references.len() > MAX_REFERENCES || self.depth >= MAX_DEPTH;
        let why = match self.context.fetched.object(&need) {
            _ if over => Unseen::TooFar,
            Some(Ok(json)) if self.bytes.saturating_add(json.len()) > MAX_REFERRED_BYTES => Unseen::TooFar,
            Some(Ok(json)) => {
                self.bytes = self.bytes.saturating_add(json.len());
                return Some((json, self.inside(kind.info().kind, name.clone())));
            }
            Some(Err(absence)) => absence.into(),
            None => {
                if !self.needs.contains(&need) {
                    self.needs.push(need);
                }
                return None;
            }
        };
        self.opaque(reference, why, at);
        None
    }

    /// An object that this one refers to, read as what the caller needs of it.
    pub fn fetch_as<T: Deserialize<'a>>(
        &mut self,
        kind: KnownKind,
        name: &Text<'a>,
        at: At,
    ) -> Option<(T, At)> {
        let (json, inside) = self.fetch(kind, None, name, at)?;
        match serde_json::from_str(json) {
            Ok(object) => Some((object, inside)),
            Err(_) => {
                let reference = format!("{} {}", kind.info().kind, crate::render::shown(name));
                self.opaque(reference, Unseen::Unreadable, at);
                None
            }
        }
    }

    /// The path of what is inside another object, written `CronJob/nightly`.
    pub fn inside(&mut self, kind: &'static str, name: Text<'a>) -> At {
        self.paths.push(Paths::ROOT, Seg::Inside(kind, name))
    }

    /// Whether what stands that many objects further away is too far away to be read.
    #[must_use]
    pub fn is_too_far(&self, further: usize) -> bool {
        self.depth.saturating_add(further) >= MAX_DEPTH
    }

    /// Reads what stands one object further away; too far away it is not read.
    pub fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth = self.depth.saturating_add(1);
        let read = read(self);
        self.depth = self.depth.saturating_sub(1);
        Some(read)
    }

    /// A whole object inside this one, or one that it refers to, in a frame of its own that the caller calls. `named`
    /// is how to tell of it if it cannot be read.
    pub fn embed(&mut self, object: &'a str, at: At, named: &Text<'a>) -> Embedded {
        let Ok(meta) = serde_json::from_str::<TypeMeta<'a>>(object) else {
            self.opaque(named.clone(), Unseen::Unreadable, at);
            return Embedded::Unreadable;
        };
        let group = meta.api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(kind) = KnownKind::find(group, &meta.kind) else {
            return Embedded::Unknown;
        };
        let Ok(read) = kind.read(object) else {
            self.opaque(named.clone(), Unseen::Unreadable, at);
            return Embedded::Unreadable;
        };
        let frame = self.frame(at);
        let (root, base) = (self.root, self.base);
        let drafted = self.deeper(|d| {
            (d.root, d.base) = (at, frame);
            read.draft_into(d);
        });
        (self.root, self.base) = (root, base);
        match drafted {
            Some(()) => Embedded::Frame(frame),
            None => {
                self.opaque(named.clone(), Unseen::TooFar, at);
                Embedded::Unreadable
            }
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

    /// A frame completes after this order of its own nodes, which may be before all of them have.
    pub fn completes(&mut self, frame: FrameId, after: OrderId) {
        self.submission.completions.push((frame, after));
    }

    /// The node that is added next.
    #[must_use]
    pub fn next_node(&self) -> NodeId {
        NodeId(u32::try_from(self.submission.nodes.len()).unwrap_or(u32::MAX))
    }

    fn node(&mut self, node: Node<'a>) -> NodeId {
        let id = self.next_node();
        self.submission.nodes.push(node);
        id
    }

    /// Lets a node start after an order that was not known yet when it was drafted, because it waits for nodes that
    /// come later in the object.
    pub fn starts_after(&mut self, node: NodeId, after: OrderId) {
        if let Some(node) = self.submission.nodes.get_mut(node.0 as usize) {
            node.after = after;
        }
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

    /// Something that is no container asks for accelerators.
    pub fn accelerate(&mut self, at: At) {
        self.submission.accelerator.get_or_insert(at);
    }

    /// A container that is not written as one of a pod.
    pub fn run(
        &mut self,
        frame: FrameId,
        name: Text<'a>,
        run: Run<'a>,
        after: OrderId,
        runs: Runs,
        at: At,
    ) -> NodeId {
        self.node(Node {
            frame,
            name,
            what: What::Run(run),
            after,
            runs,
            at,
        })
    }
}

/// What came of an object inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    /// It was read, and is this frame.
    Frame(FrameId),
    /// It is of a kind that datagate does not read; the caller knows whether that matters.
    Unknown,
    /// It cannot be read, and is opaque already.
    Unreadable,
}

/// `apiVersion` and `kind`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeMeta<'a> {
    #[serde(borrow, default)]
    api_version: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
}

/// Whether anything is set in a status: clients write the empty one of their types, `{"startedAt": null}`.
fn says_something(json: &str) -> bool {
    fn set(value: &serde_json::Value) -> bool {
        use serde_json::Value;
        match value {
            Value::Null => false,
            Value::Object(map) => map.values().any(set),
            Value::Array(list) => !list.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Bool(yes) => *yes,
            // The first phase of a FlyteWorkflow is 0, and its clients write it.
            Value::Number(number) => number.as_i64() != Some(0),
        }
    }
    serde_json::from_str(json).map_or(true, |value| set(&value))
}
