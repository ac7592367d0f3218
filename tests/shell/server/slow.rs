//! Clients that are slow, or do nothing. The times that are set by default are measured with paused time next to
//! the accept loop; here a real socket and the kernel are in between.

use std::time::Instant;

use datagate::metrics::{HandshakeFailure, Outcome};
use datagate::server::Config;
use tokio::time::sleep;

use crate::client::{Client, head, post};
use crate::rig::{Rig, ms, patient, until};

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut() {
    let rig = Rig::start(Config {
        handshake_timeout: ms(50),
        ..patient()
    })
    .await;
    let begun = Instant::now();
    assert!(Client::plain(rig.webhook).await.closed().await);
    assert!(begun.elapsed() >= ms(50));
    let mut half = Client::plain(rig.webhook).await;
    half.send(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    half.closed().await;
    assert_eq!(rig.metrics.server.handshakes(HandshakeFailure::Timeout), 2);
}

#[tokio::test]
async fn a_first_request_has_to_come() {
    let rig = Rig::start(Config {
        head_timeout: ms(80),
        ..patient()
    })
    .await;
    for sent in ["", "P", "POST /validate HTTP/1.1\r\nHost: x\r\nX-Half"] {
        let begun = Instant::now();
        let mut client = rig.client().await;
        client.send(sent).await.unwrap();
        client.closed().await;
        assert!(begun.elapsed() >= ms(80), "{sent:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_all_the_same() {
    let rig = Rig::start(Config {
        head_timeout: ms(100),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client.send("POST /validate HTTP/1.1\r\nX-Slow: ").await.unwrap();
    // Writing fails some time after the server has closed.
    until("cut", async || client.send("x").await.is_err()).await;
    assert_eq!(rig.metrics.server.connections.get(), 0);
}

#[tokio::test]
async fn a_kept_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let rig = Rig::start(Config {
        head_timeout: ms(40),
        idle_timeout: ms(400),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client.post("x").await.unwrap();
    sleep(ms(160)).await;
    assert_eq!(
        client.post("x").await.unwrap().status,
        200,
        "idle for four times what a head may take"
    );
    let idle = Instant::now();
    assert!(client.closed().await, "an idle connection ends in good order");
    assert!(idle.elapsed() >= ms(390), "{:?}", idle.elapsed());
}

#[tokio::test]
async fn half_a_later_head_is_cut_long_before_an_idle_connection() {
    let rig = Rig::start(Config {
        head_timeout: ms(60),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client.post("x").await.unwrap();
    client.send("POST /vali").await.unwrap();
    client.closed().await;
}

#[tokio::test]
async fn a_stalled_body_is_refused_with_what_had_come() {
    let rig = Rig::start(Config {
        body_timeout: ms(60),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client
        .send([head("/validate", 1_000).as_bytes(), b"{\"uid\":1,"].concat())
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains("had not arrived in full after 60ms"),
        "{answer:?}"
    );
    assert!(answer.body.ends_with("9 bytes, {\"uid\":1,"), "{answer:?}");
    assert!(answer.closes());
    assert!(client.closed().await);
    assert_eq!(rig.metrics.server.requests(Outcome::BodyTimeout), 1);
}

#[tokio::test]
async fn a_body_has_no_longer_than_the_decision() {
    let rig = Rig::start(patient()).await;
    let mut client = rig.client().await;
    client.send(head("/validate?timeout=100ms", 1_000)).await.unwrap();
    assert!(
        client
            .answer()
            .await
            .unwrap()
            .body
            .contains("had not arrived in full after 50ms")
    );
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut() {
    let rig = Rig::start(Config {
        write_timeout: ms(60),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client.send(post("/validate", b"large")).await.unwrap();
    until("cut", async || rig.metrics.server.connections.get() == 0).await;
    assert!(client.answer().await.is_err());
}

#[tokio::test]
async fn a_close_is_not_waited_for_for_ever() {
    let rig = Rig::start(Config {
        linger: ms(60),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 404);
    until("closed", async || rig.metrics.server.connections.get() == 0).await;
}
