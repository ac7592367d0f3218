//! Which replica writes: whoever holds the Lease.
//!
//! As in client-go, a lease has run out when its holder has not been *seen* to renew it for its duration, by our own
//! clock: the clocks of two machines are never compared. The holder stops by itself before that.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Config;
use crate::metrics::StatusMetrics;
use crate::server::WallClock;
use crate::stop::Stop;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often one who does not hold the lease looks at it, at most.
const LOOK: Duration = Duration::from_secs(2);

/// What this replica has seen of the lease.
#[derive(Debug)]
pub struct Election {
    identity: String,
    duration: Duration,
    /// The last version that was seen, and when it was first seen.
    seen: Option<(LeaseSpec, Instant)>,
}

/// What to do about a lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is ours or can be: write this.
    Claim(LeaseSpec),
    /// Somebody else holds it.
    Wait,
}

impl Election {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(identity: impl Into<String>, duration: Duration) -> Self {
        Self {
            identity: identity.into(),
            duration,
            seen: None,
        }
    }

    /// What to do about the lease as it is now.
    pub fn step(&mut self, lease: Option<&LeaseSpec>, at: Instant, now: Timestamp) -> Step {
        let Some(lease) = lease else {
            return Step::Claim(self.claim(None, now));
        };
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != lease) {
            self.seen = Some((lease.clone(), at));
        }
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        let run_out = self.seen.as_ref().is_some_and(|(_, since)| {
            let seconds = lease.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
            at.duration_since(*since) >= seconds.map_or(self.duration, Duration::from_secs)
        });
        if holder.is_empty() || holder == self.identity || run_out {
            Step::Claim(self.claim(Some(lease), now))
        } else {
            Step::Wait
        }
    }

    fn claim(&self, before: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let ours = before.filter(|it| it.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|it| it.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: ours
                .and_then(|it| it.acquire_time.clone())
                .or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(match (before, ours) {
                (Some(_), None) => transitions.saturating_add(1),
                _ => transitions,
            }),
            ..before.cloned().unwrap_or_default()
        }
    }
}

/// Host name, which is the pod's name, and a number that no earlier process of that name had.
pub(super) fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "datagate".to_owned());
    format!("{host}_{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Takes part in the election until it is told to stop, and then lets go of the lease. `elected` holds until when this
/// replica may write.
pub(super) async fn run(
    config: &Config,
    client: Client,
    clock: WallClock,
    elected: watch::Sender<Option<Instant>>,
    metrics: StatusMetrics,
    mut stop: Stop,
) {
    let leases = Api::<Lease>::namespaced(client, &config.namespace);
    let mut election = Election::new(config.identity.clone(), config.lease_duration);
    let mut ours: Option<Lease> = None;
    loop {
        let asked = Instant::now();
        let turn = async { timeout(PATIENCE, turn(&leases, config, &mut election, clock())).await };
        let turn = tokio::select! {
            () = stop.told() => break,
            turn = turn => turn.unwrap_or(Err(Error::Timeout)),
        };
        match turn {
            Ok(lease) => {
                if lease.is_some() != elected.borrow().is_some() {
                    tracing::info!(
                        identity = config.identity,
                        leads = lease.is_some(),
                        "status: elected"
                    );
                }
                elected.send_replace(lease.as_ref().map(|_| asked + config.lease_duration));
                ours = lease;
            }
            Err(error) => {
                tracing::warn!(lease = config.lease, %error, "cannot take part in the election of who writes status");
                elected.send_if_modified(|until| {
                    let over = until.is_some_and(|until| until <= Instant::now());
                    if over {
                        *until = None;
                    }
                    over
                });
            }
        }
        let leads = elected.borrow().is_some();
        metrics.leader.set(i64::from(leads));
        let pause = if leads {
            config.renew
        } else {
            config.renew.min(LOOK)
        };
        tokio::select! {
            () = stop.told() => break,
            () = sleep(pause) => {}
        }
    }
    elected.send_replace(None);
    metrics.leader.set(0);
    if let Some(lease) = ours {
        let released = timeout(PATIENCE, release(&leases, config, lease, clock())).await;
        if !matches!(released, Ok(Ok(_))) {
            tracing::info!("the lease could not be released; it runs out by itself");
        }
    }
}

/// Why nothing is known of the lease.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no answer within {PATIENCE:?}")]
    Timeout,
    #[error("{0}. Is the Role of datagate bound in its namespace?")]
    Client(#[from] kube::Error),
}

/// One look at the lease; gives it if it is ours now.
async fn turn(
    leases: &Api<Lease>,
    config: &Config,
    election: &mut Election,
    now: Timestamp,
) -> Result<Option<Lease>, Error> {
    let lease = leases.get_opt(&config.lease).await?;
    let spec = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
    let Step::Claim(claim) = election.step(spec.as_ref(), Instant::now(), now) else {
        return Ok(None);
    };
    let written = match lease {
        None => {
            let metadata = ObjectMeta {
                name: Some(config.lease.clone()),
                ..ObjectMeta::default()
            };
            let lease = Lease {
                metadata,
                spec: Some(claim),
            };
            leases.create(&PostParams::default(), &lease).await
        }
        // With its resourceVersion, so that of two only one gets it.
        Some(lease) => {
            let lease = Lease {
                spec: Some(claim),
                ..lease
            };
            leases
                .replace(&config.lease, &PostParams::default(), &lease)
                .await
        }
    };
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn release(leases: &Api<Lease>, config: &Config, lease: Lease, now: Timestamp) -> kube::Result<Lease> {
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        renew_time: Some(MicroTime(now)),
        lease_duration_seconds: Some(1),
        ..lease.spec.clone().unwrap_or_default()
    };
    let lease = Lease {
        spec: Some(spec),
        ..lease
    };
    leases
        .replace(&config.lease, &PostParams::default(), &lease)
        .await
}
