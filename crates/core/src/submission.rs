//! What was submitted, in one shape for all kinds: frames and nodes, not a list of pods.
//!
//! A *frame* is a pod, the list of jobs of a JobSet, a template of a workflow. A *node* runs a container or calls a
//! frame. Each node has an order (after what it starts) and says whether it may run zero times. Templates are never
//! inlined: a frame that is called twice stands here once.

use crate::fetched::Absence;
use crate::path::At;
use crate::text::Text;

/// The submission of one object, and of the templates inside it.
#[derive(Clone, Debug, Default)]
pub struct Submission<'a> {
    /// Containers and calls, in the order of the object.
    pub nodes: Vec<Node<'a>>,
    /// The orders that nodes refer to; the first is `Order::Start`.
    pub orders: Vec<Order>,
    /// How many frames there are; frame 0 is the object.
    pub frames: u32,
    /// The field of each frame: the pod spec, the list of jobs.
    pub parents: Vec<At>,
    /// Frames that complete after an order of theirs; any other only after all that surely runs in it.
    pub completions: Vec<(FrameId, OrderId)>,
    /// Every `datagate.dev/` key, unread.
    pub keys: Vec<Key<'a>>,
    /// The fields that may hold it back, in the order of the object, and whether they do.
    pub holds: Holds,
    /// Where a whole pod, rather than one container, asks for accelerators.
    pub accelerator: Option<At>,
    /// Volumes and other raw text that belongs to what runs, compared but never read.
    pub raw: Vec<&'a str>,
    /// Things that will run and cannot be seen.
    pub opaque: Vec<Opaque<'a>>,
    /// Where a step would have to be added, for the remedy.
    pub place: Place,
    /// What it refers to by name, as "ClusterTrainingRuntime torch", whether or not it was brought.
    pub references: Vec<Text<'a>>,
    /// `status`, of a kind whose users may write it; absent if nothing is in it.
    pub status: Option<&'a str>,
}

/// Where something that must come first is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Place {
    /// In `initContainers` of a pod.
    #[default]
    InitContainers,
    /// In the `steps` of a task, as its first.
    Steps,
}

/// Fields that may hold a workload back, in the order of the object: suspended, a count of 0, a scheduling gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// The first 64, a bit each; nearly always all of them, so that none of this is on the heap.
    first: u64,
    more: Vec<bool>,
    count: usize,
}

impl Holds {
    /// Adds a field, and whether it holds.
    pub fn push(&mut self, holds: bool) {
        match u32::try_from(self.count)
            .ok()
            .and_then(|at| 1_u64.checked_shl(at))
        {
            Some(bit) if holds => self.first |= bit,
            Some(_) => {}
            None => self.more.push(holds),
        }
        self.count = self.count.saturating_add(1);
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no such field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a field of the same object that held it holds it no longer.
    #[must_use]
    pub fn released_by(&self, now: &Self) -> bool {
        self.first & !now.first != 0
            || self
                .more
                .iter()
                .zip(&now.more)
                .any(|(before, now)| *before && !*now)
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u32);

/// A container, or a call of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    /// The frame it stands in.
    pub frame: FrameId,
    /// The name by which `datagate.dev/steps` may refer to it.
    pub name: Text<'a>,
    /// What it does.
    pub what: What<'a>,
    /// After what it starts.
    pub after: OrderId,
    /// Whether it surely runs to completion.
    pub runs: Runs,
    /// Its field.
    pub at: At,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum What<'a> {
    /// Runs a container.
    Run(Run<'a>),
    /// Runs everything in a frame.
    Call(FrameId),
}

/// A container.
#[derive(Clone, Debug, PartialEq)]
pub struct Run<'a> {
    /// Its role in the pod.
    pub role: Role,
    /// Its image, as written.
    pub image: Text<'a>,
    /// Its command; absent: the image's own.
    pub command: Option<Vec<Text<'a>>>,
    /// Its arguments; absent: the image's own.
    pub args: Option<Vec<Text<'a>>>,
    /// Whether the operator writes its command and arguments when it makes the pod: what stands here is not what runs.
    pub rewritten: bool,
    /// Whether it asks for an accelerator.
    pub accelerated: bool,
    /// Environment, volume mounts and hooks as raw JSON, compared but never read.
    pub raw: Vec<&'a str>,
}

/// The role of a container in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of `initContainers` that runs to completion.
    Init,
    /// One of `initContainers` with a `restartPolicy` that keeps it running.
    Sidecar,
    /// One of `containers`.
    Main,
    /// One of `ephemeralContainers`.
    Ephemeral,
}

/// Whether a node surely runs, and to completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// It does.
    Once,
    /// It does, or another object that has its name is taken for it: what is seen of it shows no more than a word.
    ByName,
    /// It may run zero times, or fail unnoticed.
    Maybe(Void),
}

impl Runs {
    /// Both this and the other must hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Maybe(void), _) | (_, Self::Maybe(void)) => Self::Maybe(void),
            (Self::ByName, _) | (_, Self::ByName) => Self::ByName,
            (Self::Once, Self::Once) => Self::Once,
        }
    }

    /// It does, unless this void is there.
    #[must_use]
    pub fn unless(void: Option<Void>) -> Self {
        void.map_or(Self::Once, Self::Maybe)
    }
}

/// Why something proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Void {
    /// It starts beside what trains.
    Beside,
    /// It starts after what trains.
    After,
    /// It is in a pod or task that what trains does not wait for.
    Elsewhere,
    /// It keeps running, so it never completes before what follows.
    Sidecar,
    /// It has a count of 0.
    ZeroReplicas,
    /// It is an ephemeral container.
    Ephemeral,
    /// What trains is an ephemeral container: nothing comes before that.
    TrainsEphemeral,
    /// It runs only under a condition.
    Conditional,
    /// What follows runs even if it fails.
    ContinuesOnFailure,
    /// It runs once for each item of a list that may be empty.
    MayBeEmpty,
    /// What follows waits until it is ready, not until it has completed.
    ReadinessOnly,
    /// What follows also starts if it was skipped.
    SkippedCounts,
    /// It runs as a daemon, so what follows does not wait for its end.
    Daemon,
    /// Its result may be taken from a cache instead of running it.
    Memoized,
    /// It counts as completed before all of it has succeeded.
    CompletesEarly,
}

/// After what a node starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// At once, when its frame starts.
    Start,
    /// After a node of the same frame completed.
    Done(NodeId),
    /// After all of these. Of nothing: at once.
    All(Box<[OrderId]>),
    /// After any of these. Of nothing: never proves anything.
    Any(Box<[OrderId]>),
    /// After a node, in a way that does not prove that it completed.
    Weak(NodeId, Void),
}

/// A `datagate.dev/` key where it was found, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// Its full name, for example `datagate.dev/datasets`; of a variable the key it stands for.
    pub name: Text<'a>,
    /// Its value; absent if it is not a literal.
    pub value: Option<Text<'a>>,
    /// How it is written.
    pub carrier: Carrier,
    /// Its field.
    pub at: At,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// A label.
    Label,
    /// An annotation.
    Annotation,
    /// An environment variable, `DATAGATE_DATASETS` for `datagate.dev/datasets`.
    Env,
}

/// Something that will run and cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque<'a> {
    /// What it refers to, as "TrainingRuntime torch-v9".
    pub reference: Text<'a>,
    /// Why it cannot be seen.
    pub why: Unseen,
    /// The reference's field.
    pub at: At,
}

/// Why something that will run cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unseen {
    /// It does not exist.
    NotFound,
    /// It could not be read in time, or not at all.
    Unreachable,
    /// There are too many references, or they lead too far.
    TooFar,
    /// It is there, and is not what its kind says.
    Unreadable,
    /// It is of a kind that datagate does not read.
    UnknownKind,
    /// It is not in the cluster: a resolver fetches it from elsewhere.
    Elsewhere,
    /// It is a text that is completed only when it runs.
    Late,
    /// It is a text in another place, which may be changed at any time and is not asked for.
    NotRead,
    /// It is encoded in a way that datagate does not read.
    Encoded,
    /// It is a status that somebody else than the controller wrote, and the controller runs by it.
    Status,
}

impl From<Absence> for Unseen {
    fn from(absence: Absence) -> Self {
        match absence {
            Absence::NotFound => Self::NotFound,
            Absence::Unreachable => Self::Unreachable,
        }
    }
}

impl<'a> Submission<'a> {
    /// Whether it runs anything: what is empty needs no declaration.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opaque.is_empty() && self.runs().next().is_none()
    }

    /// Whether any part asks for an accelerator.
    #[must_use]
    pub fn accelerated(&self) -> bool {
        self.accelerator.is_some() || self.runs().any(|(_, run)| run.accelerated)
    }

    /// The nodes that run containers.
    pub fn runs(&self) -> impl Iterator<Item = (NodeId, &Run<'a>)> {
        self.nodes
            .iter()
            .zip(0..)
            .filter_map(|(node, id)| match &node.what {
                What::Run(run) => Some((NodeId(id), run)),
                What::Call(_) => None,
            })
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node<'a>> {
        self.nodes.get(id.0 as usize)
    }
}

impl Run<'_> {
    /// Its command and arguments are unset or exactly those given, and nobody else writes them.
    #[must_use]
    pub fn runs_as(&self, command: Option<&[Box<str>]>, args: Option<&[Box<str>]>) -> bool {
        let unset = self.command.is_none() && self.args.is_none();
        let same = |given: Option<&[Text<'_>]>, wanted: Option<&[Box<str>]>| match (given, wanted) {
            (None, None) => true,
            (Some(given), Some(wanted)) => {
                given.len() == wanted.len() && given.iter().zip(wanted).all(|(a, b)| a.as_str() == &**b)
            }
            _ => false,
        };
        !self.rewritten
            && (unset || (same(self.command.as_deref(), command) && same(self.args.as_deref(), args)))
    }

    /// The digest in its image reference, as `sha256:...`.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.image.split_once('@').map(|(_, digest)| digest)
    }
}

#[cfg(test)]
mod tests {
    use super::Holds;

    #[test]
    fn a_release_shows_at_any_place() {
        for count in [1, 63, 64, 65, 200] {
            for at in [0, count / 2, count - 1] {
                let holds = |held: bool| {
                    let mut holds = Holds::default();
                    (0..count).for_each(|i| holds.push(held && i == at));
                    holds
                };
                assert!(holds(true).released_by(&holds(false)), "{at} of {count}");
                assert!(!holds(false).released_by(&holds(true)), "{at} of {count}");
                assert!(!holds(true).released_by(&holds(true)), "{at} of {count}");
            }
        }
    }
}
