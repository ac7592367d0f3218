//! What is told of the authority that datagate manages for itself.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The authority's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct AuthorityMetrics {
    /// When the signing authority expires; without a value while there is none of our own.
    not_after: Family<NoLabels, Gauge>,
    /// How often this replica made another authority the signer.
    pub rotations: Counter,
    /// How often this replica wrote the bundle.
    pub bundle_writes: Counter,
    /// How often somebody undid that again and again.
    pub bundle_undone: Counter,
    /// Attempts to read or change the Secret or the webhook configuration that failed.
    pub failures: Counter,
}

/// Of a family with one value, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NoLabels {}

impl AuthorityMetrics {
    /// Says when the signing authority expires.
    pub fn signer_until(&self, seconds: i64) {
        self.not_after.get_or_create(&NoLabels {}).set(seconds);
    }

    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self {
            not_after: Family::default(),
            rotations: Counter::default(),
            bundle_writes: Counter::default(),
            bundle_undone: Counter::default(),
            failures: Counter::default(),
        };
        registry.register(
            "ca_not_after_timestamp_seconds",
            "When the CA that signs expires, in seconds since 1970; only with --ca-secret",
            this.not_after.clone(),
        );
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
