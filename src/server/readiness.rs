//! Whether this replica may be sent requests: a list of named checks, read by `/readyz`.
//!
//! Ready means that every check passes *now*. Whoever has something to wait for registers a check before the
//! server starts; a check reads atomics and answers at once, it never waits.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// The checks that must pass before this replica is sent requests. Clones share the list.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Arc<Mutex<Vec<Check>>>,
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether requests may come, as far as this check knows.
    pub ok: bool,
    /// The state in a few words, for a person.
    pub text: String,
    /// How long ago the last proof of this state was seen.
    pub age: Option<Duration>,
}

/// All checks at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether every check passed.
    pub ready: bool,
    /// One line for each check, failing ones first, and one for the whole.
    pub text: String,
}

#[derive(Clone)]
struct Check {
    name: &'static str,
    probe: Arc<dyn Fn() -> Health + Send + Sync>,
}

impl Readiness {
    /// No checks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check. Its order in the report is that of its registration.
    pub fn add(&self, name: &'static str, probe: impl Fn() -> Health + Send + Sync + 'static) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push(Check {
            name,
            probe: Arc::new(probe),
        });
    }

    /// What every check says now, by its name, in the order of their registration.
    #[must_use]
    pub fn checks(&self) -> Vec<(&'static str, Health)> {
        // The list is copied, so that a check that is slow or registers another holds nobody up.
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ask = |check: Check| (check.name, (check.probe)());
        checks.into_iter().map(ask).collect()
    }

    /// Asks every check.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut ready = true;
        let (mut failing, mut passing) = (String::new(), String::new());
        for (name, health) in self.checks() {
            let (mark, lines) = if health.ok {
                ("[+]", &mut passing)
            } else {
                ("[-]", &mut failing)
            };
            ready &= health.ok;
            // Writing to a string cannot fail.
            let _ = write!(lines, "{mark} {name}: {}", health.text);
            if let Some(age) = health.age {
                let _ = write!(lines, " ({:.1} s ago)", age.as_secs_f64());
            }
            lines.push('\n');
        }
        let whole = if ready { "ready\n" } else { "not ready\n" };
        Report {
            ready,
            text: failing + &passing + whole,
        }
    }
}

impl Collector for Readiness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let ready = self.checks().iter().all(|(_, health)| health.ok);
        let help = "1 if this replica may be sent requests, as /readyz says";
        let encoder = encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(ready)).encode(encoder)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

impl Health {
    /// A check that passes.
    #[must_use]
    pub fn ok(text: impl Into<String>) -> Self {
        Self {
            ok: true,
            text: text.into(),
            age: None,
        }
    }

    /// A check that fails.
    #[must_use]
    pub fn failing(text: impl Into<String>) -> Self {
        Self {
            ok: false,
            text: text.into(),
            age: None,
        }
    }

    /// Adds how long ago this was last seen to be so.
    #[must_use]
    pub fn seen(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_and_one_failure_is_enough() {
        let readiness = Readiness::new();
        readiness.add("certificate", || {
            Health::ok("valid").seen(Duration::from_millis(1500))
        });
        assert_eq!(
            readiness.report(),
            Report {
                ready: true,
                text: "[+] certificate: valid (1.5 s ago)\nready\n".into()
            }
        );
        readiness.add("policies", || Health::failing("first list not read yet"));
        assert_eq!(
            readiness.report(),
            Report {
                ready: false,
                text:
                    "[-] policies: first list not read yet\n[+] certificate: valid (1.5 s ago)\nnot ready\n"
                        .into()
            }
        );
    }
}
