//! What the replicas see of each other and of their registration. What is not known is left out rather than told as 0.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::status::Standing;

/// Clones share what they tell.
#[derive(Clone, Debug, Default)]
pub struct PlatformMetrics(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    drift: Option<bool>,
    /// How many count, and how many of them are behind.
    replicas: Option<(usize, usize)>,
    not_ready: Option<BTreeMap<String, usize>>,
}

impl PlatformMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register_collector(Box::new(this.clone()));
        this
    }

    /// Whether the webhook configuration is something else than what it must be.
    pub fn drifted(&self, drifted: Option<bool>) {
        self.change(|it| it.drift = drifted);
    }

    /// By what the replicas decide.
    pub fn standing(&self, standing: &Standing) {
        let replicas = match standing {
            Standing::Known { counting, .. } => Some((*counting, standing.behind())),
            Standing::NotLookedFor | Standing::Unknown => None,
        };
        self.change(|it| it.replicas = replicas);
    }

    /// How many policies are not ready, by reason.
    pub fn not_ready(&self, count: BTreeMap<String, usize>) {
        self.change(|it| it.not_ready = Some(count));
    }

    /// The rest is for the leader to tell.
    pub fn leads_no_more(&self) {
        self.change(|it| (it.replicas, it.not_ready) = (None, None));
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Collector for PlatformMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gauge = |name, help, value: Option<usize>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(gauge)
        };
        gauge(
            "registration_drift",
            "1: the webhook configuration is missing, or lets pass what datagate should be asked about",
            known.drift.map(usize::from),
        )?;
        gauge(
            "replicas",
            "Replicas that are ready and report, told by the leader",
            known.replicas.map(|(counting, _)| counting),
        )?;
        gauge(
            "replicas_behind",
            "Replicas of these that do not decide by the newest version of some policy, told by the leader",
            known.replicas.map(|(_, behind)| behind),
        )?;
        let Some(not_ready) = &known.not_ready else {
            return Ok(());
        };
        let mut family = encoder.encode_descriptor(
            "policies_not_ready",
            "Policies that are not in force as their owner means it, by reason, told by the leader",
            None,
            MetricType::Gauge,
        )?;
        for (reason, count) in not_ready {
            let labels = [("reason", reason.as_str())];
            let count = ConstGauge::new(i64::try_from(*count).unwrap_or(i64::MAX));
            count.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
