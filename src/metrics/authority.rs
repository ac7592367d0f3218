//! What is told of the authority that datagate manages for itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The authority's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct AuthorityMetrics {
    until: Until,
    /// How often this replica made another authority the signer.
    pub rotations: Counter,
    /// How often this replica wrote the bundle.
    pub bundle_writes: Counter,
    /// How often somebody undid that again and again.
    pub bundle_undone: Counter,
    /// Attempts to read or change the Secret or the webhook configuration that failed.
    pub failures: Counter,
}

/// When the signing authority expires, in seconds since 1970; 0, and not told: there is none of our own.
#[derive(Clone, Debug, Default)]
struct Until(Arc<AtomicI64>);

impl Collector for Until {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seconds = self.0.load(Ordering::Relaxed);
        if seconds == 0 {
            return Ok(());
        }
        let metric = encoder.encode_descriptor(
            "ca_not_after_timestamp_seconds",
            "When the CA that signs expires, in seconds since 1970; only with --ca-secret",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(seconds).encode(metric)
    }
}

impl AuthorityMetrics {
    /// Says when the signing authority expires, in seconds since 1970.
    pub fn signer_until(&self, seconds: i64) {
        self.until.0.store(seconds, Ordering::Relaxed);
    }

    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self {
            until: Until::default(),
            rotations: Counter::default(),
            bundle_writes: Counter::default(),
            bundle_undone: Counter::default(),
            failures: Counter::default(),
        };
        registry.register_collector(Box::new(this.until.clone()));
        registry.register(
            "ca_rotations",
            "Changes to another CA that this replica made",
            this.rotations.clone(),
        );
        registry.register(
            "ca_bundle_writes",
            "Times this replica wrote the caBundle of the webhook configuration",
            this.bundle_writes.clone(),
        );
        registry.register(
            "ca_bundle_undone",
            "Times somebody changed the caBundle back again",
            this.bundle_undone.clone(),
        );
        registry.register(
            "ca_failures",
            "Attempts to keep the CA's Secret or the caBundle that failed",
            this.failures.clone(),
        );
        this
    }
}
