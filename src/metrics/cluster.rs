//! What is counted where datagate talks to the API server: the index, live look-ups, status.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::platform::PlatformMetrics;

/// What the index knows. Clones share the counters.
#[derive(Clone, Debug)]
pub struct IndexMetrics {
    /// Policies in force, readable or not. 0: nothing is governed.
    pub policies: Gauge,
    /// Policies whose newest version cannot be read.
    pub policies_unreadable: Gauge,
    /// Records, readable or not.
    pub records: Gauge,
    /// Records whose newest version cannot be read.
    pub records_unreadable: Gauge,
    /// Namespaces.
    pub namespaces: Gauge,
    /// Objects that are gone from the API, and are kept until it is certain that somebody deleted them.
    pub held_deletions: Gauge,
    /// Snapshots published.
    pub snapshots: Counter,
    watch_errors: Family<WatchLabels, Counter>,
}

/// Objects that decisions ask for. Clones share the counters.
#[derive(Clone, Debug)]
pub struct LiveMetrics {
    fetches: [Counter; FetchOutcome::ALL.len()],
    /// Answers kept for the next decision, good or not.
    pub cached: Gauge,
    /// Their bytes.
    pub cached_bytes: Gauge,
}

/// What came of asking for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// It was known from a moment ago.
    Cached,
    /// It was read.
    Found,
    /// It does not exist.
    NotFound,
    /// It could not be asked for in time, or not at all.
    Unreachable,
}

/// The writer of status. Clones share the counters.
#[derive(Clone, Debug)]
pub struct StatusMetrics {
    /// 1 in the replica that writes.
    pub leader: Gauge,
    /// Statuses written.
    pub writes: Counter,
    /// Statuses that could not be written, and are tried again.
    pub write_failures: Counter,
    /// What replicas and policies are like.
    pub platform: PlatformMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    watch: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    outcome: &'static str,
}

impl IndexMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self {
            policies: Gauge::default(),
            policies_unreadable: Gauge::default(),
            records: Gauge::default(),
            records_unreadable: Gauge::default(),
            namespaces: Gauge::default(),
            held_deletions: Gauge::default(),
            snapshots: Counter::default(),
            watch_errors: Family::default(),
        };
        let mut gauge = |name, help, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge(
            "policies",
            "Policies in force; 0: nothing is governed",
            &this.policies,
        );
        gauge(
            "policies_unreadable",
            "Policies whose newest version cannot be read",
            &this.policies_unreadable,
        );
        gauge("records", "Dataset records", &this.records);
        gauge(
            "records_unreadable",
            "Dataset records whose newest version cannot be read",
            &this.records_unreadable,
        );
        gauge("namespaces", "Namespaces known", &this.namespaces);
        gauge(
            "held_deletions",
            "Objects gone from the API, kept until it is certain that somebody deleted them",
            &this.held_deletions,
        );
        registry.register("snapshots", "Snapshots published", this.snapshots.clone());
        registry.register(
            "watch_errors",
            "Lists and watches that failed, by watch",
            this.watch_errors.clone(),
        );
        this
    }

    /// Counts a failed list or watch.
    pub fn watch_error(&self, watch: &'static str) {
        self.watch_errors.get_or_create(&WatchLabels { watch }).inc();
    }
}

impl LiveMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let fetches = Family::<FetchLabels, Counter>::default();
        registry.register(
            "fetches",
            "Objects that decisions asked for, by what came of it",
            fetches.clone(),
        );
        let this = Self {
            fetches: FetchOutcome::ALL
                .map(|it| fetches.get_or_create_owned(&FetchLabels { outcome: it.as_str() })),
            cached: Gauge::default(),
            cached_bytes: Gauge::default(),
        };
        registry.register(
            "fetch_cache_entries",
            "Objects kept for a moment because a decision asked for them",
            this.cached.clone(),
        );
        registry.register(
            "fetch_cache_bytes",
            "Bytes of those objects",
            this.cached_bytes.clone(),
        );
        this
    }

    /// Counts one.
    pub fn fetched(&self, outcome: FetchOutcome) {
        if let Some(counter) = self.fetches.get(outcome as usize) {
            counter.inc();
        }
    }

    /// How many came to this.
    #[must_use]
    pub fn fetches(&self, outcome: FetchOutcome) -> u64 {
        self.fetches.get(outcome as usize).map_or(0, Counter::get)
    }
}

impl FetchOutcome {
    /// Every outcome, in the order of its discriminant.
    pub const ALL: [Self; 4] = [Self::Cached, Self::Found, Self::NotFound, Self::Unreachable];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Unreachable => "unreachable",
        }
    }
}

impl StatusMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self {
            leader: Gauge::default(),
            writes: Counter::default(),
            write_failures: Counter::default(),
            platform: PlatformMetrics::new(registry),
        };
        registry.register(
            "status_leader",
            "1 in the replica that writes status",
            this.leader.clone(),
        );
        registry.register("status_writes", "Statuses written", this.writes.clone());
        registry.register(
            "status_write_failures",
            "Statuses that could not be written, and are tried again",
            this.write_failures.clone(),
        );
        this
    }
}
