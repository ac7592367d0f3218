//! Traces, if `--otlp-endpoint` asks for them: one span for each sampled request, a child for each round of look-ups.
//!
//! Nothing that names a person, an object or a namespace becomes an attribute. The span of a request travels with its
//! task, so code in between does not know of it; without one, [`note`] is a look at a thread-local variable. An ended
//! span goes into a bounded queue or is counted as lost: no request ever waits for the exporter.

mod export;
mod otlp;
mod parent;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use axum::http::Uri;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::metrics::{Outcome, SpanOutcome, TraceMetrics};
use crate::server::WallClock;

pub use self::export::{Exporter, RootsError};
use self::parent::Parent;

/// At most this many distinct reasons are told of a request.
const REASONS: usize = 16;

tokio::task_local! {
    static CURRENT: RefCell<Live>;
}

/// Where spans go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The collector's address; spans are posted to it as it is.
    pub endpoint: Uri,
    /// How many of the requests that come without a trace of their own.
    pub ratio: Ratio,
    /// Ended spans that may wait. Default 2048.
    pub queue: usize,
    /// How long a span may wait for others. Default 2 s.
    pub linger: Duration,
    /// For the collector to answer. Default 5 s.
    pub timeout: Duration,
}

/// A part of all requests, between none and each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u64);

/// Makes spans. Clones share the queue.
#[derive(Clone)]
pub struct Tracer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: mpsc::Sender<Ended>,
    ratio: Ratio,
    clock: WallClock,
    metrics: TraceMetrics,
}

/// A request's span while it is handled. Dropping it ends it.
pub struct Live {
    tracer: Tracer,
    begun: Instant,
    ended: Ended,
}

/// A span that has ended, or will have, with its children.
#[derive(Clone, Debug)]
struct Ended {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    start: Timestamp,
    took: Duration,
    outcome: Outcome,
    decided: Option<Decided>,
    rounds: Vec<Round>,
}

/// What is told of a decision. Every text is one of a list that is known at compile time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The kind submitted, or `other`.
    pub kind: &'static str,
    /// `CREATE`, `UPDATE`, ...
    pub operation: &'static str,
    /// `Allowed`, `Denied`, ...
    pub decision: &'static str,
    /// On what ground.
    pub ground: &'static str,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
    /// How many policies govern it.
    pub policies: usize,
    /// How many findings there are.
    pub findings: usize,
    /// Their reasons, each once, as many as are told.
    pub reasons: Vec<&'static str>,
}

/// One round of look-ups.
#[derive(Clone, Debug)]
struct Round {
    id: [u8; 8],
    /// After the start of the request.
    offset: Duration,
    took: Duration,
    needs: usize,
}

/// The span that a request's handling goes into, if it has one.
pub async fn within<F: Future>(span: Option<Live>, handling: F) -> F::Output {
    match span {
        Some(span) => CURRENT.scope(RefCell::new(span), handling).await,
        None => handling.await,
    }
}

/// Notes something on the span of this task's request, if it has one.
pub fn note(what: impl FnOnce(&mut Live)) {
    // No span is the usual case; one that is borrowed already cannot be, and is no reason to panic.
    let _ = CURRENT.try_with(|span| span.try_borrow_mut().map(|mut span| what(&mut span)));
}

impl Tracer {
    /// A tracer, and the exporter to be run for it.
    ///
    /// # Errors
    ///
    /// If the endpoint is `https` and this machine has no root certificates.
    pub fn new(
        config: Config,
        clock: WallClock,
        metrics: TraceMetrics,
    ) -> Result<(Self, Exporter), RootsError> {
        let (queue, ended) = mpsc::channel(config.queue.max(1));
        let shared = Shared {
            queue,
            ratio: config.ratio,
            clock,
            metrics: metrics.clone(),
        };
        let exporter = Exporter::new(config, ended, metrics)?;
        let tracer = Self {
            shared: Arc::new(shared),
        };
        Ok((tracer, exporter))
    }

    /// The span of a request, if it is sampled: by whoever began its trace (`traceparent`), or else by the ratio.
    #[must_use]
    pub fn begin(&self, traceparent: Option<&[u8]>) -> Option<Live> {
        let parent = traceparent.and_then(Parent::read);
        if parent.as_ref().is_some_and(|parent| !parent.sampled) {
            return None;
        }
        let trace = match &parent {
            Some(parent) => parent.trace,
            None => self.shared.ratio.sample(random()?)?,
        };
        let ended = Ended {
            trace,
            id: random()?,
            parent: parent.map(|parent| parent.span),
            start: (self.shared.clock)(),
            took: Duration::ZERO,
            // Nobody says how it ended if its task is dropped.
            outcome: Outcome::Cancelled,
            decided: None,
            rounds: Vec::new(),
        };
        Some(Live {
            tracer: self.clone(),
            begun: Instant::now(),
            ended,
        })
    }
}

impl Live {
    /// How the request ended.
    pub fn outcome(&mut self, outcome: Outcome) {
        self.ended.outcome = outcome;
    }

    /// What was decided.
    pub fn decided(&mut self, decided: Decided) {
        self.ended.decided = Some(decided);
    }

    /// A round of so many look-ups, begun then and ended now.
    pub fn round(&mut self, begun: Instant, needs: usize) {
        let Some(id) = random() else { return };
        self.ended.rounds.push(Round {
            id,
            offset: begun.saturating_duration_since(self.begun),
            took: begun.elapsed(),
            needs,
        });
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let shared = &self.tracer.shared;
        let Ok(place) = shared.queue.try_reserve() else {
            shared
                .metrics
                .count(SpanOutcome::QueueFull, self.ended.rounds.len().saturating_add(1));
            return;
        };
        self.ended.took = self.begun.elapsed();
        place.send(self.ended.clone());
    }
}

impl Ended {
    /// The spans it becomes.
    fn spans(&self) -> usize {
        self.rounds.len().saturating_add(1)
    }
}

impl Decided {
    /// Adds a reason, unless it is there or there are enough.
    pub fn reason(&mut self, reason: &'static str) {
        if self.reasons.len() < REASONS && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

impl Config {
    /// Spans to this address, a hundredth of all requests.
    #[must_use]
    pub fn new(endpoint: Uri) -> Self {
        Self {
            endpoint,
            ratio: Ratio::new(0.01).unwrap_or(Ratio(0)),
            queue: 2048,
            linger: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Ratio {
    /// From a number between 0 and 1.
    #[must_use]
    pub fn new(ratio: f64) -> Option<Self> {
        // A float has 53 bits, so 2^63 is exact; a cast saturates.
        let part = |ratio: f64| (ratio * (1_u64 << 63) as f64) as u64;
        (0.0..=1.0).contains(&ratio).then(|| Self(part(ratio)))
    }

    /// The trace, if it is among the sampled. By its last bytes, as all samplers by ratio do, so that programs with the
    /// same ratio sample the same traces.
    fn sample(self, trace: [u8; 16]) -> Option<[u8; 16]> {
        let low = u128::from_be_bytes(trace) as u64;
        ((low >> 1) < self.0).then_some(trace)
    }
}

/// An identifier; all zeros would be none.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut id = [0; N];
    rand::fill(&mut id).ok()?;
    (id != [0; N]).then_some(id)
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("ratio", &self.shared.ratio)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn ratios() {
        let of = |low: u64| {
            let mut trace = [7; 16];
            trace[8..].copy_from_slice(&low.to_be_bytes());
            trace
        };
        for (ratio, low, sampled) in [
            (0.0, 0, false),
            (1.0, u64::MAX, true),
            (0.5, u64::MAX / 2, true),
            (0.5, u64::MAX / 2 + 1, false),
        ] {
            let found = Ratio::new(ratio).unwrap().sample(of(low));
            assert_eq!(found.is_some(), sampled, "{ratio} {low}");
        }
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new(wrong), None);
        }
    }

    #[test]
    fn outside_of_a_request_nothing_is_noted() {
        let mut noted = 0;
        note(|_| noted += 1);
        // As without --otlp-endpoint.
        within(None, async { note(|_| noted += 1) })
            .now_or_never()
            .unwrap();
        assert_eq!(noted, 0);
    }
}
