//! Writes to the API server at a fixed rate, whatever it answers, and counts what comes back.
//!
//! Half of what is submitted violates the policy, half is stored for good and half is a dry run. What counts in the end is
//! what is stored, so everything in the namespace is judged again after the run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::rig::Rig;
use crate::workloads::{FREE, LOAD, PAUSED, training};

/// Requests a second: some hundred over the seconds that a step takes, on two cores with the whole cluster.
const RATE: u64 = 40;

/// What came back.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Tally {
    pub requests: u64,
    /// Admitted, as it should be.
    pub admitted: u64,
    /// Refused by datagate for the right reason, as it should be.
    pub refused: u64,
    /// The API server could not call datagate, or got no verdict from it.
    pub failed_admissions: u64,
    /// Admitted, and should have been refused.
    pub wrongly_admitted: u64,
    /// Anything else, counted by what was said.
    pub other: BTreeMap<String, u64>,
    /// Violating objects found in the namespace after the run.
    pub violating_stored: u64,
    pub slowest_ms: u64,
    pub seconds: u64,
    /// The words of the first failed admission.
    pub first_failure: Option<String>,
}

/// A load that runs.
pub struct Load {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Tally>,
    begun: Instant,
}

enum Outcome {
    Admitted,
    Refused,
    Failed(String),
    WronglyAdmitted,
    Other(String),
}

impl Load {
    pub fn start(rig: &Rig, name: &'static str) -> Self {
        let runtime = Runtime::new().unwrap();
        let kubeconfig = Kubeconfig::read_from(rig.cluster.kubeconfig()).unwrap();
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .unwrap();
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        let stop = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn(run(client, name, Arc::clone(&stop)));
        Self {
            runtime,
            stop,
            task,
            begun: Instant::now(),
        }
    }

    /// Ends it, waits for the last answers and judges what is stored.
    pub fn end(self, rig: &Rig) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut tally = self.runtime.block_on(self.task).unwrap();
        tally.seconds = self.begun.elapsed().as_secs();
        tally.violating_stored = violating(rig);
        let jobs = ["delete", "jobs", "--all", "--wait=false", "--namespace", LOAD];
        rig.kubectl(&jobs);
        tally
    }
}

/// How many of the stored Jobs should not be: by what each declares, not by how it was submitted.
fn violating(rig: &Rig) -> u64 {
    let jobs = rig.cluster.get(["jobs", "--namespace", LOAD]).unwrap();
    let bad = |job: &&Value| {
        let declared = &job["metadata"]["annotations"]["datagate.dev/datasets"];
        *declared != FREE
    };
    let items = jobs["items"].as_array().unwrap();
    u64::try_from(items.iter().filter(bad).count()).unwrap()
}

async fn run(client: Client, name: &'static str, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    let mut answers = JoinSet::new();
    // Late ticks are made up for: a slow answer must not lower the load that asks for it.
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        answers.spawn(ask(client.clone(), name, number));
        number += 1;
        while let Some(answer) = answers.try_join_next() {
            tally.add(answer.unwrap());
        }
    }
    while let Some(answer) = answers.join_next().await {
        tally.add(answer.unwrap());
    }
    tally
}

/// Submits the object of that number.
async fn ask(client: Client, name: &str, number: u64) -> (Outcome, Duration) {
    let dry = if number & 1 == 0 { "?dryRun=All" } else { "" };
    let bad = number & 2 == 0;
    let dataset = match (bad, number & 4 == 0) {
        (false, _) => Some(FREE),
        (true, true) => Some(PAUSED),
        (true, false) => None,
    };
    let mut object = training(LOAD, &format!("{name}-{number}"), dataset, None);
    // Stored and judged like any other, and the node has nothing to do.
    object["spec"]["suspend"] = json!(true);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/apis/batch/v1/namespaces/{LOAD}/jobs{dry}"))
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(Body::from(object.to_string().into_bytes()))
        .unwrap();
    let begun = Instant::now();
    let outcome = match client.send(request).await {
        Err(error) => Outcome::Other(error.to_string()),
        Ok(response) => {
            let code = response.status().as_u16();
            let bytes = response.into_body().collect().await.map(|body| body.to_bytes());
            let body: Value = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
            judge(code, body["message"].as_str().unwrap_or_default(), dataset)
        }
    };
    (outcome, begun.elapsed())
}

fn judge(code: u16, message: &str, dataset: Option<&str>) -> Outcome {
    let reason = match dataset {
        Some(FREE) => None,
        Some(_) => Some("[RegionPaused]"),
        None => Some("[DataUndeclared]"),
    };
    let asked = message.contains("failed calling webhook");
    match (code, reason) {
        (_, _) if asked => Outcome::Failed(message.to_owned()),
        (200..300, None) => Outcome::Admitted,
        (200..300, Some(_)) => Outcome::WronglyAdmitted,
        (403 | 422, Some(reason)) if message.contains(reason) => Outcome::Refused,
        _ => Outcome::Other(format!("{code} {message}")),
    }
}

impl Tally {
    fn add(&mut self, (outcome, took): (Outcome, Duration)) {
        self.requests += 1;
        self.slowest_ms = self
            .slowest_ms
            .max(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        match outcome {
            Outcome::Admitted => self.admitted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Failed(words) => {
                self.failed_admissions += 1;
                self.first_failure.get_or_insert(words);
            }
            Outcome::WronglyAdmitted => self.wrongly_admitted += 1,
            Outcome::Other(said) => *self.other.entry(said).or_default() += 1,
        }
    }

    /// Nothing got past datagate, and the run says something.
    #[track_caller]
    pub fn nothing_got_past(&self) {
        assert_eq!(
            (self.wrongly_admitted, self.violating_stored),
            (0, 0),
            "{self:#?}"
        );
        assert_eq!(self.other, BTreeMap::new(), "{self:#?}");
        assert!(self.admitted > 10 && self.refused > 10, "{self:#?}");
    }

    /// And nobody noticed.
    #[track_caller]
    pub fn nobody_noticed(&self) {
        self.nothing_got_past();
        assert_eq!(self.failed_admissions, 0, "{self:#?}");
    }
}
