//! Children and their roots: which object a request continues.
//!
//! A child is verified if the requester is the account that makes such children, which is checked before anything is
//! read, and the chain of controllers exists with equal UIDs. Owner references alone prove nothing: anyone who may
//! create an object may write them.

use std::collections::HashMap;

use crate::draft::{Context, Identity};
use crate::fetched::{Absence, Need};
use crate::finding::Unverified;
use crate::path::{Paths, Seg};
use crate::review::Review;
use crate::settings::Settings;
use crate::submission::{Role, Run, Submission};
use crate::workload::meta::OwnerReference;
use crate::workload::{Edge, KnownKind, Scope, Takes};

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
        /// What the child takes over from the root.
        takes: Takes,
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
    context: Context<'a, '_>,
    paths: &mut Paths<'a>,
) -> Result<Owner<'a>, Vec<Need>> {
    let Some(first) = identity.controller() else {
        return Ok(Owner::None);
    };
    let unverified = |why| Owner::Unverified {
        owner: shown(first),
        why,
    };
    let Some(edge) = edge(kind, first).filter(|edge| makes(edge, kind, review, context.settings)) else {
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
            version: owner_kind
                .version(owner.version())
                .unwrap_or(owner_kind.default_version()),
            namespace: match owner_kind.info().scope {
                Scope::Namespaced => (*review.namespace).into(),
                Scope::Cluster => Box::default(),
            },
            name: (*owner.name).into(),
            uid: Some((*owner.uid).into()),
        };
        let json = match context.fetched.object(&need) {
            None => return Err(vec![need]),
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
        let drafted = object.draft(context, paths, root);
        if drafted.identity.uid != owner.uid {
            return Ok(unverified(Unverified::Gone));
        }
        if !drafted.needs.is_empty() {
            return Err(drafted.needs);
        }
        next = drafted
            .identity
            .controller()
            .filter(|above| self::edge(owner_kind, above).is_some())
            .cloned();
        chain.push(Ancestor {
            kind: owner_kind,
            submission: drafted.submission,
            root,
        });
    }
    if chain.is_empty() {
        Ok(unverified(Unverified::Gone))
    } else {
        Ok(Owner::Verified {
            chain,
            takes: edge.takes,
        })
    }
}

/// The edge by which an object of this kind may be that owner's child.
fn edge(kind: KnownKind, owner: &OwnerReference<'_>) -> Option<Edge> {
    let edges = kind.creators();
    edges
        .copied()
        .find(|edge| edge.kind == owner.kind.as_str() && edge.group == owner.group())
}

/// Whether the requester is the account that makes such children.
fn makes(edge: &Edge, kind: KnownKind, review: &Review<'_>, settings: &Settings) -> bool {
    let user = review.user.as_str();
    let owner = KnownKind::find(edge.group, edge.kind);
    let listed = settings
        .controller_accounts
        .iter()
        .any(|account| Some(account.owner) == owner && account.child == kind && *account.username == *user);
    listed || edge.accounts.is_empty() && is_own_account(review) || is_account(edge, review)
}

/// Whether the requester is one of an edge's accounts. Never an account of the request's own namespace: whoever
/// administers that can act as any account of it.
#[must_use]
pub fn is_account(edge: &Edge, review: &Review<'_>) -> bool {
    let user = review.user.as_str();
    let by_account = user
        .strip_prefix(SERVICE_ACCOUNT)
        .filter(|_| !is_own_account(review))
        .is_some_and(|account| edge.accounts.contains(&account));
    // Without `--use-service-account-credentials` all controllers of Kubernetes itself are this one user.
    let built_in = edge
        .accounts
        .iter()
        .any(|account| account.starts_with("kube-system:"));
    by_account || built_in && user == "system:kube-controller-manager"
}

/// Whether the requester is a service account of the request's own namespace.
fn is_own_account(review: &Review<'_>) -> bool {
    review
        .user
        .strip_prefix(SERVICE_ACCOUNT)
        .and_then(|account| account.split_once(':'))
        .is_some_and(|(namespace, _)| namespace == review.namespace.as_str())
}

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

fn shown(owner: &OwnerReference<'_>) -> Box<str> {
    crate::render::shown(&format!("{} {}", owner.kind, owner.name)).into()
}

/// Whether all containers of a child are the root's, those that meshes and operators add left aside. Where an operator
/// `rewrites`, its pods have names and commands of its own, and what the root left open in `{{...}}` is filled in.
#[must_use]
pub fn contains(root: &Submission<'_>, child: &Submission<'_>, rewrites: bool, settings: &Settings) -> bool {
    let same = |a: &Run<'_>, b: &Run<'_>| {
        let what = if rewrites {
            fits(&b.image, &a.image) || resolves(&b.image, &a.image)
        } else {
            a.image == b.image && (b.rewritten || a.command == b.command && a.args == b.args)
        };
        // An operator's sidecars become containers beside the others, or native sidecars, as it is installed; and KubeRay
        // waits for the head in init containers with the image of the main one.
        let beside = |role: Role| matches!(role, Role::Main | Role::Sidecar);
        let waits = (a.role, b.role) == (Role::Init, Role::Main);
        let role = a.role == b.role || rewrites && (waits || beside(a.role) && beside(b.role));
        what && role && (b.accelerated || !a.accelerated)
    };
    let mut of_root: HashMap<&str, Vec<&Run<'_>>> = HashMap::new();
    for (id, run) in root.runs() {
        let name = root.node(id).map_or("", |node| &node.name);
        of_root
            .entry(if rewrites { "" } else { name })
            .or_default()
            .push(run);
    }
    let known = |child_run: &Run<'_>, name: &str| {
        of_root
            .get(if rewrites { "" } else { name })
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

/// Whether an image is another with its tag resolved to a digest and its registry written out, as Tekton does before it
/// makes a pod: `python:3.12` and `index.docker.io/library/python@sha256:...`.
fn resolves(template: &str, image: &str) -> bool {
    let Some((repository, digest)) = image.split_once('@') else {
        return false;
    };
    let (name, pinned) = match template.split_once('@') {
        Some((name, pinned)) => (name, Some(pinned)),
        None => (template, None),
    };
    // A tag follows the last slash; a colon before that is a port.
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    let written_out = match name.split_once('/') {
        Some(("docker.io", rest)) => format!("index.docker.io/{rest}"),
        Some((registry, _)) if registry.contains(['.', ':']) || registry == "localhost" => name.to_owned(),
        Some(_) => format!("index.docker.io/{name}"),
        None => format!("index.docker.io/library/{name}"),
    };
    pinned.is_none_or(|pinned| pinned == digest) && (fits(name, repository) || fits(&written_out, repository))
}

/// Whether a text is what becomes of a template once its placeholders (`{{...}}`, `${...}`, `$(...)`) are filled in.
fn fits(template: &str, text: &str) -> bool {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((start, close)) = [("{{", "}}"), ("${", "}"), ("$(", ")")]
        .into_iter()
        .filter_map(|(open, close)| rest.find(open).map(|at| (at, close)))
        .min_by_key(|(at, _)| *at)
    {
        let (before, from) = rest.split_at(start);
        let Some(end) = from.find(close) else { break };
        pieces.push(before);
        rest = from.get(end.saturating_add(close.len())..).unwrap_or_default();
    }
    let Some((first, middle)) = pieces.split_first() else {
        return template == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    for piece in middle {
        let Some(at) = left.find(piece) else { return false };
        left = left.get(at.saturating_add(piece.len())..).unwrap_or_default();
    }
    left.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::{fits, resolves};

    #[test]
    fn placeholders_stand_for_any_text() {
        for (template, text, expected) in [
            ("a:1", "a:1", true),
            ("a:1", "a:2", false),
            ("a:{{x}}", "a:2", true),
            ("a:{{x}}", "b:2", false),
            ("{{r}}/a@{{d}}", "r/a@sha256:1", true),
            ("{{r}}/a@{{d}}", "r/b@sha256:1", false),
            ("r/${name}-gpu", "r/train-gpu", true),
            ("r/${name}-gpu", "r/train-cpu", false),
            ("r/$(params.image)", "r/x", true),
            ("{{x}}", "anything", true),
            ("a{{x", "a{{x", true),
            ("a{{x}}a", "a", false),
        ] {
            assert_eq!(fits(template, text), expected, "{template} {text}");
        }
    }

    #[test]
    fn tags_are_resolved_to_digests() {
        for (template, image, expected) in [
            ("r.example.com/a:1", "r.example.com/a@sha256:1", true),
            ("r.example.com:5000/a", "r.example.com:5000/a@sha256:1", true),
            ("r.example.com/a:1@sha256:1", "r.example.com/a@sha256:1", true),
            ("r.example.com/a@sha256:1", "r.example.com/a@sha256:2", false),
            ("python:3.12", "index.docker.io/library/python@sha256:1", true),
            ("bitnami/git", "index.docker.io/bitnami/git@sha256:1", true),
            (
                "docker.io/bitnami/git:2",
                "index.docker.io/bitnami/git@sha256:1",
                true,
            ),
            ("r.example.com/a:$(params.tag)", "r.example.com/a@sha256:1", true),
            ("r.example.com/a:1", "r.example.com/b@sha256:1", false),
            ("r.example.com/a:1", "r.example.com/a:2", false),
        ] {
            assert_eq!(resolves(template, image), expected, "{template} {image}");
        }
    }
}
