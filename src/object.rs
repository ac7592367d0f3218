//! One object of the cluster, watched by its name.
//!
//! Whoever is interested sees it as it was last told: losing the API server changes nothing. It needs the right to get,
//! list and watch this one name, no more.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::StreamExt as _;
use kube::Api;
use kube::Resource;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

/// After so long without a failure the next one is the first.
const CALM: Duration = Duration::from_secs(30);

/// An object as it was last seen.
#[derive(Debug)]
pub enum Seen<T> {
    /// The API server has not been asked successfully yet.
    Unknown,
    /// There is none of that name.
    Missing,
    /// It exists.
    Present(Arc<T>),
}

/// How the API server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After this many seconds a watch is closed and opened again; 5 s later it is taken for dead. Default 55.
    pub watch_seconds: u32,
    /// For the first look, and after this long without news it is looked at anew. Default 60 s.
    pub patience: Duration,
    /// How long after the first failure in a row it is tried again; doubles up to `retry_max`. Default 100 ms.
    pub retry: Duration,
    /// The longest pause between two tries. Default 5 s.
    pub retry_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            watch_seconds: 55,
            patience: Duration::from_secs(60),
            retry: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
        }
    }
}

impl<T> Seen<T> {
    /// The object, if it exists as far as is known.
    #[must_use]
    pub fn present(&self) -> Option<&Arc<T>> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unknown | Self::Missing => None,
        }
    }
}

// Derived, it would ask for more of `T` than an `Arc` needs.
impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Missing => Self::Missing,
            Self::Present(object) => Self::Present(object.clone()),
        }
    }
}

/// Tells what becomes of the object for ever: at the first look, at each change, and again after each lost connection,
/// also if it is the same as before. None: it does not exist.
pub async fn follow<K>(api: Api<K>, name: &str, config: &Config, mut tell: impl FnMut(Option<K>)) -> !
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let jitter = RandomState::new();
    let (mut failures, mut failed) = (0_u32, Instant::now());
    let mut told: Option<String> = None;
    loop {
        let how = watcher::Config::default()
            .fields(&format!("metadata.name={name}"))
            .timeout(config.watch_seconds);
        let mut events = pin!(watcher(api.clone(), how));
        let mut found = false;
        let trouble = loop {
            match timeout(config.patience, events.next()).await {
                Ok(Some(Ok(Event::Init))) => found = false,
                Ok(Some(Ok(Event::InitApply(object)))) => {
                    found = true;
                    tell(Some(object));
                }
                Ok(Some(Ok(Event::InitDone))) if !found => tell(None),
                Ok(Some(Ok(Event::InitDone))) => {}
                Ok(Some(Ok(Event::Apply(object)))) => tell(Some(object)),
                Ok(Some(Ok(Event::Delete(_)))) => tell(None),
                // kube goes on from where the watch was, which some errors make impossible. One object is soon listed.
                Ok(Some(Err(error))) => break Some(error.to_string()),
                Ok(None) | Err(_) => break None,
            }
        };
        let Some(trouble) = trouble else { continue };
        if failed.elapsed() > CALM {
            (failures, told) = (0, None);
        }
        if told.as_ref() != Some(&trouble) {
            let kind = K::kind(&());
            tracing::warn!(%kind, name, error = trouble, "cannot watch: trying again");
            told = Some(trouble);
        }
        failed = Instant::now();
        let most = config
            .retry
            .saturating_mul(1 << failures.min(16))
            .min(config.retry_max);
        failures = failures.saturating_add(1);
        // Spreads the tries of several replicas.
        let part = u32::try_from(jitter.hash_one(failures) % 512).unwrap_or_default();
        sleep(most / 2 + most * part / 1024).await;
    }
}
