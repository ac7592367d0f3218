//! What each replica says of itself, in a Lease of its own: whether it is ready, and by what it decides.
//!
//! Not which policies it has, but how far it has come: the API server numbers all changes of a kind, so one number says
//! of every policy whether its newest version is in force (docs/decisions/0016).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::{Config, Inputs};
use crate::index::{Catalogued, Folded};
use crate::server::WallClock;
use crate::stop::Stop;

/// By this a Lease is known to be a report; the value is the name of the Lease that elects who writes status.
pub const LABEL: &str = "datagate.dev/replica";

const READY: &str = "datagate.dev/ready";
const DECIDES_BY: &str = "datagate.dev/decides-by";
const UNREADABLE: &str = "datagate.dev/unreadable";

/// Names of unreadable policies in a report. More of them count as all.
const MAX_UNREADABLE: usize = 100;

/// All policies, in the place of their names.
const ALL: &str = "*";

/// For one request.
const PATIENCE: Duration = Duration::from_secs(3);

/// After this long what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The field manager.
const MANAGER: &str = "datagate-replica";

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who it is: the name of its pod.
    pub replica: String,
    /// Whether requests may be sent to it.
    pub ready: bool,
    /// All changes of policies up to this `resourceVersion` are in force.
    pub at: u128,
    /// The policies whose newest version it cannot read.
    pub unreadable: Unreadable,
}

/// Policies that a replica cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// These.
    Named(BTreeSet<String>),
    /// Too many to name.
    TooMany,
}

impl Report {
    /// Of a replica that has come so far; none: it has published nothing yet.
    #[must_use]
    pub fn new(replica: &str, ready: bool, folded: Option<&Folded>) -> Self {
        let unreadable = folded.into_iter().flat_map(|it| it.unreadable.keys());
        let names = unreadable
            .filter(|(kind, _)| *kind == Catalogued::Policy)
            .map(|(_, name)| name.to_string())
            .take(MAX_UNREADABLE + 1);
        let names: BTreeSet<String> = names.collect();
        Self {
            replica: replica.to_owned(),
            // Who decides by nothing refuses everything.
            ready: ready && folded.is_some(),
            at: folded.map_or(0, |it| it.at),
            unreadable: match names.len() > MAX_UNREADABLE {
                true => Unreadable::TooMany,
                false => Unreadable::Named(names),
            },
        }
    }

    /// Of a Lease. What cannot be read counts as behind.
    #[must_use]
    pub fn read(lease: &Lease) -> Self {
        let said = |key: &str| lease.metadata.annotations.as_ref()?.get(key).map(String::as_str);
        let holder = lease.spec.as_ref().and_then(|it| it.holder_identity.as_deref());
        let unreadable = match said(UNREADABLE) {
            None | Some("") => Unreadable::Named(BTreeSet::new()),
            Some(ALL) => Unreadable::TooMany,
            Some(names) => Unreadable::Named(names.split(',').map(str::to_owned).collect()),
        };
        let name = || lease.metadata.name.clone().unwrap_or_default();
        Self {
            replica: holder.map_or_else(name, str::to_owned),
            ready: said(READY) == Some("true"),
            at: said(DECIDES_BY)
                .and_then(|it| it.parse().ok())
                .unwrap_or_default(),
            unreadable,
        }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let unreadable = match &self.unreadable {
            Unreadable::Named(names) => names.iter().cloned().collect::<Vec<_>>().join(","),
            Unreadable::TooMany => ALL.to_owned(),
        };
        [
            (READY, self.ready.to_string()),
            (DECIDES_BY, self.at.to_string()),
            (UNREADABLE, unreadable),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

impl Unreadable {
    /// Whether this policy is among them.
    #[must_use]
    pub fn has(&self, policy: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(policy),
            Self::TooMany => true,
        }
    }
}

/// The name of the Lease in which a replica reports.
#[must_use]
pub fn name(lease: &str, replica: &str) -> String {
    let allowed = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.') => c,
        _ => '-',
    };
    let name: String = format!("{lease}-{replica}")
        .chars()
        .map(allowed)
        .take(253)
        .collect();
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Reports until told to stop: again and again, so that it is seen that this replica lives, and at once when a policy
/// has changed or readiness has turned.
pub(super) async fn run(config: &Config, client: Client, inputs: &Inputs, clock: WallClock, mut stop: Stop) {
    let leases = Api::<Lease>::namespaced(client, &config.namespace);
    let mut folded = inputs.folded.clone();
    let mut looks = interval(LOOK);
    let begun = clock();
    let now = |folded: &Option<Folded>| {
        let ready = inputs.readiness.report().ready;
        Report::new(&config.replica, ready, folded.as_ref())
    };
    let mut failing = false;
    loop {
        let seen = folded.borrow_and_update().clone();
        let report = now(&seen);
        let sent = tokio::select! {
            () = stop.told() => break,
            sent = send(&leases, config, &report, begun, clock()) => sent,
        };
        let next = match &sent {
            Ok(()) => Instant::now() + config.renew,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "cannot report how far this replica is: policies may be shown as not ready");
                }
                Instant::now() + RETRY
            }
        };
        failing = sent.is_err();
        let news = async {
            loop {
                tokio::select! {
                    changed = folded.changed() => if changed.is_err() { std::future::pending::<()>().await },
                    _ = looks.tick() => {}
                }
                let new = folded.borrow().clone();
                if is_news(&report, &now(&new), new.as_ref()) {
                    return;
                }
            }
        };
        tokio::select! {
            () = stop.told() => break,
            () = sleep_until(next) => {}
            // One who cannot report need not try at each change.
            () = news, if !failing => tokio::time::sleep(config.debounce).await,
        }
    }
    let last = Report {
        ready: false,
        ..now(&folded.borrow())
    };
    if let Err(error) = send(&leases, config, &last, begun, clock()).await {
        tracing::info!(%error, "the last report was not sent; it runs out by itself");
    }
}

/// Whether there is something to say that cannot wait. That somebody wrote a status, which moves `at` too, can.
fn is_news(said: &Report, now: &Report, folded: Option<&Folded>) -> bool {
    let passed = folded.is_some_and(|it| said.at < it.changed && it.changed <= it.at);
    said.ready != now.ready || said.unreadable != now.unreadable || passed
}

/// Why a report was not sent.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no answer within {PATIENCE:?}")]
    Timeout,
    #[error("{0}. Is the Role of datagate bound in its namespace?")]
    Client(#[from] kube::Error),
}

async fn send(
    leases: &Api<Lease>,
    config: &Config,
    report: &Report,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    let name = name(&config.lease, &config.replica);
    let how = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(lease(config, &name, report, since, now));
    let sent = timeout(PATIENCE, leases.patch(&name, &how, &patch)).await;
    sent.map_err(|_| Error::Timeout)??;
    Ok(())
}

fn lease(config: &Config, name: &str, report: &Report, since: Timestamp, now: Timestamp) -> Value {
    // With the pod it goes.
    let owner = config.replica_uid.as_ref().map(|uid| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: config.replica.clone(),
        uid: uid.clone(),
        ..OwnerReference::default()
    });
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([(LABEL.to_owned(), config.lease.clone())].into()),
        annotations: Some(report.annotations()),
        owner_references: owner.map(|it| vec![it]),
        ..ObjectMeta::default()
    };
    let spec = LeaseSpec {
        holder_identity: Some(report.replica.clone()),
        lease_duration_seconds: i32::try_from(config.lease_duration.as_secs()).ok(),
        acquire_time: Some(MicroTime(since)),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    };
    json!(Lease {
        metadata,
        spec: Some(spec),
    })
}
