//! Who belongs to whom: children are told with their root, and so are the pods of theirs that run.
//!
//! Kinds are read with children before owners, so that what runs below an object is known when it is judged. Whether
//! the owner that a child names exists is known only later, so claims are kept until their owner is seen. What is kept
//! is numbers, never objects.

use std::collections::{HashMap, HashSet};

use datagate_core::workload::KnownKind;
use datagate_core::workload::meta::Meta;

use super::object::Uid;

/// What is known of owners and children.
#[derive(Clone, Debug, Default)]
pub struct Family {
    /// Owners that children name and that have not been seen, with the kind of the child.
    claimed: HashSet<(Uid, KnownKind, KnownKind)>,
    /// What has been seen of kinds that make objects of their own kind (the pipelines of a PipelineRun), which may come in
    /// any order.
    seen: HashSet<Uid>,
    /// Running pods below each owner.
    running: HashMap<Uid, usize>,
}

/// The owner that controls an object of this kind, if it is one whose children datagate knows.
#[must_use]
pub fn controller(kind: KnownKind, meta: &Meta<'_>) -> Option<(KnownKind, Uid)> {
    let owner = meta.owner_references.iter().find(|owner| owner.controller)?;
    let owner_kind = KnownKind::find(owner.group(), &owner.kind)?;
    let mut creators = kind.creators();
    creators
        .any(|edge| edge.is_from(owner_kind))
        .then(|| (owner_kind, Uid::of(&owner.uid)))
}

/// All kinds, with each one before those that make it.
#[must_use]
pub fn order() -> Vec<KnownKind> {
    let mut order = Vec::new();
    let mut open: Vec<KnownKind> = KnownKind::ALL.to_vec();
    while !open.is_empty() {
        let makes_an_open_one =
            |kind: &KnownKind| open.iter().any(|child| child != kind && makes(*kind, *child));
        let free: Vec<KnownKind> = open
            .iter()
            .copied()
            .filter(|kind| !makes_an_open_one(kind))
            .collect();
        // In a circle there is no right order; a test holds that there is none.
        let next = if free.is_empty() { open.clone() } else { free };
        open.retain(|kind| !next.contains(kind));
        order.extend(next);
    }
    order
}

/// Whether children of that kind are read before their owners. Pods are read first, although some of them make pods and
/// StatefulSets (Spark's drivers, the leaders of a LeaderWorkerSet).
fn makes(owner: KnownKind, child: KnownKind) -> bool {
    owner != KnownKind::Pod && child.creators().any(|edge| edge.is_from(owner))
}

impl Family {
    /// Notes an object, and below whom it stands. `running`: whether it is a pod that runs.
    pub fn note(&mut self, kind: KnownKind, uid: Uid, owner: Option<(KnownKind, Uid)>, running: bool) {
        for child in KnownKind::ALL.iter().filter(|child| makes(kind, **child)) {
            self.claimed.remove(&(uid, kind, *child));
            if *child == kind {
                self.seen.insert(uid);
            }
        }
        if running {
            *self.running.entry(uid).or_default() += 1;
        }
        // A pod that makes others has been read before; whether it exists is not known any more.
        let Some((owner_kind, owner)) = owner.filter(|(kind, _)| *kind != KnownKind::Pod) else {
            return;
        };
        if !self.seen.contains(&owner) {
            self.claimed.insert((owner, owner_kind, kind));
        }
        let below = self.running(uid);
        // A pod below nobody is not asked for again, and those below somebody are many.
        if running {
            self.running.remove(&uid);
        }
        if below > 0 {
            let sum = self.running.entry(owner).or_default();
            *sum = sum.saturating_add(below);
        }
    }

    /// How many pods run below an object.
    #[must_use]
    pub fn running(&self, uid: Uid) -> usize {
        self.running.get(&uid).copied().unwrap_or_default()
    }

    /// The owners that are named and do not exist, by the kind of the child. Only what was read to the end can be
    /// missing.
    #[must_use]
    pub fn missing(&self, complete: impl Fn(KnownKind) -> bool) -> HashMap<KnownKind, HashSet<Uid>> {
        let mut missing: HashMap<KnownKind, HashSet<Uid>> = HashMap::new();
        for (uid, owner, child) in &self.claimed {
            if complete(*owner) {
                missing.entry(*child).or_default().insert(*uid);
            }
        }
        missing
    }

    /// How many numbers are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        [self.claimed.len(), self.seen.len(), self.running.len()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(json: &str) -> Meta<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn children_come_before_their_owners() {
        let order = order();
        assert_eq!(order.len(), KnownKind::ALL.len());
        let at = |kind: KnownKind| order.iter().position(|it| *it == kind).unwrap();
        for owner in KnownKind::ALL {
            for child in KnownKind::ALL.iter().filter(|child| makes(*owner, **child)) {
                assert!(
                    child == owner || at(*child) < at(*owner),
                    "{child:?} is made by {owner:?}"
                );
            }
        }
    }

    #[test]
    fn only_a_controller_that_makes_such_children_counts() {
        let owned = |by: &str| {
            format!(
                r#"{{"ownerReferences":[{{"apiVersion":"{by}","name":"x","uid":"u","controller":true}}]}}"#
            )
        };
        let owner = |kind, by: &str| controller(kind, &meta(&owned(by))).map(|(kind, _)| kind);
        assert_eq!(
            owner(KnownKind::Pod, r#"batch/v1","kind":"Job"#),
            Some(KnownKind::Job)
        );
        assert_eq!(owner(KnownKind::Pod, r#"batch/v1","kind":"CronJob"#), None);
        assert_eq!(owner(KnownKind::Pod, r#"ray.io/v1","kind":"Job"#), None);
        let not_controlled =
            r#"{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"x","uid":"u"}]}"#;
        assert_eq!(controller(KnownKind::Pod, &meta(not_controlled)), None);
    }

    #[test]
    fn running_pods_are_counted_at_every_height() {
        let mut family = Family::default();
        let [pod, other, job, cron] = ["pod", "other", "job", "cron"].map(Uid::of);
        family.note(KnownKind::Pod, pod, Some((KnownKind::Job, job)), true);
        family.note(KnownKind::Pod, other, Some((KnownKind::Job, job)), true);
        assert_eq!(family.kept(), 2, "pods themselves are not kept");
        family.note(KnownKind::Job, job, Some((KnownKind::CronJob, cron)), false);
        assert_eq!([job, cron, pod].map(|it| family.running(it)), [2, 2, 0]);
        assert_eq!(family.missing(|_| true), [(KnownKind::Job, [cron].into())].into());
        assert_eq!(
            family.missing(|kind| kind != KnownKind::CronJob),
            HashMap::new(),
            "not read, so not missing"
        );
        family.note(KnownKind::CronJob, cron, None, false);
        assert_eq!(family.missing(|_| true), HashMap::new());
    }

    #[test]
    fn a_kind_that_makes_its_own_kind_is_read_in_any_order() {
        let [parent, child] = ["parent", "child"].map(Uid::of);
        let owned = Some((KnownKind::PipelineRun, parent));
        for (first, second) in [((parent, None), (child, owned)), ((child, owned), (parent, None))] {
            let mut family = Family::default();
            for (uid, owner) in [first, second] {
                family.note(KnownKind::PipelineRun, uid, owner, false);
            }
            assert_eq!(family.missing(|_| true), HashMap::new());
        }
    }

    #[test]
    fn what_a_pod_makes_is_never_missing_its_owner() {
        let mut family = Family::default();
        let leader = (KnownKind::Pod, Uid::of("leader"));
        family.note(KnownKind::StatefulSet, Uid::of("workers"), Some(leader), false);
        assert_eq!(family.missing(|_| true), HashMap::new());
    }

    #[test]
    fn a_pod_alone_runs_by_itself() {
        let mut family = Family::default();
        family.note(KnownKind::Pod, Uid::of("pod"), None, true);
        assert_eq!(family.running(Uid::of("pod")), 1);
    }
}
