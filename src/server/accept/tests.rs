//! The times that are set by default, measured to the millisecond: time is paused, and the network is a pipe.

use axum::routing::post;
use hyper_util::rt::TokioTimer;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::server::Config;

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

fn router() -> Router {
    Router::new()
        .route("/", post(async || "ok"))
        .route("/large", post(async || "x".repeat(1 << 20)))
        .route("/close", post(async || [(header::CONNECTION, "close")]))
}

/// The client's end of a connection that is served as by default.
async fn connect() -> DuplexStream {
    let (ours, theirs) = duplex(4096);
    let links = Links::new(1, Gauge::default());
    let place = links.open(links.slot().await.unwrap());
    let served = Served {
        router: router(),
        stage: Arc::default(),
        times: Config::default().times(),
    };
    tokio::spawn(async move { serve(theirs, &place.link, served).await });
    ours
}

/// The client's end of a connection that hyper alone serves.
fn connect_to_hyper(timeout: Option<Duration>) -> DuplexStream {
    let (ours, theirs) = duplex(4096);
    let service = service_fn(|request: Request<Incoming>| router().oneshot(request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    if let Some(timeout) = timeout {
        builder.header_read_timeout(timeout);
    }
    tokio::spawn(builder.serve_connection(TokioIo::new(theirs), service));
    ours
}

async fn answer(client: &mut DuplexStream) -> String {
    let mut text = vec![0; 4096];
    let length = client.read(&mut text).await.unwrap();
    String::from_utf8(text[..length].to_vec()).unwrap()
}

/// How long until the other side closes, in milliseconds.
async fn closes_after(client: &mut DuplexStream) -> u128 {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
    begun.elapsed().as_millis()
}

/// A timer fires on the millisecond after its time.
fn about(millis: u128, seconds: u128) -> bool {
    (seconds * 1000..=seconds * 1000 + 2).contains(&millis)
}

#[tokio::test(start_paused = true)]
async fn a_first_head_has_ten_seconds_from_the_opening() {
    for sent in [&b""[..], b"P", b"POST / HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = connect().await;
        client.write_all(sent).await.unwrap();
        let closed = closes_after(&mut client).await;
        assert!(about(closed, 10), "{closed} ms");
    }
    let mut client = connect().await;
    sleep(Duration::from_secs(9)).await;
    client.write_all(b"POST").await.unwrap();
    let closed = closes_after(&mut client).await;
    assert!(about(closed, 1), "{closed} ms: a late byte earns no more time");
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_has_longer_than_the_90_seconds_of_the_api_server() {
    let mut client = connect().await;
    for _ in 0..3 {
        client.write_all(POST).await.unwrap();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
        sleep(Duration::from_secs(129)).await;
    }
    client.write_all(POST).await.unwrap();
    answer(&mut client).await;
    let closed = closes_after(&mut client).await;
    assert!(about(closed, 130), "{closed} ms");
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_ten_seconds_from_its_first_byte() {
    let mut client = connect().await;
    client.write_all(POST).await.unwrap();
    answer(&mut client).await;
    sleep(Duration::from_secs(100)).await;
    client.write_all(&POST[..20]).await.unwrap();
    let closed = closes_after(&mut client).await;
    assert!(about(closed, 10), "{closed} ms");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let mut client = connect().await;
    client
        .write_all(b"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    // As long as some of it is taken it goes on.
    for _ in 0..10 {
        sleep(Duration::from_secs(9)).await;
        assert_ne!(answer(&mut client).await, "");
    }
    sleep(Duration::from_secs(11)).await;
    let mut rest = Vec::new();
    let read = client.read_to_end(&mut rest).await.unwrap();
    assert!(read <= 4096, "{read}: only what the pipe holds");
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_a_second_for_the_client_to_close() {
    let mut client = connect().await;
    client
        .write_all(b"POST /close HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
        .await
        .unwrap();
    assert!(answer(&mut client).await.contains("connection: close"));
    let begun = Instant::now();
    // Our side was closed at once; theirs is read until then.
    assert!(about(closes_after(&mut client).await, 0));
    while client.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
    let closed = begun.elapsed().as_millis();
    assert!((1000..=1020).contains(&closed), "{closed} ms");
}

/// Why the times are ours: if this fails, hyper may have learned to tell the two apart.
#[tokio::test(start_paused = true)]
async fn hyper_has_one_time_for_idle_connections_and_for_heads() {
    for (set, seconds) in [(None, 30), (Some(Duration::from_secs(130)), 130)] {
        let mut idle = connect_to_hyper(set);
        idle.write_all(POST).await.unwrap();
        answer(&mut idle).await;
        let closed = closes_after(&mut idle).await;
        assert!(about(closed, seconds), "idle: {closed} ms of {seconds} s");
        let mut half = connect_to_hyper(set);
        half.write_all(&POST[..20]).await.unwrap();
        let closed = closes_after(&mut half).await;
        assert!(about(closed, seconds), "half a head: {closed} ms of {seconds} s");
    }
}
