//! Objects that stand in another one, and objects that it refers to.

use serde::Deserialize;

use super::Draft;
use crate::fetched::Need;
use crate::path::{At, Paths, Seg};
use crate::submission::{FrameId, Unseen};
use crate::text::Text;
use crate::workload::head::Head;
use crate::workload::{KnownKind, Scope};

/// Objects inside objects, and references from what was referred to, lead at most this deep. Each step of references
/// costs a round of look-ups, so this bounds them too.
const MAX_DEPTH: usize = 6;

/// References of one submission.
const MAX_REFERENCES: usize = 64;

/// Bytes of all that one submission refers to.
const MAX_REFERRED_BYTES: usize = 16 * 1024 * 1024;

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

impl<'a> Draft<'a, '_> {
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
    /// is how to tell of it if it cannot be read; without a head it is unreadable.
    pub fn embed(&mut self, object: &'a str, head: Option<&Head<'a>>, at: At, named: &Text<'a>) -> Embedded {
        let Some(head) = head else {
            self.opaque(named.clone(), Unseen::Unreadable, at);
            return Embedded::Unreadable;
        };
        let Some(kind) = head.known() else {
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
}
