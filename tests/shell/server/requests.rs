//! What one request is answered.

use datagate::metrics::{HandshakeFailure, Outcome};
use datagate::server::Config;
use tokio::io::AsyncReadExt as _;

use crate::client::{Client, post, tls};
use crate::rig::{Rig, ms, patient, until};

#[tokio::test]
async fn a_connection_is_kept_and_used_again() {
    let rig = Rig::start(patient()).await;
    let mut client = rig.client().await;
    for length in [0, 1, 4_096, 20_000, 3_000_000] {
        let answer = client.post(vec![b'x'; length]).await.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, &*format!("{length} bytes"))
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(!answer.closes());
    }
    assert_eq!(rig.metrics.server.connections.get(), 1);
    assert_eq!(rig.metrics.server.requests(Outcome::Answered), 5);
    assert_eq!(rig.metrics.server.in_flight_bytes.get(), 0);
    drop(client);
    until("no connection", async || {
        rig.metrics.server.connections.get() == 0
    })
    .await;
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_turn() {
    let rig = Rig::start(patient()).await;
    let mut client = rig.client().await;
    client
        .send([post("/validate", b"a"), post("/validate", b"bc")].concat())
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().body, "1 bytes");
    assert_eq!(client.answer().await.unwrap().body, "2 bytes");
}

#[tokio::test]
async fn only_http_1_1_is_offered() {
    let rig = Rig::start(patient()).await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["http/1.1"][..], Some(b"http/1.1")),
        (&[][..], None),
    ] {
        let mut client = Client::connect_with(rig.webhook, &tls(offered, true))
            .await
            .unwrap();
        assert_eq!(client.io.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        assert_eq!(client.post("x").await.unwrap().status, 200);
    }
    assert!(
        Client::connect_with(rig.webhook, &tls(&["h2"], true))
            .await
            .is_err()
    );
    let server = &rig.metrics.server;
    until("counted", async || {
        server.handshakes(HandshakeFailure::Incompatible) == 1
    })
    .await;
}

/// The first message of a client that speaks no newer version than TLS 1.`minor`, with all that a 1.2 handshake needs.
fn hello(minor: u8) -> Vec<u8> {
    let within = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let extension = |kind: u8, list: &[u8]| [&[0, kind][..], &within(&within(list))].concat();
    let groups = extension(10, &[0, 0x17, 0, 0x1d]);
    let signatures = extension(13, &[4, 3, 8, 4, 4, 1]);
    let suites = within(&[0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0, 0x2f]);
    let body = [
        &[3, minor + 1][..],
        &[7; 32],
        &[0],
        &suites,
        &[1, 0],
        &within(&[groups, signatures].concat()),
    ]
    .concat();
    let message = [&[1, 0][..], &within(&body)].concat();
    [&[22, 3, 1][..], &within(&message)].concat()
}

#[tokio::test]
async fn nothing_older_than_tls_1_2_is_spoken() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const PROTOCOL_VERSION: u8 = 70;
    let rig = Rig::start(patient()).await;
    for minor in [0, 1] {
        let mut client = Client::plain(rig.webhook).await;
        client.send(hello(minor)).await.unwrap();
        let mut answer = Vec::new();
        client.io.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&ALERT), "TLS 1.{minor}: {answer:?}");
        assert_eq!(
            answer.get(6),
            Some(&PROTOCOL_VERSION),
            "TLS 1.{minor}: {answer:?}"
        );
        assert_eq!(answer.len(), 7, "TLS 1.{minor}: {answer:?}");
    }
    // It is the version that was refused.
    let mut client = Client::plain(rig.webhook).await;
    client.send(hello(2)).await.unwrap();
    let mut first = [0];
    client.io.read_exact(&mut first).await.unwrap();
    assert_eq!(first, [HANDSHAKE]);
}

#[tokio::test]
async fn failed_handshakes_are_told_apart() {
    let rig = Rig::start(patient()).await;
    let server = &rig.metrics.server;
    assert!(Client::connect_with(rig.webhook, &tls(&[], false)).await.is_err());
    until("distrust", async || {
        server.handshakes(HandshakeFailure::CertificateRejected) == 1
    })
    .await;
    let mut plain = Client::plain(rig.webhook).await;
    plain.send("GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until("no TLS", async || {
        server.handshakes(HandshakeFailure::Malformed) == 1
    })
    .await;
    drop(Client::plain(rig.webhook).await);
    until("a probe", async || {
        server.handshakes(HandshakeFailure::Closed) == 1
    })
    .await;
    assert_eq!(rig.client().await.post("x").await.unwrap().status, 200);
}

#[tokio::test]
async fn misdirected_requests_are_told_where_to_go() {
    let rig = Rig::start(patient()).await;
    for (request, status, text) in [
        (
            "GET /validate HTTP/1.1\r\nHost: x\r\n\r\n",
            405,
            "POST an AdmissionReview to /validate",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            404,
            "POST an AdmissionReview to /validate",
        ),
        (
            "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
            404,
            "on the admin port",
        ),
        (
            "POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            415,
            "application/json",
        ),
        (
            "POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: text/yaml\r\nContent-Length: 9999\r\n\r\nabc",
            415,
            "application/json",
        ),
    ] {
        let mut client = rig.client().await;
        client.send(request).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "{request}");
        assert!(
            answer.body.contains(text) && answer.body.ends_with('\n'),
            "{}",
            answer.body
        );
        assert!(answer.closes());
        assert!(client.closed().await);
    }
    assert_eq!(rig.metrics.server.requests(Outcome::Misdirected), 5);
}

#[tokio::test]
async fn a_panic_becomes_a_refusal_and_nothing_else_notices() {
    let rig = Rig::start(patient()).await;
    let mut client = rig.client().await;
    let answer = client.post("panic: uid").await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains("internal error") && answer.body.ends_with("10 bytes, panic: ui"),
        "{answer:?}"
    );
    assert_eq!(client.post("panic twice").await.unwrap().status, 500);
    assert_eq!(client.post("x").await.unwrap().body, "1 bytes");
    assert_eq!(rig.metrics.server.requests(Outcome::Panicked), 2);
    assert_eq!(rig.metrics.server.in_flight.get(), 0);
}

#[tokio::test]
async fn the_deadline_is_what_the_api_server_leaves_within_our_own() {
    let rig = Rig::start(Config {
        max_deadline: ms(4_000),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    for (target, seconds) in [
        ("/validate", "4.0"),
        ("/validate?timeout=30s", "4.0"),
        ("/validate?timeout=3s", "2.0"),
    ] {
        client.send(post(target, b"time?")).await.unwrap();
        assert_eq!(client.answer().await.unwrap().body, seconds, "{target}");
    }
}

#[tokio::test]
async fn a_decision_that_does_not_come_is_refused_in_time() {
    let rig = Rig::start(Config {
        max_deadline: ms(50),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    let answer = client.post("hangs").await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains("no decision in the time") && answer.body.ends_with("5 bytes, hangs"),
        "{answer:?}"
    );
    assert_eq!(client.post("x").await.unwrap().status, 200);
    assert_eq!(rig.metrics.server.requests(Outcome::Deadline), 1);
}

#[tokio::test]
async fn a_reply_that_asks_to_come_again_ends_the_connection() {
    let rig = Rig::start(patient()).await;
    let mut client = rig.client().await;
    let answer = client.post("later").await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")));
    assert!(answer.closes());
    assert!(client.closed().await);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let rig = Rig::start(patient()).await;
    let mut client = rig.client().await;
    client.send(post("/validate", b"waits")).await.unwrap();
    rig.arrived(1).await;
    assert_eq!(
        (
            rig.metrics.server.in_flight.get(),
            rig.metrics.server.in_flight_bytes.get()
        ),
        (1, 5)
    );
    drop(client);
    until("cancelled", async || {
        rig.metrics.server.requests(Outcome::Cancelled) == 1
    })
    .await;
    assert_eq!(
        (
            rig.metrics.server.in_flight.get(),
            rig.metrics.server.in_flight_bytes.get()
        ),
        (0, 0)
    );
}
