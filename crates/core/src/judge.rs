//! From a request to a verdict: what is governed, what an update changes, what a child continues; then `decide`.

use std::sync::Arc;

use jiff::Timestamp;

use crate::claim::{self, Claim};
use crate::decide::{self, Subject, decide};
use crate::decision::{Decision, Ground, Outcome, UsedData};
use crate::declaration::{Declared, Source};
use crate::draft::{Context, Drafted};
use crate::fetched::{Fetched, Need};
use crate::finding::{Detail, Finding, Found};
use crate::owner::{self, Owner};
use crate::path::{At, Paths, Seg};
use crate::review::{Operation, Review};
use crate::submission::{Opaque, Submission, Unseen};
use crate::update::{self, Change};
use crate::vocabulary::Action;
use crate::workload::{KnownKind, Object, ReadError, Scope, Takes};
use crate::world::{Namespace, PolicySlot, RecordSlot, World};

mod family;
mod namespace;
mod scope;

use self::family::{claims_more, forgive, tell_unverified};
use self::namespace::{ceiling, default_keys, with_defaults};
use self::scope::{governed_by, governing, known_version};

/// What comes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It is decided.
    Decided(Box<Decision>),
    /// These must be fetched first; then judge again.
    Needs(Vec<Need>),
}

/// Judges a request.
#[must_use]
pub fn judge<'a>(review: Review<'a>, world: &'a World, fetched: &'a Fetched, now: Timestamp) -> Verdict {
    match (Judge { world, fetched, now }).judge(review) {
        Ok(decision) => Verdict::Decided(Box::new(decision)),
        Err(needs) => Verdict::Needs(needs),
    }
}

struct Judge<'a> {
    world: &'a World,
    fetched: &'a Fetched,
    now: Timestamp,
}

/// The namespace of a request and the policies that select it.
struct Place<'a> {
    slots: Vec<&'a Arc<PolicySlot>>,
    namespace: Option<&'a Namespace>,
    unreachable: bool,
}

impl<'a> Judge<'a> {
    fn judge(&self, mut review: Review<'a>) -> Result<Decision, Vec<Need>> {
        let name = Box::from(&*review.name);
        let not_governed = |ground| Decision {
            ground,
            name,
            ..Decision::default()
        };
        let starts = matches!(review.operation, Operation::Create | Operation::Update);
        let Some(kind) = review.known_kind().filter(|_| starts) else {
            return Ok(not_governed(Ground::NoWorkload));
        };
        let place = self.place(kind, &review)?;
        if place.slots.is_empty() {
            return Ok(not_governed(Ground::NoPolicy));
        }
        let missing = || ReadError {
            field: String::new(),
            what: "there is no object".to_owned(),
        };
        let object = review.object.take().unwrap_or_else(|| Err(missing()));
        match object.and_then(|object| known_version(kind, &review).map(|()| object)) {
            Err(error) => Ok(self.unreadable(&review, &place, &error)),
            Ok(object) => self.readable(&review, kind, &place, object),
        }
    }

    fn context<'s>(&self, review: &'s Review<'_>) -> Context<'a, 's>
    where
        'a: 's,
    {
        Context {
            settings: &self.world.settings,
            fetched: self.fetched,
            namespace: &review.namespace,
        }
    }

    fn place(&self, kind: KnownKind, review: &Review<'a>) -> Result<Place<'a>, Vec<Need>> {
        let all = || self.world.policies().collect();
        if kind.info().scope == Scope::Cluster {
            return Ok(Place {
                slots: all(),
                namespace: None,
                unreachable: false,
            });
        }
        let name = review.namespace.as_str();
        if let Some(slots) = self.world.governing(name) {
            return Ok(Place {
                slots: slots.collect(),
                namespace: self.world.namespace(name),
                unreachable: false,
            });
        }
        Ok(match self.fetched.namespace(name) {
            // A namespace made a moment ago is asked for, never read as having no labels.
            None if self.world.policies().next().is_some() => return Err(vec![Need::Namespace(name.into())]),
            None => Place {
                slots: Vec::new(),
                namespace: None,
                unreachable: false,
            },
            Some(Ok(namespace)) => Place {
                slots: self.world.selecting(&namespace.labels).collect(),
                namespace: Some(namespace),
                unreachable: false,
            },
            // Any policy may select it, so all do.
            Some(Err(_)) => Place {
                slots: all(),
                namespace: None,
                unreachable: true,
            },
        })
    }

    /// A workload that is not what its kind says is refused by every policy that selects its namespace: whether it
    /// would be governed cannot be seen.
    fn unreadable(&self, review: &Review<'a>, place: &Place<'a>, error: &ReadError) -> Decision {
        let unchanged = review.operation == Operation::Update
            && matches!((review.old_object, review.raw_object), (Some(old), Some(new)) if update::identical_spec(old, new));
        if unchanged {
            return Decision {
                outcome: Outcome::Allowed,
                ground: Ground::Unchanged,
                policies: governing(&place.slots),
                name: (*review.name).into(),
                ..Decision::default()
            };
        }
        let mut found = Found::default();
        for slot in &place.slots {
            let Some(policy) = &slot.policy else {
                found.list.push(decide::unreadable(slot, Paths::ROOT));
                continue;
            };
            let mut findings = crate::check::Findings::of(policy, self.now, &mut found);
            let detail = Detail::WorkloadUnreadable {
                field: crate::render::shown(&error.field).into(),
                what: crate::render::shown(&error.what).into(),
            };
            findings.policy(None, Paths::ROOT, detail);
        }
        let mut decision = self.conclude(
            found,
            &place.slots,
            &Declared::default(),
            &Paths::default(),
            Ground::Judged,
        );
        decision.name = (*review.name).into();
        decision
    }

    fn readable(
        &self,
        review: &Review<'a>,
        kind: KnownKind,
        place: &Place<'a>,
        object: Object<'a>,
    ) -> Result<Decision, Vec<Need>> {
        let context = self.context(review);
        let mut paths = Paths::default();
        let Drafted {
            mut submission,
            identity,
            mut needs,
        } = object.draft(context, &mut paths, Paths::ROOT);
        let name: Box<str> = if identity.name.is_empty() {
            (*review.name).into()
        } else {
            (*identity.name).into()
        };
        let settings = &self.world.settings;
        let old = self.old(review, kind, context);
        // Before they are compared: where what they refer to is not brought yet, it is missing in both, and so is every
        // order among what it runs.
        needs.extend(old.iter().flat_map(|old| old.needs.iter().cloned()));
        if !needs.is_empty() {
            return Err(needs);
        }
        let status_before = old.as_ref().and_then(|old| old.submission.status);
        if let Some(status) = submission.status
            && Some(status) != status_before
            && !claim::is_controller(kind, review, settings)
        {
            let at = paths.push(Paths::ROOT, Seg::Field("status"));
            submission.opaque.push(Opaque {
                reference: "the status".into(),
                why: Unseen::Status,
                at,
            });
        }
        let unchanged = old
            .as_ref()
            .is_some_and(|old| update::change(&old.submission, &submission) == Change::Nothing);
        if unchanged && !claims_more(&identity, old.as_ref()) {
            let policies = governing(&place.slots);
            let (outcome, ground) = (Outcome::Allowed, Ground::Unchanged);
            return Ok(Decision {
                outcome,
                ground,
                policies,
                name,
                ..Decision::default()
            });
        }
        if place.unreachable {
            let reference = format!("Namespace {}", review.namespace).into();
            let why = Unseen::Unreachable;
            submission.opaque.push(Opaque {
                reference,
                why,
                at: Paths::ROOT,
            });
        }
        let owner = owner::verify(review, kind, &identity, context, &mut paths)?;
        let claim = {
            let identities = (&identity, old.as_ref().map(|old| &old.identity));
            claim::forged(review, kind, identities, &owner, settings, &mut paths)
        };
        let defaults = place
            .namespace
            .map(|it| default_keys(it, &review.namespace, &mut paths))
            .unwrap_or_default();
        let ceiling = place
            .namespace
            .and_then(|namespace| ceiling(namespace, review.namespace.as_str()));
        let chain = match &owner {
            Owner::Verified { chain, .. } => chain.as_slice(),
            _ => &[],
        };
        let family: Vec<(KnownKind, &Submission<'_>)> = std::iter::once((kind, &submission))
            .chain(chain.iter().map(|it| (it.kind, &it.submission)))
            .collect();
        // What was governed stays governed: an update cannot drop its keys and go its own way.
        let before = old.iter().map(|old| (kind, &old.submission));
        let policies = if unchanged {
            Vec::new()
        } else {
            governed_by(&place.slots, family.iter().copied().chain(before))
        };
        if policies.is_empty() && claim.is_none() {
            return Ok(Decision {
                ground: Ground::OutOfScope,
                name,
                ..Decision::default()
            });
        }
        let trains = family.iter().any(|(kind, _)| kind.info().trains());
        let declared = with_defaults(
            Declared::read(family.iter().flat_map(|(_, it)| &it.keys)),
            &defaults,
        );
        let root = chain.last();
        let takes_all = matches!(
            owner,
            Owner::Verified {
                takes: Takes::Everything,
                ..
            }
        );
        let rewrites = chain.iter().any(|it| it.kind.info().rewrites);
        let contained = root.filter(|root| {
            takes_all
                && !place.unreachable
                && owner::contains(&root.submission, &submission, rewrites, settings)
        });
        let judged = contained.map_or(&submission, |root| &root.submission);
        let at = contained.map_or(Paths::ROOT, |root| root.root);
        let (declared_by, governing) = (&declared, &*policies);
        let subject = Subject {
            submission: judged,
            declared: declared_by,
            policies: governing,
            trains,
            ceiling,
            root: at,
        };
        let mut found = if policies.is_empty() {
            Found::default()
        } else {
            decide(&subject, self.world, self.now)
        };
        if let Some(root) = contained {
            let of_root = with_defaults(Declared::read(&root.submission.keys), &defaults);
            let policies = governed_by(&place.slots, [(root.kind, &root.submission)]);
            let subject = Subject {
                submission: &root.submission,
                declared: &of_root,
                policies: &policies,
                trains: root.kind.info().trains(),
                ceiling,
                root: at,
            };
            let of_root = decide(&subject, self.world, self.now);
            let owner = chain.first();
            let late = owner.is_some_and(|owner| !owner.submission.references.is_empty());
            forgive(&mut found.list, &of_root.list, late);
        }
        if let Owner::Unverified { owner, why } = &owner {
            tell_unverified(owner, *why, &mut found.list);
        }
        let concerned = match &claim {
            None => &policies,
            // It could stand in for a step of any workload of the namespace, so every policy there is concerned.
            Some(claim) => {
                self.tell_forged(claim, &place.slots, &mut found);
                &place.slots
            }
        };
        let ground = if contained.is_some() {
            Ground::Child
        } else {
            Ground::Judged
        };
        let mut decision = self.conclude(found, concerned, &declared, &paths, ground);
        decision.name = name;
        Ok(decision)
    }

    /// What the object was before an update, if that can be read.
    fn old(&self, review: &Review<'a>, kind: KnownKind, context: Context<'a, '_>) -> Option<Drafted<'a>> {
        let old = review
            .old_object
            .filter(|_| review.operation == Operation::Update)?;
        let mut paths = Paths::default();
        Some(kind.read(old).ok()?.draft(context, &mut paths, Paths::ROOT))
    }

    fn tell_forged(&self, claim: &Claim, slots: &[&Arc<PolicySlot>], found: &mut Found) {
        for policy in slots.iter().filter_map(|slot| slot.policy.as_deref()) {
            let detail = Detail::ClaimForged {
                operator: claim.operator,
                by: claim.by.clone(),
            };
            crate::check::Findings::of(policy, self.now, found).policy(None, claim.at, detail);
        }
    }

    fn conclude(
        &self,
        found: Found,
        policies: &[&Arc<PolicySlot>],
        declared: &Declared<'_>,
        paths: &Paths<'_>,
        ground: Ground,
    ) -> Decision {
        let tell = |finding: Finding<At>| {
            let field = paths.text(finding.field);
            finding.at(field)
        };
        let mut findings: Vec<Finding> = found.list.into_iter().map(tell).collect();
        decide::sort(&mut findings);
        findings.dedup();
        let mut notices = found.notices;
        notices.sort_by(|a, b| (a.from, &a.rule, &a.dataset).cmp(&(b.from, &b.rule, &b.dataset)));
        notices.dedup();
        let strictest = findings.iter().filter_map(Finding::action).max();
        let outcome = match strictest {
            Some(Action::Deny) => Outcome::Denied,
            Some(Action::Warn) => Outcome::AllowedWithWarnings,
            _ if !notices.is_empty() => Outcome::AllowedWithWarnings,
            _ => Outcome::Allowed,
        };
        let datasets = declared.uses.iter().map(|it| match &it.source {
            Source::Record { name, .. } => {
                let dataset = match self.world.record(name) {
                    Some(RecordSlot::Ready(dataset)) => Some(Arc::clone(dataset)),
                    _ => None,
                };
                UsedData::Record((*name).into(), dataset)
            }
            Source::Regions(regions) => UsedData::Regions(regions.clone()),
        });
        Decision {
            outcome,
            ground,
            findings,
            notices,
            evidence: found.evidence,
            purposes: declared.purposes,
            policies: governing(policies),
            datasets: datasets.collect(),
            name: Box::default(),
        }
    }
}
