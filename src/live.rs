//! Look-ups for a decision that needs what the index does not hold: an owner, a namespace made a moment ago.
//!
//! Everything is bounded, because whoever may create workloads decides how many look-ups there are: in number per
//! namespace and in all, in size, and in time by the deadline of the request that waits. An answer is good for a few
//! seconds, a negative one too, so a burst of pods of one owner asks once. A look-up that fails is an absence, and the
//! decision makes a finding of it; nothing is tried twice here.

mod cache;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::http::{Request, StatusCode};
use datagate_core::fetched::{Absence, Fetched, Need};
use datagate_core::workload::{Info, Scope};
use datagate_core::world::Namespace;
use futures::stream::{FuturesUnordered, StreamExt as _};
use http_body_util::{BodyExt as _, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::cache::Cache;
use crate::metrics::{FetchOutcome, LiveMetrics};

/// Brings what decisions ask for.
pub trait Fetch: Send + Sync + 'static {
    /// Brings every need, found or not, by the deadline.
    fn fetch(&self, needs: &[Need], into: &mut Fetched, deadline: Instant)
    -> impl Future<Output = ()> + Send;
}

/// The bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Look-ups at a time for one namespace. Default 8.
    pub per_namespace: usize,
    /// Look-ups at a time. Default 64.
    pub in_all: usize,
    /// Bytes of an object. Default 4 MiB: larger ones do not fit into etcd, unless it was told otherwise.
    pub max_bytes: usize,
    /// How long an answer is good, be it positive or negative. Default 2 s.
    pub good_for: Duration,
    /// How long a failure is an answer. Default 250 ms: long enough to spare an API server that is in trouble.
    pub failed_for: Duration,
    /// Bytes of answers that are kept, about. Default 8 MiB.
    pub cache_bytes: usize,
    /// Answers that are kept, about. Default 2048.
    pub cache_entries: usize,
}

/// Asks the API server. Clones share the bounds and the answers.
#[derive(Clone)]
pub struct KubeFetch {
    asker: Arc<Asker>,
}

struct Asker {
    client: Client,
    config: Config,
    metrics: LiveMetrics,
    all: Semaphore,
    // Locks are held for a look into a map, never across a wait, and only by requests that look something up.
    namespaces: Mutex<HashMap<Box<str>, Weak<Semaphore>>>,
    cache: Mutex<Cache>,
}

/// What came of a look-up.
#[derive(Clone, Debug)]
enum Found {
    Object(Result<Arc<str>, Absence>),
    Namespace(Result<Arc<Namespace>, Absence>),
}

/// Why the API server brought nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no such object")]
    NotFound,
    #[error("the API server answered {0}; does the role of datagate allow `get`?")]
    Refused(StatusCode),
    #[error("{0}")]
    Client(#[from] kube::Error),
    #[error("the answer was cut off or is larger than {limit} bytes: {source}")]
    Body {
        limit: usize,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the answer is no Kubernetes object: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the answer is not UTF-8: {0}")]
    Text(#[from] std::string::FromUtf8Error),
}

impl KubeFetch {
    /// The client should not retry by itself (`kube::Config::default_retry`).
    #[must_use]
    pub fn new(client: Client, config: Config, metrics: LiveMetrics) -> Self {
        let asker = Asker {
            all: Semaphore::new(config.in_all),
            namespaces: Mutex::default(),
            cache: Mutex::new(Cache::new(config.cache_entries, config.cache_bytes)),
            client,
            config,
            metrics,
        };
        Self {
            asker: Arc::new(asker),
        }
    }
}

impl Fetch for KubeFetch {
    async fn fetch(&self, needs: &[Need], into: &mut Fetched, deadline: Instant) {
        let ask = async |need: &Need| (need.clone(), self.asker.ask(need, deadline).await);
        let mut asked: FuturesUnordered<_> = needs.iter().map(ask).collect();
        while let Some((need, found)) = asked.next().await {
            match (need, found) {
                (need @ Need::Object { .. }, Found::Object(object)) => into.put_object(need, object),
                (Need::Namespace(name), Found::Namespace(namespace)) => into.put_namespace(&name, namespace),
                (need, _) => tracing::error!(?need, "a look-up brought something else; please report this"),
            }
        }
    }
}

impl Asker {
    async fn ask(&self, need: &Need, deadline: Instant) -> Found {
        if let Some(found) = self.known(need) {
            return found;
        }
        let Some(path) = path(need) else {
            self.metrics.fetched(FetchOutcome::NotFound);
            return absent(need, Absence::NotFound);
        };
        let look = async {
            // Closed never, so an error cannot come.
            let own = self.of_namespace(namespace_of(need));
            let _own = own.acquire().await;
            let _any = self.all.acquire().await;
            // Whoever was before us may have asked for the same.
            if let Some(found) = self.known(need) {
                return found;
            }
            let (found, good_for) = self.look(need, &path).await;
            self.keep(need, &found, good_for);
            found
        };
        if let Ok(found) = timeout_at(deadline, look).await {
            return found;
        }
        tracing::warn!(
            path,
            "no answer from the API server in the time that a decision has"
        );
        self.metrics.fetched(FetchOutcome::Unreachable);
        absent(need, Absence::Unreachable)
    }

    /// Asks, and says for how long the answer is good.
    async fn look(&self, need: &Need, path: &str) -> (Found, Duration) {
        let read = async {
            let text = self.get(path).await?;
            Ok::<_, Failure>(match need {
                Need::Object { uid, .. } => {
                    let found = serde_json::from_str::<Identity>(&text)?.metadata.uid;
                    let is_it = uid.as_ref().is_none_or(|uid| found == **uid);
                    Found::Object(if is_it {
                        Ok(text.into())
                    } else {
                        Err(Absence::NotFound)
                    })
                }
                Need::Namespace(_) => {
                    let metadata = serde_json::from_str::<Whole>(&text)?.metadata;
                    Found::Namespace(Ok(Arc::new(crate::index::namespace(metadata))))
                }
            })
        };
        let (found, good_for) = match read.await {
            Ok(found) => (found, self.config.good_for),
            Err(Failure::NotFound) => (absent(need, Absence::NotFound), self.config.good_for),
            Err(failure) => {
                tracing::warn!(path, error = %failure, "cannot look up an object that a decision needs");
                (absent(need, Absence::Unreachable), self.config.failed_for)
            }
        };
        self.metrics.fetched(match found.absence() {
            None => FetchOutcome::Found,
            Some(Absence::NotFound) => FetchOutcome::NotFound,
            Some(Absence::Unreachable) => FetchOutcome::Unreachable,
        });
        (found, good_for)
    }

    async fn get(&self, path: &str) -> Result<String, Failure> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().map_err(|_| Failure::NotFound)?;
        let response = self.client.send(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Failure::NotFound),
            status => return Err(Failure::Refused(status)),
        }
        let limit = self.config.max_bytes;
        let body = Limited::new(response.into_body(), limit).collect().await;
        let body = body.map_err(|source| Failure::Body { limit, source })?;
        Ok(String::from_utf8(body.to_bytes().into())?)
    }

    fn known(&self, need: &Need) -> Option<Found> {
        let found = lock(&self.cache).get(need, Instant::now())?;
        self.metrics.fetched(FetchOutcome::Cached);
        Some(found)
    }

    fn keep(&self, need: &Need, found: &Found, good_for: Duration) {
        let until = Instant::now() + good_for;
        let mut cache = lock(&self.cache);
        cache.put(need.clone(), found.clone(), until);
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.cached.set(gauge(cache.len()));
        self.metrics.cached_bytes.set(gauge(cache.bytes()));
    }

    fn of_namespace(&self, name: &str) -> Arc<Semaphore> {
        let mut namespaces = lock(&self.namespaces);
        if let Some(known) = namespaces.get(name).and_then(Weak::upgrade) {
            return known;
        }
        // Nobody holds the others any more.
        namespaces.retain(|_, other| other.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.config.per_namespace));
        namespaces.insert(name.into(), Arc::downgrade(&new));
        new
    }
}

/// The part of an object that says which one it is.
#[derive(Deserialize)]
struct Identity {
    metadata: Uid,
}

#[derive(Deserialize)]
struct Uid {
    #[serde(default)]
    uid: String,
}

#[derive(Deserialize)]
struct Whole {
    metadata: ObjectMeta,
}

impl Found {
    fn absence(&self) -> Option<Absence> {
        match self {
            Self::Object(object) => object.as_ref().err().copied(),
            Self::Namespace(namespace) => namespace.as_ref().err().copied(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Object(Ok(text)) => text.len(),
            _ => 0,
        }
    }
}

fn absent(need: &Need, why: Absence) -> Found {
    match need {
        Need::Object { .. } => Found::Object(Err(why)),
        Need::Namespace(_) => Found::Namespace(Err(why)),
    }
}

fn namespace_of(need: &Need) -> &str {
    match need {
        Need::Object { namespace, .. } => namespace,
        Need::Namespace(name) => name,
    }
}

/// Where the API server has it; nowhere, if no object can have such a name. Names come from owner references, which
/// the API server does not look into: one may hold anything, `../secrets` included.
fn path(need: &Need) -> Option<String> {
    match need {
        Need::Namespace(name) => is_name(name).then(|| format!("/api/v1/namespaces/{name}")),
        Need::Object {
            kind,
            version,
            namespace,
            name,
            ..
        } => {
            let fine = is_name(name) && (kind.info().scope == Scope::Cluster || is_name(namespace));
            fine.then(|| object_path(kind.info(), version, namespace, name))
        }
    }
}

fn object_path(info: &Info, version: &str, namespace: &str, name: &str) -> String {
    let mut path = match info.group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    };
    if info.scope == Scope::Namespaced {
        path.push_str(&format!("/namespaces/{namespace}"));
    }
    path.push_str(&format!("/{}/{name}", info.plural));
    path
}

fn is_name(name: &str) -> bool {
    let fine = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b':');
    !name.is_empty() && name.len() <= 253 && !matches!(name, "." | "..") && name.bytes().all(fine)
}

impl fmt::Debug for KubeFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeFetch")
            .field("config", &self.asker.config)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            per_namespace: 8,
            in_all: 64,
            max_bytes: 4 * 1024 * 1024,
            good_for: Duration::from_secs(2),
            failed_for: Duration::from_millis(250),
            cache_bytes: 8 * 1024 * 1024,
            cache_entries: 2048,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datagate_core::workload::KnownKind;

    use super::*;

    fn object(kind: KnownKind, name: &str) -> Need {
        Need::Object {
            kind,
            version: kind.default_version(),
            namespace: "team".into(),
            name: name.into(),
            uid: Some("u".into()),
        }
    }

    #[test]
    fn paths_are_those_of_the_api() {
        let paths = [
            path(&object(KnownKind::Pod, "a.b-c")),
            path(&object(KnownKind::Job, "train")),
            path(&Need::Namespace("team".into())),
        ];
        assert_eq!(
            paths.map(Option::unwrap),
            [
                "/api/v1/namespaces/team/pods/a.b-c",
                "/apis/batch/v1/namespaces/team/jobs/train",
                "/api/v1/namespaces/team",
            ]
        );
    }

    #[test]
    fn what_cannot_be_a_name_leads_nowhere() {
        for name in [
            "",
            ".",
            "..",
            "../secrets/x",
            "a/b",
            "a?b",
            "a%2fb",
            "a#b",
            "ü",
            "a b",
            "a\n",
        ] {
            assert_eq!(path(&object(KnownKind::Job, name)), None, "{name:?}");
            assert_eq!(path(&Need::Namespace(name.into())), None, "{name:?}");
        }
    }
}
