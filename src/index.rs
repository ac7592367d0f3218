//! What the cluster says, ready to decide by: policies, records and namespaces, watched and compiled into a `World`.
//!
//! Three watches feed one catalogue. Nothing is published before all three have been read in full, so a replica that
//! has just started refuses rather than guesses. After that a snapshot follows every batch of changes; losing the
//! connection leaves the last one in force. What cannot be read becomes an unreadable object and never vanishes, and
//! what is gone from the API is forgotten only if somebody deleted it (`gate`).

mod crd;
mod feed;
mod gate;
mod life;
mod state;
mod stored;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use datagate_core::settings::Settings;
use datagate_core::world::World;
use futures::stream::{FuturesUnordered, StreamExt as _};
use futures::{FutureExt as _, future::BoxFuture};
use kube::Client;
use tokio::sync::watch;

use crate::metrics::{IndexMetrics, Metrics};
use crate::server::{Health, Readiness};
use crate::stop::Stop;

pub use self::crd::Presence;
pub use self::feed::Config;
pub use self::gate::RECHECK;
pub use self::life::{Life, Lives};
pub(crate) use self::state::namespace;
pub use self::state::{Catalogued, Change, Counts, Folded, Sighting, Sightings, State, Version, Versions};
pub use self::stored::{Stored, Unreadable, read_policy, read_record};

/// The snapshot that decisions are made against; none before the first lists were read.
pub type Worlds = Arc<ArcSwapOption<World>>;

/// The newest snapshot, for those who want to be told of each; none before the first.
pub type Snapshots = watch::Receiver<Option<Snapshot>>;

/// At most this many changes are folded in before a snapshot is published: an endless stream of changes must not keep
/// the first of them from taking effect.
const BATCH: usize = 4096;

/// A world, and what it does not say itself.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The world.
    pub world: Arc<World>,
    /// The newest versions of the objects that cannot be read, by kind and name.
    pub unreadable: Arc<Versions>,
    /// Where the policies' newest versions stand in the order of all changes.
    pub sightings: Arc<Sightings>,
}

/// The index: made at the start, so that metrics and readiness know it, and then run.
#[derive(Debug)]
pub struct Index {
    state: State,
    lives: Lives,
    worlds: Worlds,
    snapshots: watch::Sender<Option<Snapshot>>,
    folded: watch::Sender<Option<Folded>>,
    metrics: IndexMetrics,
}

impl Index {
    /// An index that knows nothing yet. Registers its metrics, and its checks: ready once a snapshot is published.
    #[must_use]
    pub fn new(settings: Settings, metrics: &mut Metrics, readiness: &Readiness) -> Self {
        let lives = Lives::new();
        metrics.registry_mut().register_collector(Box::new(lives.clone()));
        for life in lives.all() {
            readiness.add(life.name(), {
                let life = life.clone();
                move || life.health()
            });
        }
        let worlds = Worlds::default();
        readiness.add("catalogue", {
            let worlds = worlds.clone();
            move || match worlds.load().is_some() {
                true => Health::ok("published"),
                false => Health::failing("waits for policies, records and namespaces to be read once"),
            }
        });
        Self {
            state: State::new(settings),
            lives,
            worlds,
            snapshots: watch::Sender::new(None),
            folded: watch::Sender::new(None),
            metrics: metrics.index.clone(),
        }
    }

    /// The signs of life of the watches.
    #[must_use]
    pub fn lives(&self) -> Lives {
        self.lives.clone()
    }

    /// Where decisions find the snapshot.
    #[must_use]
    pub fn worlds(&self) -> Worlds {
        self.worlds.clone()
    }

    /// To be told of each snapshot.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.subscribe()
    }

    /// To be told how far the published snapshot reaches; none before the first.
    #[must_use]
    pub fn folded(&self) -> watch::Receiver<Option<Folded>> {
        self.folded.subscribe()
    }

    fn publish(&mut self) {
        if let Some(snapshot) = self.state.publish() {
            self.worlds.store(Some(snapshot.world.clone()));
            self.metrics.snapshots.inc();
            self.snapshots.send_replace(Some(snapshot));
        }
        if self.snapshots.borrow().is_none() {
            return;
        }
        // Also without a new snapshot: a change of no consequence is folded in too.
        let folded = Some(self.state.folded());
        self.folded.send_if_modified(|before| {
            let moved = *before != folded;
            if moved {
                *before = folded;
            }
            moved
        });
    }

    fn count(&self) {
        let counts = self.state.counts();
        let set = |gauge: &prometheus_client::metrics::gauge::Gauge, count: usize| {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.metrics.policies, counts.policies);
        set(&self.metrics.policies_unreadable, counts.policies_unreadable);
        set(&self.metrics.records, counts.records);
        set(&self.metrics.records_unreadable, counts.records_unreadable);
        set(&self.metrics.namespaces, counts.namespaces);
        set(&self.metrics.held_deletions, counts.held);
    }
}

/// Keeps the index up to date until it is told to stop. It never ends by itself: whatever fails is tried again, and
/// the last snapshot stays in force meanwhile.
pub async fn run(mut index: Index, config: Config, client: Client, mut stop: Stop) {
    let mut changes = feed::changes(&client, &config, &index.lives, &index.metrics);
    let mut checks: FuturesUnordered<BoxFuture<'static, (Catalogued, Presence)>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = stop.told() => return,
            Some((kind, presence)) = checks.next(), if !checks.is_empty() => index.state.answer(kind, presence),
            Some(change) = changes.next() => {
                index.state.apply(change);
                // What has arrived by now belongs into the same snapshot.
                for _ in 0..BATCH {
                    match changes.next().now_or_never() {
                        Some(Some(change)) => index.state.apply(change),
                        _ => break,
                    }
                }
            }
        }
        for (kind, delay) in index.state.questions() {
            checks.push(crd::ask(client.clone(), kind, delay).boxed());
        }
        index.publish();
        index.count();
    }
}
