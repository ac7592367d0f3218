//! What a decision asked for and the shell brought.

use std::collections::HashMap;
use std::sync::Arc;

use crate::workload::KnownKind;
use crate::world::Namespace;

/// Something a decision needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// A namespace the index does not know yet.
    Namespace(Box<str>),
    /// An owner, or what a workload refers to.
    Object {
        /// What it is.
        kind: KnownKind,
        /// The version to read it in.
        version: &'static str,
        /// Its namespace; empty if it lives in the cluster.
        namespace: Box<str>,
        /// Its name.
        name: Box<str>,
        /// The UID it must have; absent: any, because it is named by name alone.
        uid: Option<Box<str>>,
    },
}

/// Why something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absence {
    /// It does not exist, or another one has its name.
    NotFound,
    /// It could not be asked for in time, or not at all.
    Unreachable,
}

/// What was brought, found or not.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    namespaces: HashMap<Box<str>, Result<Arc<Namespace>, Absence>>,
    objects: HashMap<Need, Result<Arc<str>, Absence>>,
}

impl Fetched {
    /// Brings a namespace.
    pub fn put_namespace(&mut self, name: &str, namespace: Result<Arc<Namespace>, Absence>) {
        self.namespaces.insert(name.into(), namespace);
    }

    /// Brings an object as JSON.
    pub fn put_object(&mut self, need: Need, object: Result<Arc<str>, Absence>) {
        self.objects.insert(need, object);
    }

    /// A namespace, if it was asked for.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Result<&Namespace, Absence>> {
        self.namespaces
            .get(name)
            .map(|it| it.as_deref().map_err(|absence| *absence))
    }

    /// An object, if it was asked for.
    #[must_use]
    pub fn object(&self, need: &Need) -> Option<Result<&str, Absence>> {
        self.objects
            .get(need)
            .map(|it| it.as_deref().map_err(|absence| *absence))
    }
}
