//! The three watches as one stream of changes that never ends.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt as _, select_all, unfold};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::life::{Life, Lives};
use super::state::Change;
use crate::metrics::IndexMetrics;

/// After so long without a failure the next one is the first.
const CALM: Duration = Duration::from_secs(30);

/// How the API server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After this many seconds a watch is closed and opened again; 5 s later it is taken for dead. Default 55.
    pub watch_seconds: u32,
    /// How many objects a page of a list has. Default 500.
    pub page_size: u32,
    /// For the next page of a list. Default 30 s.
    pub list_timeout: Duration,
    /// How long after the first failure in a row it is tried again; doubles up to `retry_max`. Default 100 ms.
    pub retry: Duration,
    /// The longest pause between two tries. Default 5 s: after an outage, policies must soon be those of the cluster.
    pub retry_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            watch_seconds: 55,
            page_size: 500,
            list_timeout: Duration::from_secs(30),
            retry: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
        }
    }
}

/// Everything that happens to policies, records and namespaces.
pub(super) fn changes(
    client: &Client,
    config: &Config,
    lives: &Lives,
    metrics: &IndexMetrics,
) -> impl Stream<Item = Change> + Unpin + use<> {
    let policies = feed(client, config, &lives.policies, metrics).map(Change::Policy);
    let records = feed(client, config, &lives.records, metrics).map(Change::Record);
    let namespaces = feed::<PartialObjectMeta<Namespace>>(client, config, &lives.namespaces, metrics)
        .map(Change::Namespace);
    select_all([policies.boxed(), records.boxed(), namespaces.boxed()])
}

/// One watch.
struct Feed<K> {
    api: Api<K>,
    config: Config,
    life: Arc<Life>,
    metrics: IndexMetrics,
    stream: Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>,
    /// Whether a list is under way, so that the next event is due soon.
    listing: bool,
    failures: u32,
    failed: Instant,
    /// Spreads the tries of several replicas.
    jitter: RandomState,
}

fn feed<K>(
    client: &Client,
    config: &Config,
    life: &Arc<Life>,
    metrics: &IndexMetrics,
) -> BoxStream<'static, Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api = Api::<K>::all(life.observe(client));
    let feed = Feed {
        stream: watch(&api, config),
        api,
        config: config.clone(),
        life: life.clone(),
        metrics: metrics.clone(),
        listing: true,
        failures: 0,
        failed: Instant::now(),
        jitter: RandomState::new(),
    };
    unfold(feed, async |mut feed| Some((feed.next().await, feed))).boxed()
}

fn watch<K>(api: &Api<K>, config: &Config) -> Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    // Pages, not streaming lists: the oldest API server that is supported refuses those.
    let how = watcher::Config::default()
        .timeout(config.watch_seconds)
        .page_size(config.page_size);
    watcher(api.clone(), how).boxed()
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(&mut self) -> Event<K> {
        loop {
            let next = if self.listing {
                timeout(self.config.list_timeout, self.stream.next()).await
            } else {
                Ok(self.stream.next().await)
            };
            match next {
                Ok(Some(Ok(event))) => {
                    self.note(&event);
                    return event;
                }
                Ok(Some(Err(error))) => {
                    let lost = lost(&error);
                    self.fail(told(&error)).await;
                    if lost {
                        self.restart();
                    }
                }
                Ok(None) => self.restart(),
                Err(_) => {
                    self.fail(format!(
                        "a list was not complete after {:?}",
                        self.config.list_timeout
                    ))
                    .await;
                    self.restart();
                }
            }
        }
    }

    fn note(&mut self, event: &Event<K>) {
        match event {
            // The list itself is still to come, so this proves nothing.
            Event::Init => self.listing = true,
            Event::InitDone => {
                self.listing = false;
                self.life.in_sync();
            }
            Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
    }

    fn restart(&mut self) {
        self.listing = true;
        self.stream = watch(&self.api, &self.config);
    }

    async fn fail(&mut self, trouble: String) {
        self.metrics.watch_error(self.life.name());
        tracing::warn!(
            watch = self.life.name(),
            error = trouble,
            "cannot watch: trying again"
        );
        self.life.trouble(Some(trouble));
        // A watch that has nothing to tell does not say that it works again, so time tells.
        if self.failed.elapsed() > CALM {
            self.failures = 0;
        }
        self.failed = Instant::now();
        let doubled = self.config.retry.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let most = doubled.min(self.config.retry_max);
        let part = u32::try_from(self.jitter.hash_one(self.failures) % 512).unwrap_or_default();
        sleep(most / 2 + most * part / 1024).await;
    }
}

/// Whether a watch cannot go on from where it was. kube lists again only if it is told so by an event. By code and not
/// by reason, because where a CRD was the API server answers in plain text.
fn lost(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 404 | 410))
}

/// The error and its cause, for a person.
fn told(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            "the API server does not know this kind: apply crds/".to_owned()
        }
        error => error.to_string(),
    }
}
