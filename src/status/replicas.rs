//! What the leader knows of the replicas: their reports, as long as they are renewed.
//!
//! As with the lease of the election, a report has run out when it has not been *seen* to be renewed for its duration, by
//! our own clock. Our own report is one of them: as long as it is seen to be renewed, so would be those of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1 as core;
use kube::core::{ApiResource, NotUsed, Object};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Config;
use super::report::{self, Report};
use crate::index::Sightings;

/// After so long a watch is closed and opened again.
const WATCH_SECONDS: u32 = 55;

/// A watch of Leases that are renewed every few seconds is dead if it says nothing for so long.
const SILENCE: Duration = Duration::from_secs(20);

/// For one request.
const PATIENCE: Duration = Duration::from_secs(3);

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
    pod: Option<Owner>,
    /// Whether requests may be sent to the pod, as far as is known.
    asked: bool,
}

/// The pod of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of its report's Lease.
    pub lease: String,
    /// Its name.
    pub name: String,
    /// Which pod of this name.
    pub uid: String,
}

/// A pod, as far as it matters here: to read all that a pod can hold would add a megabyte to the program.
type Pod = Object<NotUsed, PodStatus>;

#[derive(Clone, Debug, Default, Deserialize)]
struct PodStatus {
    #[serde(default)]
    conditions: Option<Vec<PodCondition>>,
}

#[derive(Clone, Debug, Deserialize)]
struct PodCondition {
    r#type: String,
    status: String,
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
            pod: pod(lease),
            asked: true,
        };
        self.seen.insert(name, seen);
    }

    /// Whether our own report is seen to be renewed.
    #[must_use]
    pub fn is_current(&self, at: Instant) -> bool {
        self.seen.get(&self.own).is_some_and(|own| own.is_fresh(at))
    }

    /// Whether our own report says that we are ready.
    #[must_use]
    pub fn is_ready(&self, at: Instant) -> bool {
        self.seen
            .get(&self.own)
            .is_some_and(|own| own.is_fresh(at) && own.report.ready)
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
            .filter(|it| it.counts(at))
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

    /// The pods of those who said that they are ready and are not heard any more.
    #[must_use]
    pub fn silent(&self, at: Instant) -> Vec<Owner> {
        let silent = self
            .seen
            .values()
            .filter(|it| it.report.ready && !it.is_fresh(at));
        silent.filter_map(|it| it.pod.clone()).collect()
    }

    /// Takes in whether requests may be sent to a pod; says whether that is news.
    pub fn pod(&mut self, pod: &Owner, asked: bool) -> bool {
        match self.seen.get_mut(&pod.lease) {
            Some(seen) if seen.pod.as_ref() == Some(pod) => {
                std::mem::replace(&mut seen.asked, asked) != asked
            }
            _ => false,
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
    fn is_fresh(&self, at: Instant) -> bool {
        at.duration_since(self.since) < self.duration
    }

    fn counts(&self, at: Instant) -> bool {
        self.report.ready && (self.is_fresh(at) || (self.pod.is_some() && self.asked))
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
    let kind = ApiResource::erase::<core::Pod>(&());
    let pods = Api::<Pod>::namespaced_with(client.clone(), &config.namespace, &kind);
    futures::join!(reports(config, client, replicas), silence(&pods, replicas));
}

/// Looks after the pods of those who are not heard any more.
async fn silence(pods: &Api<Pod>, replicas: &watch::Sender<Replicas>) {
    loop {
        sleep(RETRY).await;
        let silent = replicas.borrow().silent(Instant::now());
        for owner in silent {
            // What cannot be looked at may be asked.
            let asked = match timeout(PATIENCE, pods.get_opt(&owner.name)).await {
                Ok(Ok(pod)) => pod.is_some_and(|pod| is_asked(&pod, &owner)),
                Ok(Err(error)) => {
                    tracing::warn!(pod = owner.name, %error, "cannot look at the pod of a replica that does not report");
                    continue;
                }
                Err(_) => continue,
            };
            replicas.send_if_modified(|it| it.pod(&owner, asked));
        }
    }
}

/// Whether requests may be sent to a pod: it is ready and nobody is deleting it.
fn is_asked(pod: &Pod, owner: &Owner) -> bool {
    let mut conditions = pod.status.iter().flat_map(|it| it.conditions.iter().flatten());
    let ready = conditions.any(|it| it.r#type == "Ready" && it.status == "True");
    ready && pod.metadata.uid.as_ref() == Some(&owner.uid) && pod.metadata.deletion_timestamp.is_none()
}

fn pod(lease: &Lease) -> Option<Owner> {
    let owners = lease.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|it| it.kind == "Pod")?;
    Some(Owner {
        lease: lease.name_any(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

async fn reports(config: &Config, client: Client, replicas: &watch::Sender<Replicas>) {
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
