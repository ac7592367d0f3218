//! Keeps the metrics of coverage fresh while the server runs. Whatever goes wrong here is counted and logged, and
//! touches nothing else: neither readiness nor a decision.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::look::{Where, look};
use super::{Coverage, Entry, Judged};
use crate::metrics::{CoverageMetrics, KindLabels};
use crate::server::WallClock;
use crate::stop::Stop;

/// How often, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often the cluster is looked at. Default 10 min.
    pub every: Duration,
    /// After this long a look that failed is tried again. Default 1 min.
    pub retry: Duration,
    /// How long a look may take. Default 5 min.
    pub patience: Duration,
    /// Kinds that get a series of their own; all of them are counted. Default 200.
    pub series: usize,
    /// The name of the webhook configuration.
    pub webhook: String,
}

impl Config {
    /// The usual times, and the name of the webhook configuration.
    #[must_use]
    pub fn new(webhook: impl Into<String>) -> Self {
        Self {
            every: Duration::from_secs(600),
            retry: Duration::from_secs(60),
            patience: Duration::from_secs(300),
            series: 200,
            webhook: webhook.into(),
        }
    }
}

/// Looks again and again until it is told to stop.
pub async fn run(config: Config, client: Client, clock: WallClock, metrics: CoverageMetrics, mut stop: Stop) {
    let mut told = BTreeSet::new();
    loop {
        // A task of its own, so that a bug in reading somebody's schema ends that look and no more.
        let mut task = JoinSet::new();
        let (ours, at) = (client.clone(), Where::Named(config.webhook.clone()));
        task.spawn(async move { look(&ours, &at).await });
        let looked = tokio::select! {
            () = stop.told() => return,
            looked = timeout(config.patience, task.join_next()) => looked,
        };
        let looked = match looked {
            Ok(Some(Ok(looked))) => looked.map_err(|error| error.to_string()),
            Ok(Some(Err(error))) => Err(format!("{error}. This is a bug: please report it")),
            Ok(None) => Err("nothing was looked at. This is a bug: please report it".to_owned()),
            Err(_) => Err(format!("it took longer than {:?}", config.patience)),
        };
        let wait = match looked {
            Ok(cluster) => {
                tell(&Coverage::of(cluster), config.series, &metrics, &mut told);
                metrics.timestamp.set(clock().as_second());
                config.every
            }
            Err(error) => {
                metrics.failures.inc();
                tracing::warn!(
                    error,
                    "cannot tell which kinds that carry pods are judged; decisions do not depend on it"
                );
                config.retry
            }
        };
        tokio::select! {
            () = stop.told() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Sets the series, and logs what is new.
fn tell(coverage: &Coverage, series: usize, metrics: &CoverageMetrics, told: &mut BTreeSet<KindLabels>) {
    for why in &coverage.unread {
        tracing::warn!(why, "coverage is known in part only");
    }
    let now: BTreeSet<KindLabels> = coverage.not_judged().take(series).map(labels).collect();
    let new: Vec<String> = now
        .difference(told)
        .map(|it| format!("{}/{}", it.group, it.kind))
        .collect();
    if !new.is_empty() {
        tracing::warn!(
            kinds = new.join(" "),
            "kinds that carry pods are not judged: `datagate coverage` says why"
        );
    }
    // What stays is not touched, so that no scrape misses it.
    for gone in told.difference(&now) {
        metrics.uncovered.remove(gone);
    }
    for labels in &now {
        metrics.uncovered.get_or_create(labels).set(1);
    }
    metrics.uncovered_kinds.set(gauge(coverage.not_judged().count()));
    let opaque = coverage
        .entries
        .iter()
        .filter(|it| it.judged == Judged::CannotTell);
    metrics.opaque_kinds.set(gauge(opaque.count()));
    *told = now;
}

fn labels(entry: &Entry) -> KindLabels {
    KindLabels {
        group: entry.kind.group.clone(),
        kind: entry.kind.kind.clone(),
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body as Answer;
    use axum::http::{Request, Response};
    use jiff::Timestamp;
    use kube::client::Body;

    use super::*;
    use crate::coverage::{Cluster, Kind, Seen};
    use crate::metrics::Metrics;
    use crate::stop::stop;

    fn coverage(kinds: &[&str]) -> Coverage {
        let kind = |kind: &&str| Kind {
            group: "example.com".to_owned(),
            kind: (*kind).to_owned(),
            plural: kind.to_lowercase(),
            namespaced: true,
            versions: vec!["v1".to_owned()],
            seen: Seen {
                places: vec!["spec.containers".to_owned()],
                ..Seen::default()
            },
        };
        Coverage::of(Cluster {
            kinds: kinds.iter().map(kind).collect(),
            ..Cluster::default()
        })
    }

    fn series(metrics: &Metrics) -> Vec<String> {
        let text = metrics.encode().unwrap();
        let lines = text
            .lines()
            .filter_map(|it| it.strip_prefix("datagate_uncovered_kind"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn series_are_bounded_and_the_count_is_not() {
        let metrics = Metrics::new();
        let mut told = BTreeSet::new();
        tell(&coverage(&["A", "B", "C"]), 2, &metrics.coverage, &mut told);
        let of = |kind: &str| format!(r#"{{group="example.com",kind="{kind}"}} 1"#);
        assert_eq!(series(&metrics), ["s 3".to_owned(), of("A"), of("B")]);
        tell(&coverage(&["B", "C"]), 2, &metrics.coverage, &mut told);
        assert_eq!(series(&metrics), ["s 2".to_owned(), of("B"), of("C")]);
        tell(&coverage(&[]), 2, &metrics.coverage, &mut told);
        assert_eq!(series(&metrics), ["s 0"]);
    }

    #[tokio::test]
    async fn failures_are_counted_and_tried_again() {
        let metrics = Metrics::new();
        let config = Config {
            retry: Duration::from_millis(1),
            ..Config::new("datagate")
        };
        let refuse = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, std::io::Error>(Response::builder().status(403).body(Answer::empty()).unwrap())
        });
        let (stopper, told) = stop();
        let client = Client::new(refuse, "default");
        let task = tokio::spawn(run(
            config,
            client,
            Arc::new(Timestamp::now),
            metrics.coverage.clone(),
            told,
        ));
        while metrics.coverage.failures.get() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(metrics.coverage.timestamp.get(), 0);
        stopper.stop();
        task.await.unwrap();
    }
}
