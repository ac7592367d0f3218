//! One pass over the workloads of a cluster: reads a page, judges what is on it, forgets it.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use datagate_core::decision::{Decision, Outcome};
use datagate_core::fetched::Fetched;
use datagate_core::judge::{Verdict, judge};
use datagate_core::review::{GroupVersionKind, Operation, Review};
use datagate_core::workload::{KnownKind, Scope as Lives};
use datagate_core::world::World;
use tokio::time::Instant;

use super::Notes;
use super::family::{self, Family};
use super::list::{self, List, Served};
use super::object::{Life, Stored, Uid};
use super::progress::Progress;
use super::source::{Failure, Source};
use super::told::{Change, Scope, Told, Totals, Untold, Wanted};
use super::worlds::Worlds;
use crate::live::Fetch;

/// A decision that asks for more than this asks in circles.
const MAX_ROUNDS: usize = 64;

/// For what a decision needs besides its object.
const FETCH_TIME: Duration = Duration::from_secs(30);

/// The pass.
#[derive(Debug)]
pub struct Scan<'s, S, F> {
    source: &'s S,
    fetch: &'s F,
    worlds: &'s Worlds,
    wanted: &'s Wanted,
    progress: &'s Progress,
    family: Family,
    /// What has been seen of the kind that is read, because a list that expired begins again.
    seen: HashSet<Uid>,
    /// Kinds that were read to the end, or that this cluster does not have.
    complete: HashSet<KnownKind>,
    /// How many there were.
    pub totals: Totals,
    /// The most numbers that were kept at one time.
    pub most_kept: usize,
}

/// Which objects of a kind are judged.
enum Which<'o> {
    /// Those that no known controller made.
    Roots,
    /// Those whose controller is one of these, which do not exist.
    Orphans(&'o HashSet<Uid>),
}

/// A kind and the version it is read in.
type Kind = (KnownKind, &'static str);

impl<'s, S: Source, F: Fetch> Scan<'s, S, F> {
    /// A pass that has not begun.
    pub fn new(
        source: &'s S,
        fetch: &'s F,
        worlds: &'s Worlds,
        wanted: &'s Wanted,
        progress: &'s Progress,
    ) -> Self {
        Self {
            source,
            fetch,
            worlds,
            wanted,
            progress,
            family: Family::default(),
            seen: HashSet::new(),
            complete: HashSet::new(),
            totals: Totals::default(),
            most_kept: 0,
        }
    }

    /// Reads and judges all of it; `tell` is told of each root that is refused with or without the edit.
    ///
    /// # Errors
    ///
    /// Those of `tell`. What cannot be read is noted, and the rest is read.
    pub async fn run(
        &mut self,
        notes: &mut Notes,
        tell: &mut dyn FnMut(&Told<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let kinds = self.kinds(notes).await;
        for kind in &kinds {
            self.list(*kind, &Which::Roots, notes, tell).await?;
        }
        let missing = self.family.missing(|owner| self.complete.contains(&owner));
        for kind in &kinds {
            if let Some(owners) = missing.get(&kind.0) {
                self.list(*kind, &Which::Orphans(owners), notes, tell).await?;
            }
        }
        Ok(())
    }

    /// The kinds to read, children first.
    async fn kinds(&mut self, notes: &mut Notes) -> Vec<Kind> {
        let mut served = Served::default();
        let mut kinds = Vec::new();
        for kind in family::order() {
            let elsewhere = self.wanted.scope != Scope::Everything && kind.info().scope == Lives::Cluster;
            if elsewhere {
                continue;
            }
            match served.version(self.source, kind).await {
                Ok(Some(version)) => kinds.push((kind, version)),
                Ok(None) => {
                    self.complete.insert(kind);
                }
                Err(failure) => notes.miss(untold(kind, &failure)),
            }
        }
        kinds
    }

    async fn list(
        &mut self,
        (kind, version): Kind,
        which: &Which<'_>,
        notes: &mut Notes,
        tell: &mut dyn FnMut(&Told<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let namespace = match &self.wanted.scope {
            Scope::Namespace(name) => Some(name.as_str()),
            Scope::Everything => None,
        };
        let source = self.source;
        let mut list = List::new(source, list::path(kind, version, namespace));
        self.seen.clear();
        let read = loop {
            let page = match list.page().await {
                Ok(Some(page)) => page,
                Ok(None) => break Ok(()),
                // The kind went away since it was found to be there.
                Err(Failure::NotFound) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            let items = match list::items(&page) {
                Ok(items) => items,
                Err(failure) => break Err(failure),
            };
            for item in &items {
                self.object((kind, version), which, item.get(), notes, tell)
                    .await?;
            }
            self.most_kept = self
                .most_kept
                .max(self.family.kept().saturating_add(self.seen.len()));
            self.progress.page(kind, items.len(), list.remaining);
        };
        if list.restarts > 0 {
            notes.say(format!(
                "the list of {} expired while it was read and was continued or begun again ({}): each object was judged once, \
                 as it was when it was first seen",
                list::resource(kind),
                list.restarts
            ));
        }
        match read {
            Ok(()) => {
                self.complete.insert(kind);
            }
            Err(failure) => notes.miss(untold(kind, &failure)),
        }
        Ok(())
    }

    /// Counts an object, and judges it if it is a root.
    async fn object(
        &mut self,
        kind: Kind,
        which: &Which<'_>,
        json: &str,
        notes: &mut Notes,
        tell: &mut dyn FnMut(&Told<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let object = match Stored::read(json) {
            Ok(object) => object,
            Err(error) => {
                notes.miss(Untold {
                    what: format!("one of {}", list::resource(kind.0)),
                    why: error.to_string(),
                });
                return Ok(());
            }
        };
        let uid = Uid::of(&object.meta.uid);
        if !self.seen.insert(uid) {
            return Ok(());
        }
        let owner = family::controller(kind.0, &object.meta);
        let runs = kind.0 == KnownKind::Pod && object.life == Life::Running;
        let excluded = self
            .wanted
            .excluded
            .iter()
            .any(|name| *name == *object.meta.namespace);
        match which {
            Which::Roots => {
                self.family.note(kind.0, uid, owner, runs);
                if excluded {
                    bump(&mut self.totals.excluded);
                    return Ok(());
                }
                if owner.is_some() {
                    bump(&mut self.totals.children);
                    return Ok(());
                }
            }
            Which::Orphans(owners) => {
                if excluded || !owner.is_some_and(|(_, owner)| owners.contains(&owner)) {
                    return Ok(());
                }
                self.totals.children = self.totals.children.saturating_sub(1);
            }
        }
        if object.life == Life::Finished && !self.wanted.finished {
            bump(&mut self.totals.finished);
            return Ok(());
        }
        let running = self.family.running(uid).max(usize::from(runs));
        match self.root(kind, &object).await {
            Ok(judged) => self.count(kind, &object, running, &judged, tell),
            Err(why) => {
                let (of, name) = (&object.meta.namespace, &object.meta.name);
                notes.miss(Untold {
                    what: format!("{} {of}/{name}", kind.0.info().kind),
                    why,
                });
                Ok(())
            }
        }
    }

    /// Judges with the edit, or without if there is none, and then without.
    pub(super) async fn root(
        &self,
        kind: Kind,
        object: &Stored<'_>,
    ) -> Result<(Decision, Option<Decision>), String> {
        let json = object.submission().map_err(|error| error.to_string())?;
        let mut fetched = Fetched::default();
        let before = self
            .judged(kind, object, &json, &self.worlds.now, &mut fetched)
            .await?;
        match &self.worlds.edited {
            None => Ok((before, None)),
            Some(edited) => {
                let with = self.judged(kind, object, &json, edited, &mut fetched).await?;
                Ok((with, Some(before)))
            }
        }
    }

    /// The decision on the creation of an object, by somebody who makes no children for controllers.
    async fn judged(
        &self,
        (kind, version): Kind,
        object: &Stored<'_>,
        json: &str,
        world: &World,
        fetched: &mut Fetched,
    ) -> Result<Decision, String> {
        let info = kind.info();
        for _ in 0..MAX_ROUNDS {
            let review = Review {
                kind: GroupVersionKind {
                    group: info.group.into(),
                    version: version.into(),
                    kind: info.kind.into(),
                },
                name: object.meta.name.as_str().into(),
                namespace: object.meta.namespace.as_str().into(),
                operation: Operation::Create,
                object: Some(kind.read(json)),
                ..Review::default()
            };
            match judge(review, world, fetched, self.wanted.at) {
                Verdict::Decided(decision) => return Ok(*decision),
                Verdict::Needs(needs) => {
                    self.fetch
                        .fetch(&needs, fetched, Instant::now() + FETCH_TIME)
                        .await;
                }
            }
        }
        Err("it refers to more objects than are followed".to_owned())
    }

    fn count(
        &mut self,
        (kind, version): Kind,
        object: &Stored<'_>,
        running: usize,
        (decision, before): &(Decision, Option<Decision>),
        tell: &mut dyn FnMut(&Told<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let totals = &mut self.totals;
        bump(totals.outcomes.entry(decision.outcome).or_default());
        let refused = decision.outcome == Outcome::Denied;
        let was = before
            .as_ref()
            .map_or(refused, |before| before.outcome == Outcome::Denied);
        let change = match (was, refused) {
            (false, false) => return Ok(()),
            (false, true) => Change::NewlyRefused,
            (true, false) => Change::NoLongerRefused,
            (true, true) => Change::Refused,
        };
        match change {
            Change::NewlyRefused => bump(&mut totals.newly),
            Change::NoLongerRefused => bump(&mut totals.no_longer),
            Change::Refused => {}
        }
        if refused && running > 0 {
            bump(&mut totals.running_roots);
            totals.running_pods = totals.running_pods.saturating_add(running);
        }
        tell(&Told {
            kind,
            version,
            namespace: &object.meta.namespace,
            name: &object.meta.name,
            running,
            change,
            decision,
            before: before.as_ref(),
        })
    }
}

fn bump(count: &mut usize) {
    *count = count.saturating_add(1);
}

fn untold(kind: KnownKind, failure: &Failure) -> Untold {
    Untold {
        what: list::resource(kind),
        why: failure.to_string(),
    }
}
