//! Whether an object claims to be an operator's own that the operator did not make.

use crate::draft::Identity;
use crate::owner::{Owner, is_account};
use crate::path::{At, Paths, Seg};
use crate::review::Review;
use crate::settings::Settings;
use crate::submission::Carrier;
use crate::workload::KnownKind;
use crate::workload::adoption::{ADOPTIONS, Adoption};

/// A claim that is not true.
#[derive(Debug)]
pub struct Claim {
    /// The operator that would believe it.
    pub operator: &'static str,
    /// The key, or the owner.
    pub by: Box<str>,
    /// Its field.
    pub at: At,
}

/// The first claim that is new in this request and whose operator did not make it.
#[must_use]
pub fn forged<'a>(
    review: &Review<'a>,
    kind: KnownKind,
    (identity, old): (&Identity<'a>, Option<&Identity<'a>>),
    owner: &Owner<'a>,
    settings: &Settings,
    paths: &mut Paths<'a>,
) -> Option<Claim> {
    let adoptions = ADOPTIONS.iter().filter(|adoption| adoption.adopts(kind));
    for adoption in adoptions {
        let had_key =
            |key: &str| old.is_some_and(|old| old.claims.iter().any(|(_, had)| had.as_str() == key));
        let had_owner =
            |uid: &str| old.is_some_and(|old| old.owners.iter().any(|had| had.uid.as_str() == uid));
        let key = identity
            .claims
            .iter()
            .find(|(_, key)| adoption.knows_key(key) && !had_key(key));
        let reference = identity
            .owners
            .iter()
            .find(|it| adoption.knows_owner(it) && !had_owner(&it.uid));
        if key.is_none() && reference.is_none() || is_made_by(adoption, review, owner, settings) {
            continue;
        }
        let (by, seg) = match (key, reference) {
            (Some((carrier, key)), _) if *carrier == Carrier::Label => {
                (key.to_string(), Seg::Key("metadata.labels", key.clone()))
            }
            (Some((_, key)), _) => (key.to_string(), Seg::Key("metadata.annotations", key.clone())),
            (None, Some(it)) => (
                format!("the owner {} {}", it.kind, it.name),
                Seg::Field("metadata.ownerReferences"),
            ),
            (None, None) => continue,
        };
        return Some(Claim {
            operator: adoption.operator,
            by: crate::render::shown(&by).into(),
            at: paths.push(Paths::ROOT, seg),
        });
    }
    None
}

/// Whether the operator makes the request, or made an owner of the object that could be verified.
fn is_made_by(adoption: &Adoption, review: &Review<'_>, owner: &Owner<'_>, settings: &Settings) -> bool {
    let is_of = |kind: KnownKind| adoption.is_of(kind.info().group, kind.info().kind);
    if let Owner::Verified { chain, .. } = owner
        && chain.iter().any(|it| is_of(it.kind))
    {
        return true;
    }
    let listed = settings
        .controller_accounts
        .iter()
        .any(|account| is_of(account.owner) && *account.username == *review.user);
    listed || adoption.makes().any(|(_, edge)| is_account(edge, review))
}

/// Whether the requester is the controller of objects of this kind: the account that makes their children.
#[must_use]
pub fn is_controller(kind: KnownKind, review: &Review<'_>, settings: &Settings) -> bool {
    let info = kind.info();
    let listed = settings
        .controller_accounts
        .iter()
        .any(|account| account.owner == kind && *account.username == *review.user);
    let edges = KnownKind::ALL.iter().flat_map(|kind| kind.creators());
    listed
        || edges
            .filter(|edge| (edge.group, edge.kind) == (info.group, info.kind))
            .any(|edge| is_account(edge, review))
}
