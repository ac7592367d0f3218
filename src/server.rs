//! The two ports: the webhook's (`POST /validate` over TLS) and the admin port (plain HTTP).
//!
//! This is the transport only. It owns the accept loop, because the limits a port open to a whole cluster needs
//! cannot be set on `axum::serve`; what a review says is for the [`Admit`] it is given. It promises three things:
//!
//! * a request that can be read is answered, whatever happens while it is decided;
//! * no client can hold more than a bounded part of memory, connections or time;
//! * a stop or a new certificate costs no request.

mod accept;
mod admin;
mod body;
mod certs;
mod guard;
mod link;
mod readiness;
mod stage;
mod tls;
mod webhook;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use self::certs::{CertError, CertFiles, Certs, ClientFiles, Given, Reload, WallClock};
pub use self::readiness::{Health, Readiness, Report};

use self::accept::{Port, Served, Spare, Tls};
use self::certs::Clients;
use self::guard::Times;
use self::link::{Links, Order};
use self::stage::Stage;
use crate::metrics::Metrics;
use crate::trace::Tracer;

/// Connections on the admin port: those of the kubelet and of a few that read metrics.
const ADMIN_CONNECTIONS: u32 = 64;

/// Turns the body of an `AdmissionReview` into the answer's body.
pub trait Admit: Send + Sync + 'static {
    /// Decides. An answer after `deadline` is worth nothing, and not waited for.
    fn admit(&self, body: Bytes, deadline: Instant) -> impl Future<Output = Reply> + Send;

    /// The refusal for a body that could not be handled, of which `body` may be only the beginning. It must not
    /// fail, and carries the review's own uid if that can be found.
    fn refuse(&self, body: &[u8], why: Failure) -> Reply;
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// To the API server anything but 200 is a broken webhook.
    pub status: StatusCode,
    /// Asks the client to come again after so many seconds, and closes the connection. Only with 429 or 503.
    pub retry_after: Option<u32>,
    /// JSON.
    pub body: Bytes,
}

/// Why a request could not be handled. The text is for the user who submitted the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Deciding panicked.
    #[error("an internal error of datagate; its log has the details. Please report it")]
    Panic,
    /// Deciding took too long.
    #[error("no decision in the time that the API server allows. Try again")]
    Deadline,
    /// The body is larger than allowed.
    #[error("the review is larger than {limit} bytes. Make the object smaller")]
    TooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the review had not arrived in full after {after:?}. Try again")]
    BodyTimeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The body broke off, or is not well-formed HTTP.
    #[error("the review broke off. Try again")]
    Unreadable,
}

/// All limits and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of one body. Default 32 MiB: the API server takes objects of 3 MiB and sends two of them, and its
    /// JSON writes `<`, `>` and `&` as six bytes each.
    pub max_body: usize,
    /// Bytes that all bodies being handled may hold together. Default 256 MiB. Beyond it requests are answered
    /// 503 with `Retry-After: 1`, which the API server heeds within its timeout.
    pub in_flight_bytes: usize,
    /// Connections on the webhook's port. Default 1024. Beyond it idle ones are closed, and a new one for which none
    /// could be closed is answered 503 with `Retry-After: 1`.
    pub max_connections: u32,
    /// Connections that may be open besides for being told so. Default 128. Beyond these, new ones wait unanswered.
    pub spare_connections: u32,
    /// How long a connection beyond the budget waits for a place. Default 250 ms.
    pub connection_wait: Duration,
    /// How long a connection must have been idle to be closed for want of a free one. Default 10 s.
    pub shed_idle: Duration,
    /// For a TLS handshake. Default 5 s.
    pub handshake_timeout: Duration,
    /// For a request's head: the first from the end of the handshake on, later ones from their first byte.
    /// Default 10 s.
    pub head_timeout: Duration,
    /// For a next request on a connection. Default 130 s: it must be longer than the 90 s for which the API server
    /// keeps a connection, or that writes a review into a closing one.
    pub idle_timeout: Duration,
    /// For a request's body. Default 10 s, and never longer than there is to decide.
    pub body_timeout: Duration,
    /// For the client to take some of an answer. Default 10 s.
    pub write_timeout: Duration,
    /// For the client to close its side, after an answer that was given before its request was read. Default 1 s.
    pub linger: Duration,
    /// The most there is for a decision, whatever the API server says. Default 4 s.
    pub max_deadline: Duration,
    /// How long requests are still answered after the shutdown signal. Default 10 s: as long as it may take all
    /// API servers to learn that this replica is no longer an endpoint.
    pub drain_delay: Duration,
    /// How long requests are then refused with 503 and `Retry-After: 0` before idle connections are closed.
    /// Default 1 s.
    pub drain_refuse: Duration,
    /// How long requests that are being answered are then waited for. Default 10 s. The pod's grace period must be
    /// longer than the three together.
    pub drain_timeout: Duration,
    /// How often the certificate's files, and the clients', are looked at. Default 1 s.
    pub cert_poll: Duration,
    /// Who may ask at the webhook's port. Default: everybody.
    pub clients: Option<ClientFiles>,
}

/// The sockets to serve on.
#[derive(Debug)]
pub struct Listeners {
    /// The webhook's port.
    pub webhook: TcpListener,
    /// The admin port.
    pub admin: TcpListener,
}

/// How the server can be looked into.
#[derive(Clone, Debug, Default)]
pub struct Insight {
    /// Whether requests may be sent here. It should hold all checks of others by now; the server adds its own.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Further pages of the admin port.
    pub pages: Router,
    /// Makes spans of requests.
    pub tracer: Option<Tracer>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port could not be bound.
    #[error("cannot listen on {address}: {source}. Is another process there? Choose another with {flag}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}. This is a bug: please report it")]
    Tls(#[from] rustls::Error),
}

/// Ends the connections of a port when the server is dropped.
struct EndAll(Arc<Links>);

/// Serves until `shutdown` is ready and all requests that came in time are answered.
///
/// A certificate that cannot be used keeps it from being ready, and is looked at again until it can.
pub async fn serve<A: Admit>(
    config: Config,
    listeners: Listeners,
    certs: Arc<Certs>,
    admit: A,
    insight: Insight,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let Insight {
        readiness,
        metrics,
        pages,
        tracer,
    } = insight;
    let stage = Arc::new(Stage::default());
    let clients = config
        .clients
        .clone()
        .map(|files| Clients::new(files, certs.provider(), metrics.clone()));
    let acceptor = TlsAcceptor::from(tls::config(certs.clone(), clients.clone())?);
    certs.refresh().await;
    if let Some(clients) = &clients {
        clients.refresh().await;
        let clients = clients.clone();
        readiness.add("clients", move || clients.health());
    }
    readiness.add("certificate", {
        let certs = certs.clone();
        move || certs.health()
    });
    readiness.add("serving", {
        let stage = stage.clone();
        move || stage.health()
    });

    let times = config.times();
    let links = Links::new(config.max_connections, metrics.server.connections.clone());
    let _ends = EndAll(links.clone());
    let spare_links = Links::new(config.spare_connections, Gauge::default());
    let _spare_ends = EndAll(spare_links.clone());
    let webhook = Port {
        listener: listeners.webhook,
        links: links.clone(),
        tls: Some(Tls {
            acceptor,
            timeout: config.handshake_timeout,
            metrics: metrics.clone(),
        }),
        shed_idle: config.shed_idle,
        shed: metrics.server.shed.clone(),
        served: Served {
            router: webhook::router(&config, admit, stage.clone(), metrics.clone(), tracer),
            stage: stage.clone(),
            times,
        },
        spare: Some(Spare {
            links: spare_links.clone(),
            patience: config.connection_wait,
            served: Served {
                router: webhook::busy(metrics.clone()),
                stage: stage.clone(),
                times,
            },
        }),
    };
    let admin_links = Links::new(ADMIN_CONNECTIONS, Gauge::default());
    let _admin_ends = EndAll(admin_links.clone());
    let admin = Port {
        listener: listeners.admin,
        links: admin_links,
        tls: None,
        shed_idle: config.shed_idle,
        shed: Counter::default(),
        // Its connections are kept to the end: who watches a stop should see it.
        served: Served {
            router: admin::router(readiness, metrics, pages),
            stage: Arc::default(),
            times,
        },
        spare: None,
    };

    let mut aside = JoinSet::new();
    aside.spawn(admin.accept());
    aside.spawn({
        let watch = certs.watch(config.cert_poll);
        async move { match watch.await {} }
    });
    if let Some(clients) = clients {
        let watch = clients.watch(config.cert_poll);
        aside.spawn(async move { match watch.await {} });
    }
    let stopping = async {
        shutdown.await;
        tracing::info!(delay = ?config.drain_delay, "stopping: no longer ready, still serving");
        stage.leave();
        sleep(config.drain_delay).await;
        stage.refuse();
        sleep(config.drain_refuse).await;
    };
    tokio::select! {
        never = webhook.accept() => match never {},
        () = stopping => {}
    }
    // The listener is closed by now.
    links.order(Order::Finish);
    spare_links.order(Order::Finish);
    let ended = async { futures::join!(links.ended(), spare_links.ended()) };
    if timeout(config.drain_timeout, ended).await.is_err() {
        tracing::warn!(
            connections = links.count().saturating_add(spare_links.count()),
            "requests are cut off, as they did not end in time"
        );
    }
    Ok(())
}

impl Config {
    fn times(&self) -> Times {
        Times {
            head: self.head_timeout,
            idle: self.idle_timeout,
            write: self.write_timeout,
            linger: self.linger,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body: 32 * 1024 * 1024,
            in_flight_bytes: 256 * 1024 * 1024,
            max_connections: 1024,
            spare_connections: 128,
            connection_wait: Duration::from_millis(250),
            shed_idle: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(130),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            max_deadline: Duration::from_secs(4),
            drain_delay: Duration::from_secs(10),
            drain_refuse: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
            cert_poll: Duration::from_secs(1),
            clients: None,
        }
    }
}

impl Listeners {
    /// Binds both ports; 0 takes any that is free.
    pub async fn bind(webhook: SocketAddr, admin: SocketAddr) -> Result<Self, Error> {
        Ok(Self {
            webhook: bind(webhook, "--listen").await?,
            admin: bind(admin, "--admin-listen").await?,
        })
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind {
        address,
        flag,
        source,
    })
}

impl Drop for EndAll {
    fn drop(&mut self) {
        self.0.order(Order::Abort);
    }
}
