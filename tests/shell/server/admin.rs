//! The admin port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datagate::server::Health;

use crate::client::Client;
use crate::rig::{Rig, ms, patient, until};

#[tokio::test]
async fn alive_whatever_the_checks_say() {
    let rig = Rig::start(patient()).await;
    rig.readiness
        .add("policies", || Health::failing("first list not read yet"));
    let answer = Client::get(rig.admin, "/livez").await;
    assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
}

#[tokio::test]
async fn ready_when_every_check_passes() {
    let rig = Rig::start(patient()).await;
    let synced = Arc::new(AtomicBool::new(false));
    rig.readiness.add("policies", {
        let synced = synced.clone();
        move || match synced.load(Ordering::Relaxed) {
            true => Health::ok("synced").seen(ms(1_500)),
            false => Health::failing("first list not read yet"),
        }
    });
    let answer = Client::get(rig.admin, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.starts_with("[-] policies: first list not read yet\n"),
        "{}",
        answer.body
    );
    assert!(answer.body.ends_with("\nnot ready\n"), "{}", answer.body);
    synced.store(true, Ordering::Relaxed);
    until("ready", async || {
        Client::get(rig.admin, "/readyz").await.status == 200
    })
    .await;
    let body = Client::get(rig.admin, "/readyz").await.body;
    let certificate = format!(
        "[+] certificate: serial {}, valid until 2030-01-01T00:00:00Z (",
        rig.pems.serial
    );
    assert!(body.contains(&certificate), "{body}");
    assert!(body.contains("\n[+] serving: serving\n"), "{body}");
    assert!(body.contains("[+] policies: synced (1.5 s ago)\n"), "{body}");
    assert!(body.ends_with("\nready\n"), "{body}");
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let rig = Rig::start(patient()).await;
    rig.client().await.post("x").await.unwrap();
    let answer = Client::get(rig.admin, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for line in [
        "datagate_requests_total{outcome=\"answered\"} 1",
        "datagate_requests_total{outcome=\"panicked\"} 0",
        "datagate_request_duration_seconds_bucket{le=\"0.0001\"} ",
        "datagate_request_duration_seconds_bucket{le=\"5.0\"} 1",
        "datagate_requests_in_flight 0",
        "datagate_in_flight_bytes 0",
        "datagate_connections ",
        "datagate_tls_handshake_failures_total{reason=\"certificate_rejected\"} 0",
        "datagate_certificate_not_after_timestamp_seconds 1893456000",
        "datagate_certificate_reload_failures_total 0",
        "# EOF",
    ] {
        assert!(
            answer.body.lines().any(|l| l.starts_with(line)),
            "{line} is not in\n{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn other_paths_and_methods() {
    let rig = Rig::start(patient()).await;
    let answer = Client::get(rig.admin, "/validate").await;
    assert_eq!(
        (answer.status, &*answer.body),
        (404, "there are /livez, /readyz, /metrics and /debug\n")
    );
    let mut client = Client::plain(rig.admin).await;
    assert_eq!(client.post("x").await.unwrap().status, 404);
    client
        .send("DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.body), (405, "use GET\n"));
}
