//! A server as the program starts it, with an [`Admit`] that does what the body says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use datagate::metrics::Metrics;
use datagate::server::{Admit, Certs, Config, Error, Failure, Insight, Listeners, Readiness, Reply, serve};
use datagate::trace::Tracer;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, LONG};
use crate::pki::{Clock, Pems, Secret, issue};

/// A running server.
pub struct Rig {
    pub webhook: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
    pub secret: Secret,
    pub clock: Clock,
    pub pems: Pems,
    pub steps: Steps,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), Error>>,
}

/// Where requests and the test wait for each other.
#[derive(Clone)]
pub struct Steps {
    /// One for every request that waits.
    pub arrived: Arc<Semaphore>,
    /// Lets one request go on.
    pub go: Arc<Semaphore>,
}

struct Scripted(Steps);

impl Admit for Scripted {
    async fn admit(&self, body: Bytes, deadline: Instant) -> Reply {
        match &body[..body.len().min(5)] {
            b"panic" => panic!("as told"),
            b"hangs" => std::future::pending().await,
            b"waits" => {
                self.0.arrived.add_permits(1);
                self.0.go.acquire().await.unwrap().forget();
                reply("waited")
            }
            b"later" => Reply {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after: Some(2),
                body: Bytes::from_static(b"{}"),
            },
            b"large" => reply("x".repeat(8 * 1024 * 1024)),
            b"time?" => reply(format!("{:.1}", (deadline - Instant::now()).as_secs_f64())),
            _ => reply(format!("{} bytes", body.len())),
        }
    }

    fn refuse(&self, body: &[u8], why: Failure) -> Reply {
        assert!(!body.starts_with(b"panic twice"));
        reply(format!(
            "{why} | {} bytes, {}",
            body.len(),
            String::from_utf8_lossy(&body[..body.len().min(9)])
        ))
    }
}

fn reply(body: impl Into<Bytes>) -> Reply {
    Reply {
        status: StatusCode::OK,
        retry_after: None,
        body: body.into(),
    }
}

/// Times so long that none of them is reached.
pub fn patient() -> Config {
    Config {
        handshake_timeout: LONG,
        head_timeout: LONG,
        idle_timeout: LONG * 10,
        body_timeout: LONG,
        write_timeout: LONG,
        max_deadline: LONG,
        drain_delay: Duration::ZERO,
        drain_refuse: Duration::ZERO,
        cert_poll: Duration::from_millis(10),
        ..Config::default()
    }
}

impl Rig {
    pub async fn start(config: Config) -> Self {
        let pems = issue();
        let secret = Secret::holding(&pems);
        let rig = Self::start_with(config, secret, pems).await;
        until("a certificate is loaded", async || {
            rig.metrics.server.reloads.get() == 1
        })
        .await;
        rig
    }

    pub async fn start_with(config: Config, secret: Secret, pems: Pems) -> Self {
        Self::start_traced(config, secret, pems, None).await
    }

    pub async fn start_traced(config: Config, secret: Secret, pems: Pems, tracer: Option<Tracer>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(any, any).await.unwrap();
        let (webhook, admin) = (
            listeners.webhook.local_addr().unwrap(),
            listeners.admin.local_addr().unwrap(),
        );
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::new();
        let certs = Certs::new(secret.files(), clock.wall(), metrics.clone());
        let readiness = Readiness::new();
        let steps = Steps {
            arrived: Arc::new(Semaphore::new(0)),
            go: Arc::new(Semaphore::new(0)),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(
            config,
            listeners,
            certs,
            Scripted(steps.clone()),
            Insight {
                readiness: readiness.clone(),
                metrics: metrics.clone(),
                tracer,
                ..Insight::default()
            },
            async { stopped.await.unwrap_or(()) },
        ));
        Self {
            webhook,
            admin,
            metrics,
            readiness,
            secret,
            clock,
            pems,
            steps,
            stop: Some(stop),
            served,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.webhook).await.unwrap()
    }

    /// Gives the shutdown signal.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the server's end.
    pub async fn ended(&mut self) {
        timeout(LONG, &mut self.served)
            .await
            .expect("the server ends")
            .unwrap()
            .unwrap();
    }

    /// Waits until so many more requests wait in the `Admit`.
    pub async fn arrived(&self, count: u32) {
        timeout(LONG, self.steps.arrived.acquire_many(count))
            .await
            .expect("a request")
            .unwrap()
            .forget();
    }

    pub fn go(&self, count: usize) {
        self.steps.go.add_permits(count);
    }
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// Milliseconds.
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
