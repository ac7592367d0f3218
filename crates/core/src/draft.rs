//! Building a submission: what a kind's adapter calls.

mod embed;
mod pod;

use serde_json::value::RawValue;

use crate::fetched::{Fetched, Need};
use crate::path::{At, Paths, Seg};
use crate::settings::Settings;
use crate::submission::{
    Carrier, FrameId, Key, Node, NodeId, Opaque, Order, OrderId, Place, Run, Runs, Submission, Unseen, What,
};
use crate::text::Text;
use crate::workload::meta::{Keys, Meta, OwnerReference};

pub use self::embed::Embedded;

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
