//! What is known of each open connection, and the orders given to it.
//!
//! A link is shared by the three that know a connection: its I/O (when bytes come), its service (when a request
//! is being answered) and the server (when it has to end). It is made of atomics, because it is touched for every
//! request; the list of links is locked only when a connection opens or closes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures::task::AtomicWaker;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The connections that are open on one port.
#[derive(Debug)]
pub(super) struct Links {
    capacity: u32,
    slots: Arc<Semaphore>,
    live: Mutex<HashMap<u64, Arc<Link>>>,
    next: AtomicU64,
    gauge: Gauge,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    opened: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds after `opened`.
    since: AtomicU64,
    order: AtomicU8,
    lingers: AtomicBool,
    task: AtomicWaker,
}

/// A connection's place among those that are open, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub link: Arc<Link>,
    id: u64,
    links: Arc<Links>,
    _slot: OwnedSemaphorePermit,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Opened; its first request has not come in full.
    Fresh,
    /// A later request is coming.
    Head,
    /// A request is being answered.
    Busy,
    /// Kept open for a next request.
    Idle,
}

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// End after the request that is being answered, or at once if there is none.
    Finish,
    /// End at once.
    Abort,
}

impl Links {
    pub(super) fn new(capacity: u32, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            slots: Arc::new(Semaphore::new(capacity as usize)),
            live: Mutex::default(),
            next: AtomicU64::new(0),
            gauge,
        })
    }

    /// Waits for a free place. None if the list was closed.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.ok()
    }

    /// A free place, if there is one now.
    pub(super) fn slot_now(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// Takes a place for a connection that has just been opened.
    pub(super) fn open(self: &Arc<Self>, slot: OwnedSemaphorePermit) -> Place {
        let link = Arc::new(Link::new(Instant::now()));
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.locked(|live| live.insert(id, link.clone()));
        self.gauge.inc();
        Place {
            link,
            id,
            links: self.clone(),
            _slot: slot,
        }
    }

    /// Ends the connections that have been idle for longer than `age`; says how many.
    pub(super) fn shed(&self, age: Duration) -> u64 {
        let idle: Vec<_> = self.locked(|live| {
            live.values()
                .filter(|link| link.idle_for().is_some_and(|idle| idle > age))
                .cloned()
                .collect()
        });
        let count = idle.len() as u64;
        idle.iter().for_each(|link| link.order(Order::Finish));
        count
    }

    /// Tells every connection.
    pub(super) fn order(&self, order: Order) {
        let all: Vec<_> = self.locked(|live| live.values().cloned().collect());
        all.iter().for_each(|link| link.order(order));
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.locked(|live| live.len())
    }

    /// Waits until none is open.
    pub(super) async fn ended(&self) {
        // Every open connection holds a slot, so having all of them means that none is open. They are given back
        // at once; if the semaphore is closed there is nobody to wait for.
        let _ = self.slots.acquire_many(self.capacity).await;
    }

    fn locked<T>(&self, act: impl FnOnce(&mut HashMap<u64, Arc<Link>>) -> T) -> T {
        act(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.links.locked(|live| live.remove(&self.id));
        self.links.gauge.dec();
    }
}

impl Link {
    fn new(opened: Instant) -> Self {
        Self {
            opened,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since: AtomicU64::new(0),
            order: AtomicU8::new(Order::Serve as u8),
            lingers: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Bytes came.
    pub(super) fn heard(&self) {
        // The time for a first request runs from the opening, or a byte just before its end would double it.
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// A request is about to be answered.
    pub(super) fn begin(&self) {
        self.enter(Phase::Busy);
    }

    /// The request is answered.
    pub(super) fn end(&self) {
        self.enter(Phase::Idle);
    }

    /// What the connection does, and since when.
    pub(super) fn state(&self) -> (Phase, Instant) {
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        (self.phase(), self.opened + since)
    }

    fn idle_for(&self) -> Option<Duration> {
        match self.state() {
            (Phase::Idle, since) => Some(since.elapsed()),
            _ => None,
        }
    }

    /// Has the close of this connection wait for the other side to have read the answer.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    pub(super) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        self.task.wake();
    }

    /// The order in force; `waker` is called when it changes.
    pub(super) fn heed(&self, waker: &Waker) -> Order {
        self.task.register(waker);
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Abort,
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    fn enter(&self, phase: Phase) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_idle_for_long_is_shed() {
        let links = Links::new(3, Gauge::default());
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(links.open(links.slot().await.unwrap()));
        }
        places[0].link.end();
        places[1].link.begin();
        tokio::time::advance(Duration::from_secs(5)).await;
        places[2].link.end();
        assert_eq!(links.shed(Duration::from_secs(4)), 1);
        let orders: Vec<_> = places.iter().map(|p| p.link.heed(Waker::noop())).collect();
        assert_eq!(orders, [Order::Finish, Order::Serve, Order::Serve]);
        links.order(Order::Abort);
        assert_eq!(places[0].link.heed(Waker::noop()), Order::Abort);
        links.order(Order::Finish);
        assert_eq!(
            places[0].link.heed(Waker::noop()),
            Order::Abort,
            "an order is never softened"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn ended_when_the_last_place_is_given_back() {
        let links = Links::new(2, Gauge::default());
        let place = links.open(links.slot().await.unwrap());
        let mut ended = std::pin::pin!(links.ended());
        assert_eq!((links.count(), links.gauge.get()), (1, 1));
        assert!(futures::poll!(&mut ended).is_pending());
        drop(place);
        assert!(futures::poll!(&mut ended).is_ready());
        assert_eq!((links.count(), links.gauge.get()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_a_first_head_runs_from_the_opening() {
        let link = Link::new(Instant::now());
        let opened = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        link.heard();
        assert_eq!(link.state(), (Phase::Fresh, opened));
        link.begin();
        link.end();
        tokio::time::advance(Duration::from_secs(3)).await;
        link.heard();
        assert_eq!(link.state(), (Phase::Head, opened + Duration::from_secs(6)));
    }
}
