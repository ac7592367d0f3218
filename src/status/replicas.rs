//! What the leader knows of the replicas: their reports, as long as they are renewed.
//!
//! As with the lease of the election, a report has run out when it has not been *seen* to be renewed for its duration, by
//! our own clock. Our own report is one of them: as long as it is seen to be renewed, so would be those of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Config;
use super::report::{self, Report};
use crate::index::Sightings;

/// After so long a watch is closed and opened again.
const WATCH_SECONDS: u32 = 55;

/// A watch of Leases that are renewed every few seconds is dead if it says nothing for so long.
const SILENCE: Duration = Duration::from_secs(20);

/// After this long what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The reports that were seen.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The name of our own.
    own: String,
    /// For a report that does not say how long it lasts.
    duration: Duration,
    seen: BTreeMap<String, Seen>,
    /// During a list: what it has brought.
    listed: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Of the Lease: another one is a renewal.
    resource_version: Option<String>,
    since: Instant,
    duration: Duration,
    report: Arc<Report>,
}

/// How the replicas decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody wants to know.
    #[default]
    NotLookedFor,
    /// The reports cannot be seen.
    Unknown,
    /// So.
    Known {
        /// How many replicas count: they are ready, and were seen to report lately.
        counting: usize,
        /// Those of them that do not decide by the newest version of a policy, by its name.
        behind: BTreeMap<Box<str>, Vec<Box<str>>>,
    },
}

impl Replicas {
    /// None seen yet. `own` is the name of our own report's Lease.
    #[must_use]
    pub fn new(own: impl Into<String>, duration: Duration) -> Self {
        Self {
            own: own.into(),
            duration,
            seen: BTreeMap::new(),
            listed: None,
        }
    }

    /// Takes in what has happened to a Lease.
    pub fn apply(&mut self, event: Event<Lease>, at: Instant) {
        match event {
            Event::Init => self.listed = Some(BTreeSet::new()),
            Event::InitApply(lease) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(lease.name_any());
                }
                self.see(&lease, at);
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.seen.retain(|name, _| listed.contains(name));
                }
            }
            Event::Apply(lease) => self.see(&lease, at),
            Event::Delete(lease) => {
                self.seen.remove(&lease.name_any());
            }
        }
    }

    fn see(&mut self, lease: &Lease, at: Instant) {
        let name = lease.name_any();
        let resource_version = lease.resource_version();
        if let Some(seen) = self.seen.get(&name)
            && seen.resource_version == resource_version
        {
            return;
        }
        let seconds = lease.spec.as_ref().and_then(|it| it.lease_duration_seconds);
        let seconds = seconds.and_then(|it| u64::try_from(it).ok());
        let seen = Seen {
            resource_version,
            since: at,
            duration: seconds.map_or(self.duration, Duration::from_secs),
            report: Arc::new(Report::read(lease)),
        };
        self.seen.insert(name, seen);
    }

    /// Whether our own report is seen to be renewed.
    #[must_use]
    pub fn is_current(&self, at: Instant) -> bool {
        self.seen.get(&self.own).is_some_and(|own| own.lasts(at))
    }

    /// Whether our own report says that we are ready.
    #[must_use]
    pub fn is_ready(&self, at: Instant) -> bool {
        self.seen
            .get(&self.own)
            .is_some_and(|own| own.lasts(at) && own.report.ready)
    }

    /// How the replicas decide by policies that stand so.
    #[must_use]
    pub fn standing(&self, sightings: &Sightings, at: Instant) -> Standing {
        if !self.is_current(at) {
            return Standing::Unknown;
        }
        let counting: Vec<&Report> = self
            .seen
            .values()
            .filter(|it| it.lasts(at) && it.report.ready)
            .map(|it| &*it.report)
            .collect();
        let behind = |name: &str, wanted: u128| -> Vec<Box<str>> {
            let behind = |it: &&&Report| it.at < wanted || it.unreadable.has(name);
            let behind = counting.iter().filter(behind);
            behind.map(|it| it.replica.as_str().into()).collect()
        };
        let behind = sightings
            .iter()
            .map(|(name, it)| (name.clone(), behind(name, it.at)))
            .filter(|(_, behind)| !behind.is_empty());
        Standing::Known {
            counting: counting.len(),
            behind: behind.collect(),
        }
    }

    /// When the next report runs out, unless it is renewed.
    #[must_use]
    pub fn next_end(&self, at: Instant) -> Option<Instant> {
        let ends = self.seen.values().map(|it| it.since + it.duration);
        ends.filter(|end| *end > at).min()
    }
}

impl Seen {
    fn lasts(&self, at: Instant) -> bool {
        at.duration_since(self.since) < self.duration
    }
}

impl Standing {
    /// How many of the replicas that count are behind with some policy.
    #[must_use]
    pub fn behind(&self) -> usize {
        match self {
            Self::Known { behind, .. } => behind.values().flatten().collect::<BTreeSet<_>>().len(),
            Self::NotLookedFor | Self::Unknown => 0,
        }
    }
}

/// Keeps `replicas` up to date. Never ends: whatever fails is tried again.
pub(super) async fn follow(config: &Config, client: Client, replicas: &watch::Sender<Replicas>) {
    let leases = Api::<Lease>::namespaced(client, &config.namespace);
    let how = watcher::Config::default()
        .labels(&format!("{}={}", report::LABEL, config.lease))
        .timeout(WATCH_SECONDS);
    let mut failing = false;
    loop {
        let mut events = watcher(leases.clone(), how.clone()).boxed();
        let trouble = loop {
            match timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(event))) => {
                    failing = false;
                    replicas.send_modify(|it| it.apply(event, Instant::now()));
                }
                Ok(Some(Err(error))) => break error.to_string(),
                Ok(None) => break "it ended".to_owned(),
                Err(_) => break format!("nothing was heard for {SILENCE:?}"),
            }
        };
        // A watch that is opened again every minute may break off now and then.
        if failing {
            tracing::warn!(
                error = trouble,
                "cannot watch the reports of the replicas: trying again. Is the Role of datagate bound in its namespace?"
            );
        }
        failing = true;
        sleep(RETRY).await;
    }
}
