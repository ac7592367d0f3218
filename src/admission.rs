//! From the body of an `AdmissionReview` to the answer's body: the shell around `judge`.
//!
//! It brings the clock, the snapshot of the world and what a decision asks for; it writes the decision log. It decides
//! nothing itself.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use datagate_core::decision::{Decision, Ground, Outcome};
use datagate_core::fetched::Fetched;
use datagate_core::finding::Finding;
use datagate_core::judge::{Verdict, judge};
use datagate_core::render::{self, Answer};
use datagate_core::review::{GroupVersionKind, Operation, Review};
use datagate_core::workload::KnownKind;
use datagate_core::world::World;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::index::{Lives, Worlds};
use crate::live::Fetch;
use crate::metrics::{DecisionLabels, FindingLabels, Metrics};
use crate::server::{Admit, Failure, Reply, WallClock};
use crate::trace::{self, Decided};

mod log;
mod pseudonym;
mod reply;

pub use log::{DecisionLog, Record};
pub use pseudonym::{KeyError, MIN_KEY, Pseudonyms};

/// A chain of owners has at most ten hops, and a namespace may be new; a decision that asks for more asks in circles.
const MAX_ROUNDS: usize = 12;

/// How often a request that came before the first snapshot looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why nothing can be decided before the first snapshot.
const NOT_READ: &str = "it has not read all policies yet. Try again";

/// Decides requests against the newest snapshot.
pub struct Admission<F> {
    worlds: Worlds,
    fetch: F,
    clock: WallClock,
    metrics: Arc<Metrics>,
    log: DecisionLog,
    mode: Mode,
    stale: Option<(Lives, Duration)>,
}

/// Whether refusals are told to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are only logged and counted: for first days, and to break glass.
    Observe,
}

/// What an answer and a log line say of the request itself.
#[derive(Clone, Debug)]
struct Subject {
    uid: String,
    operation: Operation,
    kind: GroupVersionKind<'static>,
    namespace: String,
    user: String,
    dry_run: bool,
}

impl<F: Fetch> Admission<F> {
    /// Decides by the newest of `worlds`, brings what is missing with `fetch`.
    #[must_use]
    pub fn new(
        worlds: Worlds,
        fetch: F,
        clock: WallClock,
        metrics: Arc<Metrics>,
        log: DecisionLog,
        mode: Mode,
    ) -> Self {
        Self {
            worlds,
            fetch,
            clock,
            metrics,
            log,
            mode,
            stale: None,
        }
    }

    /// Admits nothing that is governed any more once one of the watches has shown no life for longer.
    #[must_use]
    pub fn refuse_when_stale(self, lives: Lives, after: Duration) -> Self {
        Self {
            stale: Some((lives, after)),
            ..self
        }
    }

    /// Decides one review; the same for the webhook and for tests without sockets.
    pub async fn decide(&self, body: &str, deadline: Instant) -> Reply {
        let Some(world) = self.world(deadline).await else {
            return self.refuse_as(body.as_bytes(), 503, "ServiceUnavailable", NOT_READ);
        };
        let begun = Instant::now();
        let now = (self.clock)();
        let mut fetched = Fetched::default();
        for _ in 0..MAX_ROUNDS {
            let review = match Review::read(body) {
                Ok(review) => review,
                Err(error) => return unreadable(error.uid.as_deref(), &error.to_string()),
            };
            let subject = Subject::of(&review);
            match judge(review, &world, &fetched, now) {
                Verdict::Decided(mut decision) => {
                    self.metrics.deciding.observe(begun.elapsed().as_secs_f64());
                    return match self.staleness(&decision) {
                        Some(age) => self.refuse_stale(&subject, &mut decision, age, now),
                        None => self.conclude(&subject, &decision, now),
                    };
                }
                Verdict::Needs(needs) => {
                    let asked = Instant::now();
                    self.fetch.fetch(&needs, &mut fetched, deadline).await;
                    trace::note(|span| span.round(asked, needs.len()));
                }
            }
        }
        self.refuse(body.as_bytes(), Failure::Deadline)
    }

    /// The newest snapshot. Just after the start there is none: waiting a moment for it is better than a refusal, and a
    /// refusal in our words is better than the API server giving up on us.
    async fn world(&self, deadline: Instant) -> Option<Arc<World>> {
        loop {
            if let Some(world) = self.worlds.load_full() {
                return Some(world);
            }
            let next = Instant::now() + LOOK_AGAIN;
            if next >= deadline {
                return None;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    fn refuse_as(&self, body: &[u8], code: u16, reason: &'static str, why: &str) -> Reply {
        match uid(body) {
            Some(uid) => reply::refusal(&render::refusal(&uid, code, reason, why), &uid),
            None => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                reply::error(status, why)
            }
        }
    }

    /// How old the policies are by which this would be admitted, if that is too old. What no policy governed passes, and
    /// so does an update that changes nothing: it must be possible to finish and to clean up.
    fn staleness(&self, decision: &Decision) -> Option<Duration> {
        let (lives, most) = self.stale.as_ref()?;
        let starts = matches!(decision.ground, Ground::Judged | Ground::Child);
        let admits = matches!(decision.outcome, Outcome::Allowed | Outcome::AllowedWithWarnings);
        lives.age().filter(|age| starts && admits && age > most)
    }

    fn refuse_stale(
        &self,
        subject: &Subject,
        decision: &mut Decision,
        age: Duration,
        now: Timestamp,
    ) -> Reply {
        decision.outcome = Outcome::Denied;
        self.metrics.stale_refusals.inc();
        self.tell(subject, decision);
        self.write(Record::new(subject, decision, self.mode, now).stale(age));
        let why = render::stale(age);
        let mut answer = render::refusal(&subject.uid, 503, "ServiceUnavailable", &why);
        if self.mode == Mode::Observe {
            observe(&mut answer);
        }
        reply::review(&answer, &subject.uid, &subject.kind, &decision.name)
    }

    fn conclude(&self, subject: &Subject, decision: &Decision, now: Timestamp) -> Reply {
        self.tell(subject, decision);
        if decision.outcome != Outcome::NotGoverned {
            self.write(Record::new(subject, decision, self.mode, now));
        }
        let mut answer = render::answer(decision, &subject.uid, subject.operation);
        if self.mode == Mode::Observe {
            observe(&mut answer);
        }
        reply::review(&answer, &subject.uid, &subject.kind, &decision.name)
    }

    fn write(&self, record: Record) {
        if !self.log.write(record) {
            self.metrics.log_lost.inc();
        }
    }

    /// Counts the decision, and notes it on the request's span.
    fn tell(&self, subject: &Subject, decision: &Decision) {
        let kind = kind_label(subject);
        self.count(kind, subject, decision);
        trace::note(|span| span.decided(decided(kind, subject, decision)));
    }

    fn count(&self, kind: &'static str, subject: &Subject, decision: &Decision) {
        let labels = DecisionLabels {
            kind,
            operation: subject.operation.as_str(),
            decision: decision.outcome.as_str(),
        };
        self.metrics.decisions.get_or_create(&labels).inc();
        for finding in &decision.findings {
            let labels = FindingLabels {
                reason: finding.reason().as_str(),
                action: action(finding),
            };
            self.metrics.findings.get_or_create(&labels).inc();
        }
    }
}

/// The kind as a label: one of the list, or `other`.
fn kind_label(subject: &Subject) -> &'static str {
    KnownKind::find(&subject.kind.group, &subject.kind.kind).map_or("other", |kind| kind.info().kind)
}

/// What a span tells of a decision: nothing that a client chose.
fn decided(kind: &'static str, subject: &Subject, decision: &Decision) -> Decided {
    let mut decided = Decided {
        kind,
        operation: subject.operation.as_str(),
        decision: decision.outcome.as_str(),
        ground: log::ground(decision.ground),
        dry_run: subject.dry_run,
        policies: decision.policies.len(),
        findings: decision.findings.len(),
        reasons: Vec::new(),
    };
    for finding in &decision.findings {
        decided.reason(finding.reason().as_str());
    }
    decided
}

fn action(finding: &Finding) -> &'static str {
    finding.action().map_or("", |action| action.as_str())
}

/// In Observe nothing is refused and nobody is warned; the audit log still says what would have been.
fn observe(answer: &mut Answer) {
    if !answer.allowed {
        answer.allowed = true;
        answer
            .audit
            .push(("observed", Outcome::Denied.as_str().to_owned()));
    }
    answer.warnings.clear();
}

/// A body without a review in it: a refusal if at least its uid can be read, an HTTP error otherwise.
fn unreadable(uid: Option<&str>, why: &str) -> Reply {
    tracing::warn!(uid, why, "refused a request that cannot be read");
    let why = render::shown(why);
    match uid {
        Some(uid) => reply::refusal(&render::refusal(uid, 400, "BadRequest", &why), uid),
        None => reply::error(StatusCode::BAD_REQUEST, &why),
    }
}

impl<F: Fetch> Admit for Admission<F> {
    async fn admit(&self, body: Bytes, deadline: Instant) -> Reply {
        match std::str::from_utf8(&body) {
            Ok(body) => self.decide(body, deadline).await,
            Err(_) => {
                let uid = uid(&body);
                unreadable(uid.as_deref(), "the body is not UTF-8")
            }
        }
    }

    fn refuse(&self, body: &[u8], why: Failure) -> Reply {
        let (code, reason) = match why {
            Failure::Panic => (500, "InternalError"),
            Failure::Deadline | Failure::BodyTimeout { .. } => (504, "Timeout"),
            Failure::TooLarge { .. } => (413, "RequestEntityTooLarge"),
            Failure::Unreadable => (400, "BadRequest"),
        };
        self.refuse_as(body, code, reason, &why.to_string())
    }
}

/// The uid in a body of which perhaps only the beginning is there.
fn uid(body: &[u8]) -> Option<String> {
    match Review::read(&String::from_utf8_lossy(body)) {
        Ok(review) => Some(review.uid.to_string()),
        Err(error) => error.uid,
    }
}

impl Subject {
    fn of(review: &Review<'_>) -> Self {
        let owned = |text: &str| text.to_owned().into();
        Self {
            uid: review.uid.to_string(),
            operation: review.operation,
            kind: GroupVersionKind {
                group: owned(&review.kind.group),
                version: owned(&review.kind.version),
                kind: owned(&review.kind.kind),
            },
            namespace: review.namespace.to_string(),
            user: review.user.to_string(),
            dry_run: review.dry_run,
        }
    }
}
