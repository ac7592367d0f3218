//! The accept loop of one port, and what runs for each connection: TLS, then HTTP/1.1.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::guard::{Alarm, Guarded, Times};
use super::link::{Link, Links, Order, Phase, Place};
use super::stage::Stage;
use super::tls;
use crate::metrics::{HandshakeFailure, Metrics};

/// A pause after the system could not give us a connection, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a connection beyond the budget looks for idle ones.
const SHED_SOON: Duration = Duration::from_millis(50);

/// How often idle connections are looked for while none is free.
const SHED_EVERY: Duration = Duration::from_secs(1);

/// No request of the API server has a head of more than 2 KiB.
const MAX_HEAD: usize = 16 * 1024;

/// hyper's buffer for each connection. Larger is no faster, as a TLS record has 16 KiB.
const BUFFER: usize = 64 * 1024;

/// One port.
pub(super) struct Port {
    pub listener: TcpListener,
    pub links: Arc<Links>,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    pub shed_idle: Duration,
    pub shed: Counter,
    pub served: Served,
    /// None: beyond the budget new connections wait in the system's queue.
    pub spare: Option<Spare>,
}

/// Places beyond the budget: for connections that are told to come again.
#[derive(Clone)]
pub(super) struct Spare {
    pub links: Arc<Links>,
    /// How long one of them waits for a proper place.
    pub patience: Duration,
    pub served: Served,
}

/// A place for the next connection.
enum Slot {
    Proper(OwnedSemaphorePermit),
    Spare(OwnedSemaphorePermit, Spare),
}

/// What is done for TLS.
#[derive(Clone)]
pub(super) struct Tls {
    pub acceptor: TlsAcceptor,
    pub timeout: Duration,
    pub metrics: Arc<Metrics>,
}

/// What is done for HTTP.
#[derive(Clone)]
pub(super) struct Served {
    pub router: Router,
    pub stage: Arc<Stage>,
    pub times: Times,
}

/// A request being answered: whatever happens to it, the connection is idle afterwards.
struct Answering(Arc<Link>);

impl Port {
    /// Accepts connections until dropped.
    pub(super) async fn accept(self) -> Infallible {
        let port = Arc::new(self);
        loop {
            let Some(slot) = port.slot().await else {
                // Nobody closes the semaphore.
                std::future::pending::<()>().await;
                continue;
            };
            match port.listener.accept().await {
                Ok((stream, _peer)) => {
                    // While it was waited for, a proper place may have come free.
                    let slot = match slot {
                        Slot::Spare(place, spare) => port
                            .links
                            .slot_now()
                            .map_or(Slot::Spare(place, spare), Slot::Proper),
                        proper @ Slot::Proper(_) => proper,
                    };
                    match slot {
                        Slot::Proper(slot) => {
                            let place = port.links.open(slot);
                            let (tls, served) = (port.tls.clone(), port.served.clone());
                            tokio::spawn(connection(stream, place, tls, served));
                        }
                        Slot::Spare(slot, spare) => {
                            let place = spare.links.open(slot);
                            tokio::spawn(beyond(port.clone(), stream, place, spare));
                        }
                    }
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// A place, or one from which to say that there is none. Without either, new connections wait in the system's queue.
    async fn slot(&self) -> Option<Slot> {
        let Some(spare) = &self.spare else {
            return self.proper(SHED_EVERY).await.map(Slot::Proper);
        };
        loop {
            if let Some(slot) = self.links.slot_now() {
                return Some(Slot::Proper(slot));
            }
            self.shed();
            // Not waiting for a proper place, which is for those that are accepted already.
            if let Ok(slot) = timeout(SHED_SOON, spare.links.slot()).await {
                return slot.map(|slot| Slot::Spare(slot, spare.clone()));
            }
        }
    }

    /// Waits for a proper place. New connections are worth more than those that have been idle for long.
    async fn proper(&self, shed_every: Duration) -> Option<OwnedSemaphorePermit> {
        let mut slot = pin!(self.links.slot());
        let mut patience = Duration::ZERO;
        loop {
            if let Ok(slot) = timeout(patience, &mut slot).await {
                return slot;
            }
            self.shed();
            patience = shed_every;
        }
    }

    fn shed(&self) {
        self.shed.inc_by(self.links.shed(self.shed_idle));
    }
}

/// A connection beyond the budget: served if a place comes free in moments, and told to come again otherwise. In the
/// system's queue its client would learn nothing before its own time is over.
async fn beyond(port: Arc<Port>, stream: TcpStream, place: Place, spare: Spare) {
    let proper = timeout(spare.patience, port.proper(SHED_SOON));
    match unless_ordered(&place.link, proper).await {
        None => {}
        Some(Ok(Some(slot))) => {
            let proper = port.links.open(slot);
            drop(place);
            connection(stream, proper, port.tls.clone(), port.served.clone()).await;
        }
        Some(_) => connection(stream, place, port.tls.clone(), spare.served).await,
    }
}

async fn connection(stream: TcpStream, place: Place, tls: Option<Tls>, served: Served) {
    // Else an answer in two packets waits 40 ms for the first to be acknowledged.
    let _ = stream.set_nodelay(true);
    let link = &place.link;
    let Some(tls) = tls else {
        return serve(stream, link, served).await;
    };
    // Before its first request a connection has nothing to finish.
    let shaken = unless_ordered(link, timeout(tls.timeout, tls.acceptor.accept(stream))).await;
    let failure = match shaken {
        None => return,
        Some(Ok(Ok(stream))) => return serve(stream, link, served).await,
        Some(Ok(Err(error))) => tls::classify(&error),
        Some(Err(_elapsed)) => HandshakeFailure::Timeout,
    };
    tracing::debug!(reason = failure.as_str(), "a TLS handshake failed");
    tls.metrics.server.handshake(failure);
}

async fn serve<T>(stream: T, link: &Arc<Link>, served: Served)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let io = TokioIo::new(Guarded::new(stream, link.clone(), served.times));
    let service = service_fn(|request: Request<Incoming>| {
        let answering = Answering::new(link.clone());
        let answer = served.router.clone().oneshot(request);
        let stage = served.stage.clone();
        async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if stage.leaves() {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if response
                .headers()
                .get(header::CONNECTION)
                .is_some_and(|value| value == "close")
            {
                answering.0.linger();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let http = http1::Builder::new()
        // Ours instead: see `guard`.
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    let mut http = pin!(http);
    let mut finishing = false;
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        loop {
            match link.heed(cx.waker()) {
                Order::Abort => return Poll::Ready(()),
                Order::Finish if !finishing => {
                    finishing = true;
                    http.as_mut().graceful_shutdown();
                }
                Order::Serve | Order::Finish => {}
            }
            // How a connection ended concerns nobody: what went wrong with a request has been counted.
            if http.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // Here and not in the I/O, because hyper does not ask for more between an answer and the next
            // request if it has asked before the answer.
            let (phase, since) = link.state();
            let Some(until) = served.times.until(phase, since) else {
                return Poll::Pending;
            };
            if phase == Phase::Idle && finishing || !alarm.passed(until, cx) {
                return Poll::Pending;
            }
            if phase != Phase::Idle {
                return Poll::Ready(());
            }
            link.order(Order::Finish);
        }
    })
    .await;
}

async fn unless_ordered<T>(link: &Link, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match link.heed(cx.waker()) {
        Order::Serve => future.as_mut().poll(cx).map(Some),
        Order::Finish | Order::Abort => Poll::Ready(None),
    })
    .await
}

/// Whether the client went away before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

impl Answering {
    fn new(link: Arc<Link>) -> Self {
        link.begin();
        Self(link)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests;
