//! `datagate serve`: puts the parts together and runs them until it is told to stop.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::admission::{Admission, DecisionLog, KeyError, Mode, Pseudonyms};
use crate::authority;
use crate::cli::certificate::Source;
use crate::cli::serve::{LogFormat, ServeOptions};
use crate::coverage;
use crate::debug::Debug;
use crate::index::{self, Index};
use crate::live::{self, KubeFetch};
use crate::metrics::Metrics;
use crate::object;
use crate::registration;
use crate::server::{self, Certs, Insight, Listeners, Readiness, WallClock};
use crate::status;
use crate::stop::{Stop, stop};
use crate::trace::{RootsError, Tracer};
use crate::trust::Trust;

/// Where the Lease lives if nothing says where datagate itself does.
const DEFAULT_NAMESPACE: &str = "datagate-system";

/// After so long a part that failed is started again.
const ANEW: Duration = Duration::from_secs(5);

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
    /// Names cannot be replaced.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] RootsError),
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
    let said = std::env::var("DATAGATE_LOG").ok();
    let filter = said.and_then(|it| it.parse().ok()).unwrap_or_else(|| {
        Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("kube", LevelFilter::WARN)
    });
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
    };
    // An earlier subscriber is a test's, and stays.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

async fn serve(options: ServeOptions) -> Result<(), Error> {
    let clock: WallClock = Arc::new(Timestamp::now);
    let telemetry = options.telemetry;
    let key = telemetry.pseudonymise_key.as_deref();
    let pseudonyms = key.map(Pseudonyms::read).transpose()?;
    let (client, _) = client().await?;
    let mut metrics = Metrics::new();
    let readiness = Readiness::new();
    metrics
        .registry_mut()
        .register_collector(Box::new(readiness.clone()));
    let index = Index::new(options.settings.clone(), &mut metrics, &readiness);
    let (registered, registrations) = registration::channel();
    let own_ca = matches!(options.certificate, Source::Own(_));
    let trust = Trust::new(registrations.clone(), own_ca);
    metrics.registry_mut().register_collector(Box::new(trust.clone()));
    readiness.add("trust", {
        let trust = trust.clone();
        move || trust.health()
    });
    let metrics = Arc::new(metrics);
    let traces = telemetry
        .traces
        .map(|config| Tracer::new(config, clock.clone(), metrics.trace.clone()));
    let (tracer, exporter) = traces.transpose()?.unzip();

    let fetch = KubeFetch::new(client.clone(), live::Config::default(), metrics.live.clone());
    let log = DecisionLog::to(io::stdout()).map_err(Error::Start)?;
    let log = log.with_pseudonyms(pseudonyms);
    let mode = if options.observe {
        Mode::Observe
    } else {
        Mode::Enforce
    };
    let mut admission = Admission::new(index.worlds(), fetch, clock.clone(), metrics.clone(), log, mode);
    if let Some(after) = options.refuse_when_stale_for {
        admission = admission.refuse_when_stale(index.lives(), after);
    }
    let namespace = options.namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let (certs, own_ca) = match options.certificate {
        Source::Files(files) => (Certs::new(files, clock.clone(), metrics.clone()), None),
        Source::Own(own) => {
            let config = authority::Config {
                namespace: namespace.clone(),
                secret: own.secret,
                names: own.names,
                owner: own.owner,
                webhook: options.webhook_name.clone(),
                times: own.times,
            };
            (Certs::given(clock.clone(), metrics.clone()), Some(config))
        }
    };
    trust.serve(certs.clone());
    let listeners = Listeners::bind(options.listen, options.admin_listen).await?;
    let listen = listeners.webhook.local_addr().map_err(Error::Start)?;
    let admin = listeners.admin.local_addr().map_err(Error::Start)?;
    let mut status = status::Config::new(namespace);
    let coverage = coverage::Config::new(&options.webhook_name);
    let webhook_name = options.webhook_name.clone();
    status.webhook = Some(options.webhook_name);
    status.observe = options.observe;
    status.replica_uid = options.replica_uid;
    if let Some(replica) = options.replica {
        status.replica = replica;
    }
    status.excluded_namespaces.extend(options.excluded_namespaces);

    let (first, second) = signals().map_err(Error::Start)?;
    let (stopper, told) = stop();
    let debug = Debug {
        worlds: index.worlds(),
        lives: index.lives(),
        readiness: readiness.clone(),
        settings: options.settings,
        mode,
        clock: clock.clone(),
    };
    let exporting = exporter.map(|exporter| tokio::spawn(exporter.run(told.clone())));
    let inputs = status::Inputs {
        snapshots: index.snapshots(),
        folded: index.folded(),
        readiness: readiness.clone(),
        registrations: registrations.clone(),
    };
    // No parts of the server: whatever becomes of them, decisions go on.
    let watching = tokio::spawn(always("registration", {
        let (name, client, told) = (webhook_name, client.clone(), told.clone());
        move || {
            let config = object::Config::default();
            registration::run(
                config,
                name.clone(),
                client.clone(),
                registered.clone(),
                told.clone(),
            )
        }
    }));
    let certifying = own_ca.map(|config| {
        let (client, certs, told) = (client.clone(), certs.clone(), told.clone());
        let metrics = metrics.authority.clone();
        tokio::spawn(always("authority", move || {
            authority::run(
                config.clone(),
                client.clone(),
                certs.clone(),
                registrations.clone(),
                metrics.clone(),
                told.clone(),
            )
        }))
    });
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
            inputs,
            clock,
            metrics.status.clone(),
            told.clone(),
        ),
    ));
    let config = server::Config {
        drain_delay: options.drain_delay,
        clients: options.clients,
        ..server::Config::default()
    };
    let insight = Insight {
        readiness,
        metrics,
        pages: debug.router(),
        tracer,
    };
    let serving = server::serve(config, listeners, certs, admission, insight, first);
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
    watching.abort();
    if let Some(certifying) = certifying {
        certifying.abort();
    }
    if let Some(exporting) = exporting {
        // It ends soon, and what it makes of the last traces changes nothing.
        let _ = exporting.await;
    }
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

/// Runs something that decisions do not depend on until it ends by itself; a bug in it is told and it begins anew.
async fn always<F>(name: &'static str, run: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(run()).await {
        tracing::error!(
            name,
            %error,
            "a part of the server failed and is started again. This is a bug: please report it"
        );
        sleep(ANEW).await;
    }
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
fn signals() -> io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
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
