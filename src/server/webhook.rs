//! `POST /validate`: from a request to the bytes of a review, and from a reply to an answer.
//!
//! What the review says is not looked at here. This keeps the bounds (size, time, what all hold together), and
//! sees to it that whatever happens while deciding, the API server gets an answer it can show to the user: to the
//! API server anything but HTTP 200 is a broken webhook.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use super::body::{Budget, Gathered, Trouble, gather};
use super::stage::Stage;
use super::{Admit, Config, Failure, Reply};
use crate::metrics::{Metrics, Outcome};
use crate::trace::{self, Tracer};

/// How long past its deadline a decision is waited for: who keeps the deadline knows better what to say.
const BACKSTOP: Duration = Duration::from_millis(50);

/// What every request is answered with.
struct Webhook<A> {
    admit: A,
    stage: Arc<Stage>,
    metrics: Arc<Metrics>,
    tracer: Option<Tracer>,
    budget: Arc<Budget>,
    max_body: usize,
    body_timeout: Duration,
    max_deadline: Duration,
}

/// Counts a request when it ends, however it ends: a client that goes away has its handler dropped.
struct Tally<'a> {
    metrics: &'a Metrics,
    begun: Instant,
    outcome: Outcome,
}

/// The webhook port's routes.
pub(super) fn router<A: Admit>(
    config: &Config,
    admit: A,
    stage: Arc<Stage>,
    metrics: Arc<Metrics>,
    tracer: Option<Tracer>,
) -> Router {
    let budget = Budget::new(config.in_flight_bytes, metrics.server.in_flight_bytes.clone());
    let webhook = Webhook {
        admit,
        stage,
        metrics,
        tracer,
        budget,
        max_body: config.max_body,
        body_timeout: config.body_timeout,
        max_deadline: config.max_deadline,
    };
    Router::new()
        .route("/validate", post(validate::<A>))
        .method_not_allowed_fallback(wrong_method::<A>)
        .fallback(wrong_path::<A>)
        .with_state(Arc::new(webhook))
}

/// What a connection beyond the budget is served: come again.
pub(super) fn busy(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .fallback(async |State(metrics): State<Arc<Metrics>>| {
            Tally::new(&metrics).outcome = Outcome::OverBudget;
            again(1, "too many connections are open\n")
        })
        .with_state(metrics)
}

async fn validate<A: Admit>(State(webhook): State<Arc<Webhook<A>>>, request: Request) -> Response {
    let mut tally = Tally::new(&webhook.metrics);
    let span = webhook.tracer.as_ref().and_then(|tracer| {
        let parent = request.headers().get("traceparent");
        tracer.begin(parent.map(HeaderValue::as_bytes))
    });
    let answering = async {
        let (outcome, response) = webhook.answer(request, tally.begun).await;
        trace::note(|span| span.outcome(outcome));
        (outcome, response)
    };
    let (outcome, response) = trace::within(span, answering).await;
    tally.outcome = outcome;
    response
}

async fn wrong_method<A: Admit>(State(webhook): State<Arc<Webhook<A>>>, method: Method) -> Response {
    Tally::new(&webhook.metrics).outcome = Outcome::Misdirected;
    let text = format!("{method} is not served here: POST an AdmissionReview to /validate\n");
    early((StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], text))
}

async fn wrong_path<A: Admit>(State(webhook): State<Arc<Webhook<A>>>) -> Response {
    Tally::new(&webhook.metrics).outcome = Outcome::Misdirected;
    let text = "POST an AdmissionReview to /validate; /livez, /readyz and /metrics are on the admin port\n";
    early((StatusCode::NOT_FOUND, text))
}

impl<A: Admit> Webhook<A> {
    async fn answer(&self, request: Request, begun: Instant) -> (Outcome, Response) {
        // A replica that stops still says so: a client that is refused the connection does not try again, one
        // that gets this does, at once, and finds another replica.
        if self.stage.refuses() {
            return (Outcome::Draining, again(0, "this replica is stopping\n"));
        }
        if !is_json(request.headers()) {
            let text = "the Content-Type is not application/json: send an AdmissionReview in JSON\n";
            return (
                Outcome::Misdirected,
                early((StatusCode::UNSUPPORTED_MEDIA_TYPE, text)),
            );
        }
        let deadline = begun + time_to_decide(request.uri().query(), self.max_deadline);
        let until = deadline.min(begun + self.body_timeout);
        let body = request.into_body();
        let Gathered {
            bytes,
            trouble,
            share,
        } = gather(body, self.max_body, &self.budget, until).await;
        let answer = match trouble {
            None => self.decide(bytes, deadline).await,
            Some(Trouble::OverBudget) => (
                Outcome::OverBudget,
                again(1, "too many requests are being read\n"),
            ),
            Some(Trouble::TooLarge) => {
                let why = Failure::TooLarge { limit: self.max_body };
                (Outcome::TooLarge, closing(self.refuse(&bytes, why)))
            }
            Some(Trouble::Slow) => {
                let why = Failure::BodyTimeout {
                    after: until.duration_since(begun),
                };
                (Outcome::BodyTimeout, closing(self.refuse(&bytes, why)))
            }
            Some(Trouble::Broken) => (
                Outcome::Unreadable,
                closing(self.refuse(&bytes, Failure::Unreadable)),
            ),
        };
        drop(share);
        answer
    }

    async fn decide(&self, body: Bytes, deadline: Instant) -> (Outcome, Response) {
        let deciding =
            async { timeout_at(deadline + BACKSTOP, self.admit.admit(body.clone(), deadline)).await };
        match AssertUnwindSafe(deciding).catch_unwind().await {
            Ok(Ok(reply)) => (Outcome::Answered, response(reply)),
            Ok(Err(_elapsed)) => (Outcome::Deadline, self.refuse(&body, Failure::Deadline)),
            Err(panic) => {
                tracing::error!(
                    panic = message(&*panic),
                    "a panic while deciding became a refusal"
                );
                (Outcome::Panicked, self.refuse(&body, Failure::Panic))
            }
        }
    }

    fn refuse(&self, body: &[u8], why: Failure) -> Response {
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.admit.refuse(body, why))) {
            Ok(reply) => response(reply),
            Err(panic) => {
                tracing::error!(panic = message(&*panic), "a panic while refusing");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the request could not be handled\n",
                )
                    .into_response()
            }
        }
    }
}

impl<'a> Tally<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.server.in_flight.inc();
        Self {
            metrics,
            begun: Instant::now(),
            outcome: Outcome::Cancelled,
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let server = &self.metrics.server;
        server.in_flight.dec();
        server.request(self.outcome);
        server.duration.observe(self.begun.elapsed().as_secs_f64());
    }
}

/// How long there is to decide, by what the API server says in `?timeout=5s`.
///
/// It says how long it will still wait, rounded *up* to a second, so of that a second may be gone already; and the
/// answer has to travel. An answer that comes too late is shown to the user as a broken webhook.
fn time_to_decide(query: Option<&str>, most: Duration) -> Duration {
    let said = query.and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("timeout=")));
    let Some(said) = said.and_then(duration) else {
        return most;
    };
    let sure = said.saturating_sub(Duration::from_secs(1)).max(said / 2);
    sure.min(said.mul_f64(0.8)).min(most)
}

/// Reads a duration as Go writes it: `5s`, `1m30s`, `1.5s`, `300ms`.
fn duration(mut text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(unit_end);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
        total = total.checked_add(part)?;
        text = rest;
    }
    (!total.is_zero()).then_some(total)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

fn response(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match reply.retry_after {
        Some(seconds) => {
            headers.insert(header::RETRY_AFTER, seconds.into());
            closing(response)
        }
        None => response,
    }
}

/// Tells the client to come again after so many seconds, which the API server does within its timeout.
fn again(seconds: u32, text: &'static str) -> Response {
    early((
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, HeaderValue::from(seconds))],
        text,
    ))
}

/// An answer given before the request was read: the connection cannot be used again.
fn early(response: impl IntoResponse) -> Response {
    closing(response.into_response())
}

fn closing(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, millis) in [
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("300ms", Some(300)),
            ("1h0m0s", Some(3_600_000)),
            ("", None),
            ("0s", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5d", None),
            ("1e400s", None),
            ("99999999999999999999h", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn the_time_to_decide_leaves_room_for_rounding_and_travel() {
        let most = Duration::from_secs(4);
        for (query, millis) in [
            (None, 4_000),
            (Some(""), 4_000),
            (Some("timeout=x"), 4_000),
            (Some("timeout=30s"), 4_000),
            (Some("timeout=5s"), 4_000),
            (Some("dryRun=1&timeout=3s"), 2_000),
            (Some("timeout=2s"), 1_000),
            (Some("timeout=1s"), 500),
        ] {
            assert_eq!(
                time_to_decide(query, most),
                Duration::from_millis(millis),
                "{query:?}"
            );
        }
    }

    #[test]
    fn media_types() {
        for (value, json) in [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/jsonp"), false),
            (Some("text/plain"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            value.map(|v| headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(v)));
            assert_eq!(is_json(&headers), json, "{value:?}");
        }
    }
}
