//! `datagate serve`: puts the parts together and runs them until it is told to stop.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::admission::{Admission, DecisionLog, Mode};
use crate::cli::serve::{LogFormat, ServeOptions};
use crate::coverage;
use crate::index::{self, Index};
use crate::live::{self, KubeFetch};
use crate::metrics::Metrics;
use crate::server::{self, CertFiles, Certs, Listeners, Readiness, WallClock};
use crate::status;
use crate::stop::{Stop, stop};

/// Where the Lease lives if nothing says where datagate itself does.
const DEFAULT_NAMESPACE: &str = "datagate-system";

/// Why the server did not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime, the signals or the log could not be set up.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// No cluster is configured.
    #[error("cannot find a cluster: {0}. Set KUBECONFIG, or run in a pod with a service account")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// The client could not be made.
    #[error("cannot talk to the cluster: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The ports could not be served.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// A second signal came while requests were still answered.
    #[error("stopped at once by a second signal; requests that were being answered are lost")]
    Aborted,
    /// A part that runs for ever ended by itself.
    #[error("a part of the server ended: {0}. This is a bug: please report it")]
    Ended(String),
}

/// Runs the server on a runtime of its own.
///
/// # Errors
///
/// If it cannot start, or a part of it ends.
pub fn run(options: ServeOptions) -> Result<(), Error> {
    log_to_stderr(options.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    runtime.block_on(serve(options))
}

/// Diagnostics go to standard error; standard output belongs to the decision log.
fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("DATAGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // An earlier subscriber is a test's, and stays.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

async fn serve(options: ServeOptions) -> Result<(), Error> {
    let clock: WallClock = Arc::new(Timestamp::now);
    let (client, _) = client().await?;
    let mut metrics = Metrics::new();
    let readiness = Readiness::new();
    let index = Index::new(options.settings, &mut metrics, &readiness);
    let metrics = Arc::new(metrics);

    let fetch = KubeFetch::new(client.clone(), live::Config::default(), metrics.live.clone());
    let log = DecisionLog::to(io::stdout()).map_err(Error::Start)?;
    let mode = if options.observe {
        Mode::Observe
    } else {
        Mode::Enforce
    };
    let admission = Admission::new(index.worlds(), fetch, clock.clone(), metrics.clone(), log, mode);
    let files = CertFiles {
        cert: options.tls_cert,
        key: options.tls_key,
    };
    let certs = Certs::new(files, clock.clone(), metrics.clone());
    let listeners = Listeners::bind(options.listen, options.admin_listen).await?;
    let listen = listeners.webhook.local_addr().map_err(Error::Start)?;
    let admin = listeners.admin.local_addr().map_err(Error::Start)?;
    let mut status = status::Config::new(options.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE));
    let coverage = coverage::Config::new(&options.webhook_name);
    status.webhook = Some(options.webhook_name);
    status.observe = options.observe;
    status.excluded_namespaces.extend(options.excluded_namespaces);

    let (first, second) = signals().map_err(Error::Start)?;
    let (stopper, told) = stop();
    let snapshots = index.snapshots();
    // No part of the server: whatever becomes of it, decisions go on.
    let covering = tokio::spawn(coverage::run(
        coverage,
        client.clone(),
        clock.clone(),
        metrics.coverage.clone(),
        told.clone(),
    ));
    let mut parts: JoinSet<&'static str> = JoinSet::new();
    parts.spawn(named(
        "index",
        index::run(index, index::Config::default(), client.clone(), told.clone()),
    ));
    parts.spawn(named(
        "status",
        status::run(
            status,
            client,
            snapshots,
            clock,
            metrics.status.clone(),
            told.clone(),
        ),
    ));
    let config = server::Config {
        drain_delay: options.drain_delay,
        ..server::Config::default()
    };
    let serving = server::serve(config, listeners, certs, admission, readiness, metrics, first);
    tracing::info!(%listen, %admin, version = env!("CARGO_PKG_VERSION"), "datagate runs");
    tokio::select! {
        served = serving => served?,
        // The index and the status run for ever; without the index decisions would silently grow old.
        ended = ended(&mut parts, told) => return Err(Error::Ended(ended)),
        () = second => return Err(Error::Aborted),
    }
    stopper.stop();
    while parts.join_next().await.is_some() {}
    covering.abort();
    tracing::info!("datagate stopped");
    Ok(())
}

/// A client for the cluster of the kubeconfig, or the one this runs in. It does not retry by itself: whoever asks
/// knows for how long an answer is worth having. With it comes the namespace of the context.
pub(crate) async fn client() -> Result<(Client, String), Error> {
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| Error::Config(Box::new(error)))?;
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))?;
    Ok((client, namespace))
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// The part that ended although nobody told it to.
async fn ended(parts: &mut JoinSet<&'static str>, mut told: Stop) -> String {
    tokio::select! {
        () = told.told() => std::future::pending().await,
        part = parts.join_next() => match part {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "all".to_owned(),
        },
    }
}

/// Ready at the first SIGTERM or SIGINT, and at the second.
pub(crate) fn signals() -> io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let (heard, count) = watch::channel(0_u8);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            heard.send_modify(|count| *count = count.saturating_add(1));
        }
    });
    let at = |wanted: u8| {
        let mut count = count.clone();
        async move {
            // An error means that nothing can be heard any more.
            let _ = count.wait_for(|count| *count >= wanted).await;
        }
    };
    Ok((at(1), at(2)))
}
