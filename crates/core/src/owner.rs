//! Children and their roots: which object a request continues.
//!
//! A child is verified if the requester is the account that makes such children, which is checked before anything is
//! read, and the chain of controllers exists with equal UIDs. Owner references alone prove nothing: anyone who may
//! create an object may write them.

use std::collections::HashMap;

use crate::draft::Identity;
use crate::fetched::{Absence, Fetched, Need};
use crate::finding::Unverified;
use crate::path::{Paths, Seg};
use crate::review::Review;
use crate::settings::Settings;
use crate::submission::{Role, Run, Submission};
use crate::workload::meta::OwnerReference;
use crate::workload::{Edge, KnownKind};

/// At most this many owners above one another; as in Kueue, whose walk this follows.
const MAX_HOPS: usize = 10;

/// The owner of an object, as far as it could be verified.
#[derive(Debug)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Owner<'a> {
    /// It names no controller.
    None,
    /// Verified: its ancestors from the nearest to the root, never empty.
    Verified {
        /// The ancestors.
        chain: Vec<Ancestor<'a>>,
        /// Whether each such child is a start of its own.
        start: bool,
    },
    /// It names a controller that could not be verified.
    Unverified { owner: Box<str>, why: Unverified },
}

/// An ancestor of a child.
#[derive(Debug)]
pub struct Ancestor<'a> {
    /// Its kind.
    pub kind: KnownKind,
    /// What it would run.
    pub submission: Submission<'a>,
    /// Its field paths' root.
    pub root: crate::path::At,
}

/// Verifies the owner of an object.
///
/// # Errors
///
/// What must be fetched first.
pub fn verify<'a>(
    review: &Review<'a>,
    kind: KnownKind,
    identity: &Identity<'a>,
    settings: &Settings,
    fetched: &'a Fetched,
    paths: &mut Paths<'a>,
) -> Result<Owner<'a>, Need> {
    let Some(first) = identity.controller() else {
        return Ok(Owner::None);
    };
    let unverified = |why| Owner::Unverified {
        owner: shown(first),
        why,
    };
    let Some(edge) = edge(kind, first).filter(|edge| makes(edge, kind, review, settings)) else {
        return Ok(unverified(Unverified::Requester));
    };
    let mut chain: Vec<Ancestor<'a>> = Vec::new();
    let mut next = Some(first.clone());
    while let Some(owner) = next {
        let Some(owner_kind) = KnownKind::find(owner.group(), &owner.kind) else {
            break;
        };
        if chain.len() >= MAX_HOPS {
            return Ok(unverified(Unverified::TooLong));
        }
        let need = Need::Object {
            kind: owner_kind,
            namespace: (*review.namespace).into(),
            name: (*owner.name).into(),
            uid: (*owner.uid).into(),
        };
        let json = match fetched.object(&need) {
            None => return Err(need),
            Some(Ok(json)) => json,
            Some(Err(Absence::NotFound)) => return Ok(unverified(Unverified::Gone)),
            Some(Err(Absence::Unreachable)) => return Ok(unverified(Unverified::Unreachable)),
        };
        let Ok(object) = owner_kind.read(json) else {
            return Ok(unverified(Unverified::Unreachable));
        };
        let root = paths.push(
            Paths::ROOT,
            Seg::Inside(owner_kind.info().kind, owner.name.clone()),
        );
        let (submission, identity) = object.draft(settings, paths, root);
        if identity.uid != owner.uid {
            return Ok(unverified(Unverified::Gone));
        }
        next = identity
            .controller()
            .filter(|above| self::edge(owner_kind, above).is_some())
            .cloned();
        chain.push(Ancestor {
            kind: owner_kind,
            submission,
            root,
        });
    }
    if chain.is_empty() {
        Ok(unverified(Unverified::Gone))
    } else {
        Ok(Owner::Verified {
            chain,
            start: edge.start,
        })
    }
}

/// The edge by which an object of this kind may be that owner's child.
fn edge(kind: KnownKind, owner: &OwnerReference<'_>) -> Option<Edge> {
    let edges = kind.info().creators.iter();
    edges
        .copied()
        .find(|edge| edge.kind == owner.kind.as_str() && edge.group == owner.group())
}

/// Whether the requester is the account that makes such children.
fn makes(edge: &Edge, kind: KnownKind, review: &Review<'_>, settings: &Settings) -> bool {
    let user = review.user.as_str();
    let listed = settings.controller_accounts.iter().any(|account| {
        *account.owner == *edge.kind && *account.child == *kind.info().kind && *account.username == *user
    });
    if listed {
        return true;
    }
    let own_account = |rest: &str| match rest.split_once(':') {
        // Whoever administers a namespace can act as any account of it.
        Some((namespace, name)) => {
            namespace == "kube-system" && name == edge.account && namespace != review.namespace.as_str()
        }
        None => false,
    };
    user == "system:kube-controller-manager"
        || user
            .strip_prefix("system:serviceaccount:")
            .is_some_and(own_account)
}

fn shown(owner: &OwnerReference<'_>) -> Box<str> {
    crate::render::shown(&format!("{} {}", owner.kind, owner.name)).into()
}

/// Whether all containers of a child are the root's, those that meshes and operators add left aside.
#[must_use]
pub fn contains(root: &Submission<'_>, child: &Submission<'_>, settings: &Settings) -> bool {
    let same = |a: &Run<'_>, b: &Run<'_>| {
        a.role == b.role
            && a.image == b.image
            && a.command == b.command
            && a.args == b.args
            && (b.accelerated || !a.accelerated)
    };
    let mut of_root: HashMap<&str, Vec<&Run<'_>>> = HashMap::new();
    for (id, run) in root.runs() {
        let name = root.node(id).map_or("", |node| &node.name);
        of_root.entry(name).or_default().push(run);
    }
    let known = |child_run: &Run<'_>, name: &str| {
        of_root
            .get(name)
            .is_some_and(|runs| runs.iter().any(|run| same(child_run, run)))
    };
    let injected = |run: &Run<'_>| {
        run.role != Role::Ephemeral
            && !run.accelerated
            && settings
                .injected_images
                .iter()
                .any(|glob| glob.matches(&run.image))
    };
    (child.accelerator.is_none() || root.accelerator.is_some())
        && child.runs().all(|(id, run)| {
            let name = child.node(id).map_or("", |node| &node.name);
            known(run, name) || injected(run)
        })
}
