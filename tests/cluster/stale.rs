//! A real API server that falls silent: what is admitted by policies that are seen no more.

use std::sync::Arc;
use std::time::Duration;

use datagate::admission::{Admission, DecisionLog, Mode};
use datagate::index::{self, Index};
use datagate::live::{self, KubeFetch};
use datagate::metrics::Metrics;
use datagate::server::Readiness;
use datagate::stop::stop;
use datagate_core::settings::Settings;
use datagate_env::ControlPlane;
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::rig::{self, LONG, apply};

/// How long a silence is borne here. A watch that is well is opened again each second.
const BOUND: Duration = Duration::from_secs(5);

const POLICY: &str = r#"
apiVersion: datagate.dev/v1alpha1
kind: DatasetPolicy
metadata: {name: stale}
spec:
  validationActions: [Deny]
  undeclared: Deny
  workloads: Accelerated
  acceptedDeclarations: [Regions]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}
"#;

/// A client whose connections pass no byte while `silent` says so.
async fn through(plane: &ControlPlane, silent: watch::Receiver<bool>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    let upstream = config.cluster_url.authority().unwrap().to_string();
    let ours = listener.local_addr().unwrap();
    config.cluster_url = format!("https://{ours}").parse().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
            tokio::spawn(pass(from_client, to_server, silent.clone()));
            tokio::spawn(pass(from_server, to_client, silent.clone()));
        }
    });
    Client::try_from(config).unwrap()
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut silent: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let heard = silent.wait_for(|it| !it).await.is_ok();
        if !heard || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

fn review() -> String {
    let limits = json!({"nvidia.com/gpu": "1"});
    let container = json!({"name": "c", "image": "i", "resources": {"limits": limits}});
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "7c1e0f3a-9d41-4f7e-8f43-000000000001",
            "kind": {"group": "batch", "version": "v1", "kind": "Job"},
            "name": "j",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "ada"},
            "object": {
                "metadata": {"name": "j", "namespace": "default", "annotations": {"datagate.dev/regions": "US"}},
                "spec": {"template": {"spec": {"containers": [container]}}},
            },
            "oldObject": null,
            "dryRun": false,
        },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_governed_is_refused_while_the_api_server_is_silent_for_too_long() {
    let plane = rig::own();
    apply(&plane, POLICY);
    let (silence, silent) = watch::channel(false);
    let client = through(&plane, silent).await;
    let mut metrics = Metrics::new();
    let index = Index::new(Settings::default(), &mut metrics, &Readiness::new());
    let metrics = Arc::new(metrics);
    let (worlds, lives) = (index.worlds(), index.lives());
    let fetch = KubeFetch::new(client.clone(), live::Config::default(), metrics.live.clone());
    let log = DecisionLog::to(std::io::sink()).unwrap();
    let clock = Arc::new(Timestamp::now);
    let admission = Admission::new(worlds, fetch, clock, metrics.clone(), log, Mode::Enforce)
        .refuse_when_stale(lives.clone(), BOUND);
    let (stopper, told) = stop();
    let config = index::Config {
        watch_seconds: 1,
        ..index::Config::default()
    };
    let indexing = tokio::spawn(index::run(index, config, client, told));
    let ask = async || {
        let deadline = Instant::now() + Duration::from_secs(4);
        let reply = admission.decide(&review(), deadline).await;
        let review: Value = serde_json::from_slice(&reply.body).unwrap();
        review["response"].clone()
    };
    let until = async |allowed: bool| {
        let begun = Instant::now();
        loop {
            let answer = ask().await;
            if answer["allowed"] == allowed {
                return answer;
            }
            assert!(begun.elapsed() < LONG, "{answer:#}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    until(true).await;
    // As long as it is heard, however little happens.
    let begun = Instant::now();
    while begun.elapsed() < BOUND * 2 {
        let answer = ask().await;
        assert_eq!(answer["allowed"], true, "{answer:#}");
        sleep(Duration::from_millis(50)).await;
    }
    silence.send_replace(true);
    let begun = Instant::now();
    let refused = until(false).await;
    let borne = begun.elapsed();
    assert!(borne > BOUND / 2, "{borne:?}");
    assert_eq!(refused["status"]["code"], 503, "{refused:#}");
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("it has heard nothing from the API server for 5 s"),
        "{message}"
    );
    silence.send_replace(false);
    until(true).await;
    assert!(metrics.stale_refusals.get() > 0);
    stopper.stop();
    indexing.await.unwrap();
}
