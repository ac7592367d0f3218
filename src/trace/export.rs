//! Sends ended spans to the collector, in batches, on a task of its own.
//!
//! A batch that cannot be delivered is counted and forgotten: a trace is a help, and trying again would only move the
//! loss to the queue.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::otlp;
use super::{Config, Ended, random};
use crate::metrics::{SpanOutcome, TraceMetrics};
use crate::stop::Stop;

/// Requests in one export.
const BATCH: usize = 256;

/// For what still waits when the program ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Of an answer is read so much, so that its connection can be used again.
const ANSWER: usize = 64 * 1024;

/// Why spans cannot be sent over TLS.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot send traces to {endpoint}: {source}. Give the certificates of your CAs as a file in SSL_CERT_FILE, or use http:// \
     to a collector in the cluster"
)]
pub struct RootsError {
    endpoint: Uri,
    source: io::Error,
}

/// Sends spans. To be run.
#[derive(Debug)]
pub struct Exporter {
    config: Config,
    ended: mpsc::Receiver<Ended>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    instance: String,
    metrics: TraceMetrics,
    /// Whether the last export failed, so that only changes are told.
    failing: bool,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the collector answered {0}")]
    Refused(StatusCode),
    #[error("no answer within {0:?}")]
    Slow(Duration),
    #[error(transparent)]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error(transparent)]
    Request(#[from] axum::http::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Exporter {
    pub(super) fn new(
        config: Config,
        ended: mpsc::Receiver<Ended>,
        metrics: TraceMetrics,
    ) -> Result<Self, RootsError> {
        let tls = tls(&config.endpoint).map_err(|source| RootsError {
            endpoint: config.endpoint.clone(),
            source,
        })?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            instance: otlp::hex(&random::<16>().unwrap_or_default()),
            config,
            ended,
            metrics,
            failing: false,
        })
    }

    /// Exports until it is told to stop, then what is left.
    pub async fn run(mut self, mut stop: Stop) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.told() => break,
                more = gather(&mut self.ended, &mut batch, self.config.linger) => if !more {
                    return;
                },
            }
            self.export(std::mem::take(&mut batch)).await;
        }
        let rest = async {
            loop {
                while batch.len() < BATCH
                    && let Ok(ended) = self.ended.try_recv()
                {
                    batch.push(ended);
                }
                if batch.is_empty() {
                    return;
                }
                self.export(std::mem::take(&mut batch)).await;
            }
        };
        let _ = timeout(FAREWELL, rest).await;
    }

    async fn export(&mut self, batch: Vec<Ended>) {
        let spans = batch.iter().map(Ended::spans).sum();
        match self.post(&batch).await {
            Ok(()) => {
                self.metrics.count(SpanOutcome::Exported, spans);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(endpoint = %self.config.endpoint, "traces are exported again");
                }
            }
            Err(error) => {
                self.metrics.count(SpanOutcome::Failed, spans);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(endpoint = %self.config.endpoint, %error, "cannot export traces: they are lost");
                }
            }
        }
    }

    async fn post(&self, batch: &[Ended]) -> Result<(), Failure> {
        let body = otlp::request(&self.instance, batch)?;
        let request = Request::post(&self.config.endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let send = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            // What it says does not matter, but that it has been read does.
            let _ = Limited::new(response.into_body(), ANSWER).collect().await;
            match status.is_success() {
                true => Ok(()),
                false => Err(Failure::Refused(status)),
            }
        };
        let limit = self.config.timeout;
        timeout(limit, send).await.map_err(|_| Failure::Slow(limit))?
    }
}

/// Waits for a first, and then a while for more; false: there will be none. Whenever it is dropped, what has come is in the
/// batch.
async fn gather(ended: &mut mpsc::Receiver<Ended>, batch: &mut Vec<Ended>, linger: Duration) -> bool {
    match ended.recv().await {
        Some(first) => batch.push(first),
        None => return false,
    }
    let until = Instant::now() + linger;
    while batch.len() < BATCH {
        let room = BATCH.saturating_sub(batch.len());
        let more: Result<usize, _> = timeout_at(until, ended.recv_many(batch, room)).await;
        if !more.is_ok_and(|count| count > 0) {
            break;
        }
    }
    true
}

/// Root certificates are read only for whom they are needed: an image need not have any.
fn tls(endpoint: &Uri) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match endpoint.scheme_str() {
        Some("https") => builder.with_native_roots()?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}
