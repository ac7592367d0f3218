//! What datagate makes of policies and records, written back to them for people to read.
//!
//! One replica writes, elected by a Lease; deciding never depends on it. A status is computed from the same snapshot
//! that decisions are made against, and again at each moment in time at which a policy changes by itself, and is sent
//! only if it differs from what the object has.

mod compute;
mod drift;
mod facts;
mod known;
mod lease;
mod replicas;
mod report;
mod writer;

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

use crate::index::{Folded, Snapshots};
use crate::metrics::StatusMetrics;
use crate::registration::Registrations;
use crate::server::{Readiness, WallClock};
use crate::stop::Stop;

pub use self::compute::{Coverage, Survey, policy_status, record_status};
pub use self::facts::{Facts, Webhook};
pub use self::lease::{Election, Step};
pub use self::replicas::{Replicas, Standing};
pub use self::report::{LABEL, Report, Unreadable, name as report_name};

/// Where and how status is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The namespace of the Lease: datagate's own.
    pub namespace: String,
    /// The name of the Lease. Default `datagate`.
    pub lease: String,
    /// Who this replica is. Default: host name and a random number.
    pub identity: String,
    /// As what it reports: the name of its pod. Default: the identity.
    pub replica: String,
    /// The uid of its pod, with which its report goes; none: it stays.
    pub replica_uid: Option<String>,
    /// The ValidatingWebhookConfiguration that must exist for a policy to be ready; none: not looked for.
    pub webhook: Option<String>,
    /// Whether the server only observes.
    pub observe: bool,
    /// Namespaces that the webhook is never asked about, so that a policy need not cover them.
    pub excluded_namespaces: Vec<String>,
    /// How long a lease lasts. Default 15 s.
    pub lease_duration: Duration,
    /// How often it is renewed. Default 5 s.
    pub renew: Duration,
    /// How long changes are collected. Default 100 ms.
    pub debounce: Duration,
    /// How often the clock is looked at, at least. Default 10 s.
    pub look: Duration,
    /// How often everything that was written is read again, in case somebody changed it. Default 10 min.
    pub resync: Duration,
}

impl Config {
    /// The usual times.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        let identity = lease::identity();
        Self {
            excluded_namespaces: vec!["kube-system".to_owned(), namespace.clone()],
            namespace,
            lease: "datagate".to_owned(),
            replica: identity.clone(),
            replica_uid: None,
            identity,
            webhook: None,
            observe: false,
            lease_duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            debounce: Duration::from_millis(100),
            look: Duration::from_secs(10),
            resync: Duration::from_secs(600),
        }
    }
}

/// What statuses and reports are made from.
#[derive(Clone)]
pub struct Inputs {
    /// The snapshots.
    pub snapshots: Snapshots,
    /// How far they reach.
    pub folded: watch::Receiver<Option<Folded>>,
    /// Whether this replica may be sent requests.
    pub readiness: Readiness,
    /// The webhook configuration.
    pub registrations: Registrations,
}

/// Reports what this replica decides by, and writes status whenever it is elected, until it is told to stop. Whatever
/// fails is tried again.
pub async fn run(
    config: Config,
    client: Client,
    inputs: Inputs,
    clock: WallClock,
    metrics: StatusMetrics,
    stop: Stop,
) {
    let (elected, leading) = watch::channel(None);
    // The lease outlives the writer by a moment, so that nobody writes without it.
    let election = lease::run(
        &config,
        client.clone(),
        clock.clone(),
        elected,
        metrics.clone(),
        stop.clone(),
    );
    let reporting = report::run(&config, client.clone(), &inputs, clock.clone(), stop.clone());
    let watching = watch_drift(&config, inputs.registrations.clone(), &metrics, stop.clone());
    let writing = writer::run(&config, client, &inputs, clock, leading, metrics.clone(), stop);
    futures::join!(election, reporting, watching, writing);
}

/// Keeps the metric of drift, which each replica tells.
async fn watch_drift(
    config: &Config,
    mut registrations: Registrations,
    metrics: &StatusMetrics,
    mut stop: Stop,
) {
    loop {
        let webhook = Webhook::of(config, &registrations.borrow_and_update());
        metrics.platform.drifted(webhook.drifted());
        tokio::select! {
            () = stop.told() => return,
            changed = registrations.changed() => if changed.is_err() {
                stop.told().await;
                return;
            },
        }
    }
}
