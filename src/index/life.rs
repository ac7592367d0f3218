//! Signs of life of the watches.
//!
//! A watch that is healthy and a watch whose connection died look alike to who reads its events, so life is seen
//! lower down: each answer of the API server and each byte of a watch, bookmarks included, is one. A watch is closed
//! and opened again within a minute, so an age of more than that means that the API server does not answer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::{Instant, timeout};
use tower::{BoxError, service_fn};

use crate::server::Health;

/// For an answer's head. Watches answer at once and only then wait.
const ANSWER: Duration = Duration::from_secs(10);

/// One watch as seen from outside. Reading and noting are atomics.
pub struct Life {
    name: &'static str,
    since: Instant,
    /// Milliseconds after `since`, plus one; 0: never.
    seen: AtomicU64,
    synced: AtomicBool,
    trouble: ArcSwapOption<String>,
}

/// All watches.
#[derive(Clone, Debug)]
pub struct Lives {
    /// Of policies.
    pub policies: Arc<Life>,
    /// Of records.
    pub records: Arc<Life>,
    /// Of namespaces.
    pub namespaces: Arc<Life>,
}

impl Life {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            since: Instant::now(),
            seen: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            trouble: ArcSwapOption::empty(),
        })
    }

    /// What is watched.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How long ago it was last seen to live.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let seen = self.seen.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.since.elapsed().saturating_sub(Duration::from_millis(seen)))
    }

    /// Whether it has been read in full once.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }

    /// Its state. An old snapshot is no reason not to serve: what was paused stays paused.
    #[must_use]
    pub fn health(&self) -> Health {
        let trouble = self.trouble.load_full();
        let health = match (self.synced(), trouble) {
            (true, None) => Health::ok("in sync"),
            (true, Some(trouble)) => Health::ok(format!("in sync once; now {trouble}")),
            (false, None) => Health::failing("not read yet"),
            (false, Some(trouble)) => Health::failing(format!("not read yet: {trouble}")),
        };
        match self.age() {
            Some(age) => health.seen(age),
            None => health,
        }
    }

    /// Notes a sign of life.
    pub fn beat(&self) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen.store(millis.saturating_add(1), Ordering::Relaxed);
    }

    /// Its list has been read to the end.
    pub(super) fn in_sync(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    pub(super) fn trouble(&self, trouble: Option<String>) {
        if trouble.is_some() || self.trouble.load().is_some() {
            self.trouble.store(trouble.map(Arc::new));
        }
    }

    /// The client with every sign of life noted, and without requests that nobody ever answers.
    pub(super) fn observe(self: &Arc<Self>, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (client, life) = (client.clone(), self.clone());
        let service = service_fn(move |request: Request<Body>| {
            let (client, life) = (client.clone(), life.clone());
            async move {
                let response = timeout(ANSWER, client.send(request)).await.map_err(|_| {
                    BoxError::from(format!("the API server did not answer within {ANSWER:?}"))
                })??;
                if response.status().is_success() {
                    life.beat();
                    life.trouble(None);
                }
                Ok::<_, BoxError>(response.map(|body| {
                    body.map_frame(move |frame| {
                        life.beat();
                        frame
                    })
                }))
            }
        });
        Client::new(service, namespace)
    }
}

impl Lives {
    /// No sign of any yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            policies: Life::new("policies"),
            records: Life::new("records"),
            namespaces: Life::new("namespaces"),
        }
    }

    /// How long ago the one that has been silent for longest was last seen to live; none if one never was.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let ages: Option<Vec<Duration>> = self.all().into_iter().map(|life| life.age()).collect();
        ages?.into_iter().max()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> [&Arc<Life>; 3] {
        [&self.policies, &self.records, &self.namespaces]
    }
}

impl Default for Lives {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector for Lives {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "watch_age_seconds",
            "Time since the API server was last seen to answer, by watch",
            None,
            MetricType::Gauge,
        )?;
        for life in self.all() {
            if let Some(age) = life.age() {
                let labels = [("watch", life.name)];
                ConstGauge::new(age.as_secs_f64()).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("name", &self.name)
            .field("age", &self.age())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}
