//! What datagate adds to a request through a real API server, against a webhook of the same transport that only reads the
//! body and admits. Pairs of dry-run creates, interleaved; ratios of one run count, not times.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench fails by panicking and prints what it found"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use datagate::admission::{Admission, DecisionLog, Mode};
use datagate::live::Fetch;
use datagate::metrics::Metrics;
use datagate::server::{
    Admit, CertFiles, Certs, Config, Failure, Insight, Listeners, Reply, WallClock, serve,
};
use datagate_core::fetched::{Fetched, Need};
use datagate_env::{Binaries, ControlPlane, Options};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

mod world;

/// Pairs of each kind; enough for a p99 that means something.
const ROUNDS: usize = 2000;

/// All that is needed is at hand.
struct Nowhere;

impl Fetch for Nowhere {
    async fn fetch(&self, needs: &[Need], into: &mut Fetched, _: tokio::time::Instant) {
        panic!("nothing is missing here: {needs:?}, {into:?}");
    }
}

/// Reads the body, copies the uid, admits.
struct Null;

impl Admit for Null {
    async fn admit(&self, body: Bytes, _: tokio::time::Instant) -> Reply {
        let key = b"\"uid\":\"";
        let at = body.windows(key.len()).position(|it| it == key).unwrap() + key.len();
        let uid = std::str::from_utf8(&body[at..at + 36]).unwrap();
        let answer = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
        );
        Reply {
            status: axum::http::StatusCode::OK,
            retry_after: None,
            body: answer.into(),
        }
    }

    fn refuse(&self, _: &[u8], why: Failure) -> Reply {
        panic!("{why}")
    }
}

/// Serves an `Admit` for one namespace of the cluster.
async fn register(plane: &ControlPlane, client: &kube::Client, namespace: &str, admit: impl Admit) {
    plane.create_namespace(namespace).unwrap();
    let cert = plane.server_cert(&["localhost"]).unwrap();
    let [cert_file, key_file] = ["crt", "key"].map(|it| plane.dir().join(format!("{namespace}.{it}")));
    std::fs::write(&cert_file, cert.cert_pem).unwrap();
    std::fs::write(&key_file, cert.key_pem).unwrap();
    let metrics = Arc::new(Metrics::new());
    let clock: WallClock = Arc::new(jiff::Timestamp::now);
    let certs = Certs::new(
        CertFiles {
            cert: cert_file,
            key: key_file,
        },
        clock,
        metrics.clone(),
    );
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners::bind(any, any).await.unwrap();
    let port = listeners.webhook.local_addr().unwrap().port();
    let never = std::future::pending();
    tokio::spawn(serve(
        Config::default(),
        listeners,
        certs,
        admit,
        Insight {
            metrics,
            ..Insight::default()
        },
        never,
    ));
    let ca = serde_json::to_value(k8s_openapi::ByteString(plane.ca_pem().as_bytes().to_vec())).unwrap();
    let webhook = json!({
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": format!("{namespace}.bench.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://localhost:{port}/validate"), "caBundle": ca},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": ["batch"], "apiVersions": ["*"], "resources": ["jobs"], "operations": ["CREATE"]}],
        }],
    });
    let webhook: ValidatingWebhookConfiguration = serde_json::from_value(webhook).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &webhook)
        .await
        .unwrap();
}

async fn create(jobs: &Api<Job>, job: &Job) -> Duration {
    let begun = Instant::now();
    jobs.create(
        &PostParams {
            dry_run: true,
            ..PostParams::default()
        },
        job,
    )
    .await
    .unwrap();
    begun.elapsed()
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let plane = ControlPlane::start(&Binaries::find_or_build().unwrap(), &Options::default()).unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let worlds = Arc::new(ArcSwapOption::from_pointee(world::world(10, 1, 1)));
    let log = DecisionLog::to(std::io::sink()).unwrap();
    let clock: WallClock = Arc::new(world::now);
    let ours = Admission::new(
        worlds,
        Nowhere,
        clock,
        Arc::new(Metrics::new()),
        log,
        Mode::Enforce,
    );
    plane.create_namespace("none").unwrap();
    register(&plane, &client, "null", Null).await;
    register(&plane, &client, "ml", ours).await;
    let review: serde_json::Value = serde_json::from_str(&world::review(4 * 1024)).unwrap();
    let object = &review["request"]["object"];
    let mut job = json!({"metadata": {"generateName": "bench-", "annotations": object["metadata"]["annotations"], "labels": {"app": "bench", "datagate.dev/purpose": "GenerativeAITraining"}}, "spec": {"template": object["spec"]["template"]}});
    job["spec"]["template"]["metadata"] = json!({});
    let job: Job = serde_json::from_value(job).unwrap();
    let namespaces = ["none", "null", "ml"].map(|it| Api::<Job>::namespaced(client.clone(), it));
    // A configuration takes a moment to be honoured, and connections to be opened.
    for _ in 0..300 {
        for jobs in &namespaces {
            create(jobs, &job).await;
        }
    }
    let mut times = [const { Vec::<Duration>::new() }; 3];
    for round in 0..ROUNDS * 3 {
        times[round % 3].push(create(&namespaces[round % 3], &job).await);
    }
    for percent in [50, 99] {
        let [none, null, ours] = [0, 1, 2].map(|it| percentile(&mut times[it], percent));
        println!(
            "p{percent}: no webhook {none:.2} ms; null adds {:.2} ms; datagate adds {:.2} ms: {:.2} times",
            null - none,
            ours - none,
            (ours - none) / (null - none)
        );
    }
}
