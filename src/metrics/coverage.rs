//! What is told of kinds that carry pods and are not judged.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Which kinds are not judged. Clones share the gauges.
#[derive(Clone, Debug)]
pub struct CoverageMetrics {
    /// 1 for each kind; the number of kinds is bounded by who fills it.
    pub uncovered: Family<KindLabels, Gauge>,
    /// All of them, those without a series of their own too.
    pub uncovered_kinds: Gauge,
    /// Kinds of which it cannot be told.
    pub opaque_kinds: Gauge,
    /// When that was found out, in seconds since 1970; 0 until then.
    pub timestamp: Gauge,
    /// Looks that failed.
    pub failures: Counter,
}

/// A kind. Who may make CRDs chooses its name, which is an administrator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// API group; empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl CoverageMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self {
            uncovered: Family::default(),
            uncovered_kinds: Gauge::default(),
            opaque_kinds: Gauge::default(),
            timestamp: Gauge::default(),
            failures: Counter::default(),
        };
        registry.register(
            "uncovered_kind",
            "1 for a kind that carries pods and is not judged",
            this.uncovered.clone(),
        );
        registry.register(
            "uncovered_kinds",
            "Kinds that carry pods and are not judged",
            this.uncovered_kinds.clone(),
        );
        registry.register(
            "opaque_kinds",
            "Kinds of which it cannot be told whether they carry pods, or whether they are judged",
            this.opaque_kinds.clone(),
        );
        registry.register(
            "coverage_timestamp_seconds",
            "When the kinds of the cluster were last looked at, in seconds since 1970; 0 until then",
            this.timestamp.clone(),
        );
        registry.register(
            "coverage_failures",
            "Looks at the kinds of the cluster that failed",
            this.failures.clone(),
        );
        this
    }
}
