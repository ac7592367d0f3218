//! What the operating system says of this process, under the names that every dashboard of processes knows.
//!
//! Linux only, from `/proc/self`; elsewhere, and where a file cannot be read, the series are absent. Files of `/proc` are
//! memory, so reading them in a scrape holds nobody up.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Ticks a second in `/proc`. The kernel's interface fixes it on all platforms that the program is built for.
const TICKS: f64 = 100.0;

/// Reads the process at each scrape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process;

/// The fields of `/proc/self/stat` that are wanted.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// After the start of the machine.
    started_seconds: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stat = read("self/stat").and_then(|text| stat(&text));
        let status = read("self/status").unwrap_or_default();
        let booted = read("stat").and_then(|text| field(&text, "btime "));
        let limits = read("self/limits").unwrap_or_default();
        // The directory itself is open while it is read.
        let open = fs::read_dir("/proc/self/fd").map(|all| all.count().saturating_sub(1));

        let encoder = &mut encoder;
        put(
            encoder,
            "process_cpu_seconds",
            "User and system CPU time spent",
            stat.as_ref().map(|it| ConstCounter::new(it.cpu_seconds)),
        )?;
        put(
            encoder,
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            booted
                .zip(stat)
                .map(|(booted, it)| ConstGauge::new(booted + it.started_seconds)),
        )?;
        let memory = |name| field(&status, name).map(|kib| ConstGauge::new(kib * 1024.0));
        put(
            encoder,
            "process_resident_memory_bytes",
            "Memory in use",
            memory("VmRSS:"),
        )?;
        put(
            encoder,
            "process_virtual_memory_bytes",
            "Address space in use",
            memory("VmSize:"),
        )?;
        put(
            encoder,
            "process_threads",
            "Threads",
            field(&status, "Threads:").map(ConstGauge::new),
        )?;
        put(
            encoder,
            "process_open_fds",
            "Open file descriptors",
            open.ok()
                .and_then(|it| u32::try_from(it).ok())
                .map(|it| ConstGauge::new(f64::from(it))),
        )?;
        put(
            encoder,
            "process_max_fds",
            "File descriptors that may be open",
            field(&limits, "Max open files").map(ConstGauge::new),
        )
    }
}

fn put<M: EncodeMetric + TypedMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: Option<M>,
) -> fmt::Result {
    let Some(metric) = metric else { return Ok(()) };
    let kind: MetricType = M::TYPE;
    metric.encode(encoder.encode_descriptor(name, help, None, kind)?)
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{file}")).ok()
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, and may itself hold blanks and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let mut nth = |skip: usize| fields.nth(skip)?.parse::<f64>().ok();
    // After the name come state (3), nine others, utime (14), stime (15), six others, starttime (22).
    let (user, system, start) = (nth(11)?, nth(0)?, nth(6)?);
    Some(Stat {
        cpu_seconds: (user + system) / TICKS,
        started_seconds: start / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 12345 1 2 3\n";
        assert_eq!(
            stat(text),
            Some(Stat {
                cpu_seconds: 2.0,
                started_seconds: 123.45
            })
        );
        assert_eq!(stat("42 (a) S 1"), None);
        assert_eq!(field("Name:\tx\nVmRSS:\t   14336 kB\n", "VmRSS:"), Some(14336.0));
        assert_eq!(
            field(
                "Max open files            unlimited   4096   files",
                "Max open files"
            ),
            None
        );
    }
}
