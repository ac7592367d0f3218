//! The figures of the run: a line each, and a file for `docs/reliability.md`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::load::Tally;

/// All figures so far.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Processors of the machine that all of the cluster and the load share.
    cores: usize,
    form: &'static str,
    scenarios: Vec<Scenario>,
}

/// What one scenario did.
#[derive(Debug, Serialize)]
struct Scenario {
    name: String,
    times: usize,
    /// From the first ready replica to the first right verdict, where that is what is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<Tally>,
}

impl Figures {
    pub fn new(long: bool) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            form: if long { "long" } else { "short" },
            scenarios: Vec::new(),
        }
    }

    /// Something that was done a number of times under load.
    pub fn load(&mut self, name: &str, times: usize, tally: Tally) {
        println!(
            "      {name} x{times} in {} s: {} requests, {} admitted, {} refused, {} failed admissions, {} violating stored; \
             slowest {} ms",
            tally.seconds,
            tally.requests,
            tally.admitted,
            tally.refused,
            tally.failed_admissions,
            tally.violating_stored,
            tally.slowest_ms
        );
        if let Some(words) = &tally.first_failure {
            println!("      the first failure: {words}");
        }
        self.scenarios.push(Scenario {
            name: name.to_owned(),
            times,
            recovered_ms: None,
            load: Some(tally),
        });
    }

    /// How long after the first ready replica the first right verdict came.
    pub fn recovery(&mut self, name: &str, after: Duration) {
        println!(
            "      {name}: the first verdict {} ms after the first Ready",
            after.as_millis()
        );
        self.scenarios.push(Scenario {
            name: name.to_owned(),
            times: 1,
            recovered_ms: Some(after.as_millis()),
            load: None,
        });
    }

    /// Writes them as JSON.
    pub fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(self).unwrap();
        fs::write(path, text + "\n").unwrap();
    }
}
