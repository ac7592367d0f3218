//! The kinds of workload: one small adapter each, and one list of them.
//!
//! To add a kind, write its borrowed type and its `Kind` in `workload/<family>.rs` and one row in `kinds!` below.
//! Webhook rules, RBAC and the docs are generated from that list.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer};

use crate::draft::{Draft, Identity};
use crate::path::{At, Paths};
use crate::settings::Settings;
use crate::submission::Submission;

pub mod apps;
pub mod batch;
pub mod meta;
pub mod pod;

/// What is known of a kind besides how to read it.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// API group; empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Resource name in paths and rules.
    pub plural: &'static str,
    /// Versions whose shape the adapter reads; the first is the one that owners are read in.
    pub versions: &'static [&'static str],
    /// Whether it lives in a namespace.
    pub scope: Scope,
    /// Whether the kind exists for training, so that it is governed without any key or accelerator.
    pub trains: bool,
    /// Subresources through which what runs can change.
    pub subresources: &'static [&'static str],
    /// Who makes objects of this kind for which owners.
    pub creators: &'static [Edge],
    /// Fields that hold it back; clearing one is a start.
    pub holds: &'static [&'static str],
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// "For an owner of this kind, that account makes the child."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The owner's group.
    pub group: &'static str,
    /// The owner's kind.
    pub kind: &'static str,
    /// The service account of `kube-system` that makes the child.
    pub account: &'static str,
    /// Whether each child is a start of its own, judged in full, rather than the continuation of one.
    pub start: bool,
}

impl Edge {
    const fn of(group: &'static str, kind: &'static str, account: &'static str) -> Self {
        Self {
            group,
            kind,
            account,
            start: false,
        }
    }

    const fn start_of(group: &'static str, kind: &'static str, account: &'static str) -> Self {
        Self {
            group,
            kind,
            account,
            start: true,
        }
    }
}

/// A kind of workload.
pub trait Kind {
    /// What is known of it.
    const INFO: Info;
    /// How it is read: a borrowed type with the few fields that matter.
    type Object<'a>: Deserialize<'a>;
    /// How it becomes a submission. Takes the object, so that leaves move and nothing is copied.
    fn draft<'a>(object: Self::Object<'a>, d: &mut Draft<'a, '_>);
}

macro_rules! kinds {
    ($($family:ident :: $kind:ident as $name:ident),+ $(,)?) => {
        /// A kind datagate knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KnownKind { $(#[doc = stringify!($name)] $name),+ }

        /// An object of a kind datagate knows, read but not yet a submission.
        #[derive(Debug)]
        pub enum Object<'a> { $(#[doc = stringify!($name)] $name(<$family::$kind as Kind>::Object<'a>)),+ }

        impl KnownKind {
            /// The one list.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// What is known of the kind.
            #[must_use]
            pub const fn info(self) -> &'static Info {
                match self { $(Self::$name => const { &<$family::$kind as Kind>::INFO }),+ }
            }
        }

        impl<'de> DeserializeSeed<'de> for KnownKind {
            type Value = Object<'de>;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object<'de>, D::Error> {
                match self { $(Self::$name => Deserialize::deserialize(deserializer).map(Object::$name)),+ }
            }
        }

        impl<'a> Object<'a> {
            /// The object's submission and who it is; its paths start at `root`.
            #[must_use]
            pub fn draft(self, settings: &Settings, paths: &mut Paths<'a>, root: At) -> (Submission<'a>, Identity<'a>) {
                let mut draft = Draft::new(settings, paths, root);
                match self { $(Self::$name(object) => <$family::$kind as Kind>::draft(object, &mut draft)),+ }
                draft.finish()
            }
        }
    };
}

kinds! {
    pod::PodKind as Pod,
    pod::PodTemplateKind as PodTemplate,
    apps::ReplicationControllerKind as ReplicationController,
    batch::JobKind as Job,
    batch::CronJobKind as CronJob,
    apps::DeploymentKind as Deployment,
    apps::ReplicaSetKind as ReplicaSet,
    apps::StatefulSetKind as StatefulSet,
    apps::DaemonSetKind as DaemonSet,
}

impl KnownKind {
    /// The kind of that group and name.
    #[must_use]
    pub fn find(group: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.info().kind == kind && known.info().group == group)
    }

    /// Reads an object of this kind.
    ///
    /// # Errors
    ///
    /// If the text is not an object of the kind, with the field that surprised.
    pub fn read(self, json: &str) -> Result<Object<'_>, ReadError> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match self.deserialize(&mut deserializer) {
            Ok(object) => Ok(object),
            Err(_) => Err(self.explain(json)),
        }
    }

    /// The field at which reading fails; slower, so only after it did.
    fn explain(self, json: &str) -> ReadError {
        let mut track = serde_path_to_error::Track::new();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        let what = match self.deserialize(tracked) {
            Ok(_) => "cannot be read".to_owned(),
            Err(error) => error.to_string(),
        };
        ReadError {
            field: field(&track.path()),
            what: clean(&what),
        }
    }
}

/// A path as Kubernetes writes it: `spec.containers[0]`, `metadata.annotations[datagate.dev/datasets]`.
fn field(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => format!("[{index}]"),
            Segment::Map { key } if key.contains(['.', '/']) => format!("[{key}]"),
            Segment::Map { key } if text.is_empty() => key.clone(),
            Segment::Map { key } | Segment::Enum { variant: key } => format!(".{key}"),
            Segment::Unknown => ".?".to_owned(),
        };
        text.push_str(&part);
    }
    text
}

/// serde_json ends its messages with a position in a text the user never sees.
fn clean(what: &str) -> String {
    what.rsplit_once(" at line ")
        .map_or(what, |(what, _)| what)
        .replace('`', "")
}

/// An object that is not what its kind says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{field}: {what}")]
pub struct ReadError {
    /// The field; empty for the object itself.
    pub field: String,
    /// What is wrong there.
    pub what: String,
}
