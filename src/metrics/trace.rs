//! What becomes of spans.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The exporter of traces. Clones share the counters.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    spans: [Counter; SpanOutcome::ALL.len()],
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// The collector has it.
    Exported,
    /// Too many were waiting.
    QueueFull,
    /// The collector could not be reached, or did not want it.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    outcome: &'static str,
}

impl TraceMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let spans = Family::<SpanLabels, Counter>::default();
        registry.register(
            "trace_spans",
            "Spans that were recorded, by what became of them",
            spans.clone(),
        );
        Self {
            spans: SpanOutcome::ALL.map(|it| spans.get_or_create_owned(&SpanLabels { outcome: it.as_str() })),
        }
    }

    /// Counts some.
    pub fn count(&self, outcome: SpanOutcome, spans: usize) {
        if let Some(counter) = self.spans.get(outcome as usize) {
            counter.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        }
    }

    /// How many ended so.
    #[must_use]
    pub fn spans(&self, outcome: SpanOutcome) -> u64 {
        self.spans.get(outcome as usize).map_or(0, Counter::get)
    }
}

impl SpanOutcome {
    /// Every outcome, in the order of its discriminant.
    pub const ALL: [Self; 3] = [Self::Exported, Self::QueueFull, Self::Failed];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::QueueFull => "queue_full",
            Self::Failed => "failed",
        }
    }
}
