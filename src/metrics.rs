//! What the program counts, registered in one place and served on the admin port.
//!
//! Every label has a bounded set of values that is known at compile time, but for the kinds of the cluster that are not
//! judged, whose number is bounded: nothing a client sends becomes a label. What the request path touches is held as a ready handle, so that counting is one atomic addition.

mod authority;
mod cluster;
mod coverage;
mod platform;
mod process;
mod trace;

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::authority::AuthorityMetrics;
pub use self::cluster::{FetchOutcome, IndexMetrics, LiveMetrics, StatusMetrics};
pub use self::coverage::{CoverageMetrics, KindLabels};
pub use self::platform::PlatformMetrics;
pub use self::trace::{SpanOutcome, TraceMetrics};

/// The media type of what [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The commit that the program was built from, if whoever built it said so by `DATAGATE_REVISION`.
pub const REVISION: &str = match option_env!("DATAGATE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Upper bounds of the durations' buckets, in seconds.
///
/// A decision takes microseconds, so the first bucket is what a healthy server fills; the last is the API
/// server's own timeout.
const DURATION_BUCKETS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Everything the program measures.
pub struct Metrics {
    /// Names that begin with `datagate_`.
    registry: Registry,
    /// Names that are the same for all programs.
    common: Registry,
    /// The server's own families.
    pub server: ServerMetrics,
    /// What is known of the cluster.
    pub index: IndexMetrics,
    /// What decisions ask the API server for.
    pub live: LiveMetrics,
    /// The writer of status.
    pub status: StatusMetrics,
    /// Which kinds are not judged.
    pub coverage: CoverageMetrics,
    /// Spans.
    pub trace: TraceMetrics,
    /// The authority that we manage for ourselves.
    pub authority: AuthorityMetrics,
    /// Decisions made, by what was submitted and how it was decided.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Findings told, by reason and by what the policy does about them.
    pub findings: Family<FindingLabels, Counter>,
    /// How long a decision took, with what it asked the API server for.
    pub deciding: Histogram,
    /// Lines of the decision log that nobody could be given.
    pub log_lost: Counter,
    /// Requests refused because policies may have changed unseen.
    pub stale_refusals: Counter,
}

/// What the two ports measure.
pub struct ServerMetrics {
    requests: [Counter; Outcome::ALL.len()],
    handshakes: [Counter; HandshakeFailure::ALL.len()],
    /// How long a request took, from its head to its answer.
    pub duration: Histogram,
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Bytes of request bodies held in memory now.
    pub in_flight_bytes: Gauge,
    /// Connections open now on the webhook's port.
    pub connections: Gauge,
    /// Idle connections closed because no free one was left.
    pub shed: Counter,
    /// When the served certificate expires, in seconds since 1970; 0 while there is none.
    pub not_after: Gauge,
    /// Attempts to read the certificate that failed.
    pub reload_failures: Counter,
    /// Certificates taken into use.
    pub reloads: Counter,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The review was decided.
    Answered,
    /// A panic while deciding became a refusal.
    Panicked,
    /// The decision was not ready in time and became a refusal.
    Deadline,
    /// The body was larger than allowed and became a refusal.
    TooLarge,
    /// The body did not arrive in time and became a refusal.
    BodyTimeout,
    /// The body broke off or was not well-formed HTTP.
    Unreadable,
    /// Too much was in flight; the client was told to come again.
    OverBudget,
    /// The server is stopping; the client was told to come again.
    Draining,
    /// A wrong path, method or media type.
    Misdirected,
    /// The client went away before it had its answer.
    Cancelled,
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The client does not trust our certificate: the `caBundle` and the certificate do not fit.
    CertificateRejected,
    /// There was no certificate to serve, or nothing in common to speak.
    Incompatible,
    /// The client went away, as the probes of load balancers do.
    Closed,
    /// What arrived was not TLS.
    Malformed,
    /// The client showed no certificate, though it must.
    ClientCertificateMissing,
    /// The client's certificate is not one of those that may ask.
    ClientCertificateRejected,
}

/// Labels of `datagate_decisions_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// The kind submitted, from the list of kinds that are known, or `other`.
    pub kind: &'static str,
    /// `CREATE`, `UPDATE`, ...
    pub operation: &'static str,
    /// `Allowed`, `Denied`, ...
    pub decision: &'static str,
}

/// Labels of `datagate_findings_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingLabels {
    /// The finding's reason.
    pub reason: &'static str,
    /// What the policy does about it.
    pub action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl Metrics {
    /// Registers every family.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("datagate");
        let mut common = Registry::default();
        common.register_collector(Box::new(process::Process));
        let build = [("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        registry.register("build", "What is running", Info::new(build.to_vec()));
        let decisions = Family::<DecisionLabels, Counter>::default();
        registry.register("decisions", "Decisions made", decisions.clone());
        let findings = Family::<FindingLabels, Counter>::default();
        registry.register("findings", "Findings told", findings.clone());
        let deciding = Histogram::new(DURATION_BUCKETS);
        registry.register(
            "decision_duration_seconds",
            "Time to decide a review that was read, with what it asked the API server for",
            deciding.clone(),
        );
        let log_lost = Counter::default();
        registry.register(
            "decision_log_lost",
            "Lines of the decision log that could not be written",
            log_lost.clone(),
        );
        let stale_refusals = Counter::default();
        registry.register(
            "stale_refusals",
            "Requests refused because the API server was not heard for too long",
            stale_refusals.clone(),
        );
        let server = ServerMetrics::new(&mut registry);
        let index = IndexMetrics::new(&mut registry);
        let live = LiveMetrics::new(&mut registry);
        let status = StatusMetrics::new(&mut registry);
        let coverage = CoverageMetrics::new(&mut registry);
        let trace = TraceMetrics::new(&mut registry);
        let authority = AuthorityMetrics::new(&mut registry);
        Self {
            registry,
            common,
            server,
            index,
            live,
            status,
            coverage,
            trace,
            deciding,
            log_lost,
            authority,
            decisions,
            findings,
            stale_refusals,
        }
    }

    /// Where another part of the program registers families of its own, before the metrics are shared.
    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8 * 1024);
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &self.common)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl ServerMetrics {
    fn new(registry: &mut Registry) -> Self {
        let requests = Family::<OutcomeLabels, Counter>::default();
        registry.register(
            "requests",
            "Requests on the webhook's port, by how they ended",
            requests.clone(),
        );
        let handshakes = Family::<ReasonLabels, Counter>::default();
        registry.register(
            "tls_handshake_failures",
            "TLS handshakes that failed, by reason",
            handshakes.clone(),
        );
        let this = Self {
            requests: Outcome::ALL
                .map(|o| requests.get_or_create_owned(&OutcomeLabels { outcome: o.as_str() })),
            handshakes: HandshakeFailure::ALL
                .map(|f| handshakes.get_or_create_owned(&ReasonLabels { reason: f.as_str() })),
            duration: Histogram::new(DURATION_BUCKETS),
            in_flight: Gauge::default(),
            in_flight_bytes: Gauge::default(),
            connections: Gauge::default(),
            shed: Counter::default(),
            not_after: Gauge::default(),
            reload_failures: Counter::default(),
            reloads: Counter::default(),
        };
        registry.register(
            "request_duration_seconds",
            "Time from a request's head to its answer",
            this.duration.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests being answered now",
            this.in_flight.clone(),
        );
        registry.register(
            "in_flight_bytes",
            "Bytes of request bodies held now",
            this.in_flight_bytes.clone(),
        );
        registry.register(
            "connections",
            "Connections open on the webhook's port",
            this.connections.clone(),
        );
        registry.register(
            "connections_shed",
            "Idle connections closed because no free one was left",
            this.shed.clone(),
        );
        registry.register(
            "certificate_not_after_timestamp_seconds",
            "When the served certificate expires, in seconds since 1970; 0 while there is none",
            this.not_after.clone(),
        );
        registry.register(
            "certificate_reload_failures",
            "Attempts to read the certificate that failed",
            this.reload_failures.clone(),
        );
        registry.register(
            "certificate_reloads",
            "Certificates taken into use",
            this.reloads.clone(),
        );
        this
    }

    /// Counts a request that has ended.
    pub fn request(&self, outcome: Outcome) {
        if let Some(counter) = self.requests.get(outcome as usize) {
            counter.inc();
        }
    }

    /// How many requests have ended so.
    #[must_use]
    pub fn requests(&self, outcome: Outcome) -> u64 {
        self.requests.get(outcome as usize).map_or(0, Counter::get)
    }

    /// Counts a handshake that failed.
    pub fn handshake(&self, failure: HandshakeFailure) {
        if let Some(counter) = self.handshakes.get(failure as usize) {
            counter.inc();
        }
    }

    /// How many handshakes have failed so.
    #[must_use]
    pub fn handshakes(&self, failure: HandshakeFailure) -> u64 {
        self.handshakes.get(failure as usize).map_or(0, Counter::get)
    }
}

impl Outcome {
    /// Every outcome, in the order of its discriminant.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Panicked,
        Self::Deadline,
        Self::TooLarge,
        Self::BodyTimeout,
        Self::Unreadable,
        Self::OverBudget,
        Self::Draining,
        Self::Misdirected,
        Self::Cancelled,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Panicked => "panicked",
            Self::Deadline => "deadline",
            Self::TooLarge => "too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Unreadable => "unreadable",
            Self::OverBudget => "over_budget",
            Self::Draining => "draining",
            Self::Misdirected => "misdirected",
            Self::Cancelled => "cancelled",
        }
    }
}

impl HandshakeFailure {
    /// Every failure, in the order of its discriminant.
    pub const ALL: [Self; 7] = [
        Self::Timeout,
        Self::CertificateRejected,
        Self::Incompatible,
        Self::Closed,
        Self::Malformed,
        Self::ClientCertificateMissing,
        Self::ClientCertificateRejected,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::CertificateRejected => "certificate_rejected",
            Self::Incompatible => "incompatible",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateRejected => "client_certificate_rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_discriminant_has_its_own_counter() {
        let metrics = Metrics::new();
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            metrics.server.request(outcome);
            assert_eq!(metrics.server.requests(outcome), 1, "{}", outcome.as_str());
        }
        for (index, failure) in HandshakeFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
            metrics.server.handshake(failure);
            assert_eq!(metrics.server.handshakes(failure), 1, "{}", failure.as_str());
        }
    }

    #[test]
    fn families_of_others_are_encoded() {
        let mut metrics = Metrics::new();
        let own = Counter::<u64>::default();
        metrics
            .registry_mut()
            .register("own", "Something else", own.clone());
        own.inc();
        let labels = DecisionLabels {
            kind: "Job",
            operation: "CREATE",
            decision: "Denied",
        };
        metrics.decisions.get_or_create(&labels).inc();
        let text = metrics.encode().unwrap();
        assert!(text.contains("datagate_own_total 1"), "{text}");
        assert!(
            text.contains(r#"datagate_decisions_total{kind="Job",operation="CREATE",decision="Denied"} 1"#),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}
