//! How much a client may send and hold.

use datagate::metrics::Outcome;
use datagate::server::Config;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};

use crate::client::{LONG, head, post};
use crate::rig::{Rig, ms, patient, until};

fn limit(max_body: usize) -> Config {
    Config {
        max_body,
        ..patient()
    }
}

#[tokio::test]
async fn a_body_announced_too_large_is_refused_without_reading_it_all() {
    let rig = Rig::start(limit(100_000)).await;
    let mut client = rig.client().await;
    client.send(head("/validate", 100_000_000)).await.unwrap();
    client
        .send([&b"{\"uid\":42"[..], &[b'x'; 30_000]].concat())
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("larger than 100000 bytes"), "{answer:?}");
    assert!(answer.body.ends_with("16384 bytes, {\"uid\":42"), "{answer:?}");
    assert!(answer.closes());
    assert!(client.closed().await);
    assert_eq!(rig.metrics.server.requests(Outcome::TooLarge), 1);
}

#[tokio::test]
async fn the_refusal_reaches_a_client_that_is_still_sending() {
    let rig = Rig::start(Config {
        linger: LONG,
        ..limit(100_000)
    })
    .await;
    let (mut reader, mut writer) = split(rig.client().await.io);
    let writes = tokio::spawn(async move {
        let written = writer
            .write_all(&post("/validate", &vec![b'x'; 20_000_000]))
            .await;
        (written.is_ok(), writer)
    });
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("larger than 100000 bytes"));
    // The connection was not reset under it.
    assert!(writes.await.unwrap().0);
}

#[tokio::test]
async fn chunks_count_as_they_come() {
    let rig = Rig::start(limit(1_000)).await;
    let head = "POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let mut client = rig.client().await;
    for chunks in [2, 1] {
        client.send(head).await.unwrap();
        for _ in 0..chunks {
            client
                .send(format!("1f4\r\n{}\r\n", "x".repeat(500)))
                .await
                .unwrap();
        }
        client.send("0\r\n\r\n").await.unwrap();
        assert_eq!(
            client.answer().await.unwrap().body,
            format!("{} bytes", chunks * 500)
        );
    }
    client.send(head).await.unwrap();
    client
        .send(format!("3e9\r\n{}\r\n", "x".repeat(1001)))
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert!(
        answer.body.contains("larger than 1000 bytes") && answer.body.contains("1000 bytes, x"),
        "{answer:?}"
    );
    // A size that no number holds.
    let mut client = rig.client().await;
    client.send(format!("{head}fffffffffffffffff\r\n")).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert!(answer.body.contains("broke off"), "{answer:?}");
    assert_eq!(rig.metrics.server.requests(Outcome::Unreadable), 1);
}

#[tokio::test]
async fn a_content_length_that_lies() {
    let rig = Rig::start(patient()).await;
    // Less than came: the rest is taken for the next request, and is none.
    let mut client = rig.client().await;
    client
        .send([head("/validate", 3).as_bytes(), b"abcdefgh\r\n\r\n"].concat())
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().body, "3 bytes");
    assert_eq!(client.answer().await.unwrap().status, 400);
    client.closed().await;
    // More than came.
    let mut client = rig.client().await;
    client
        .send([head("/validate", 100).as_bytes(), b"abc"].concat())
        .await
        .unwrap();
    drop(client);
    until("given up", async || rig.metrics.server.connections.get() == 0).await;
    // Two that differ, or one that is no number.
    for extra in ["Content-Length: 4\r\n", "Content-Length: -1\r\n"] {
        let mut client = rig.client().await;
        let request = head("/validate", 3).replace("Host: ", &format!("{extra}Host: "));
        client.send([request.as_bytes(), b"abc"].concat()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 400, "{extra}");
    }
    assert_eq!(rig.client().await.post("x").await.unwrap().status, 200);
}

#[tokio::test]
async fn beyond_the_budget_clients_are_told_to_come_again() {
    let rig = Rig::start(Config {
        in_flight_bytes: 200_000,
        ..patient()
    })
    .await;
    let mut first = rig.client().await;
    let body = [&b"waits"[..], &vec![b'x'; 149_995]].concat();
    first.send(post("/validate", &body)).await.unwrap();
    rig.arrived(1).await;
    assert_eq!(rig.metrics.server.in_flight_bytes.get(), 150_000);
    let mut second = rig.client().await;
    let answer = second.post(vec![b'x'; 100_000]).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.closes());
    assert!(second.closed().await);
    assert_eq!(rig.client().await.post("small").await.unwrap().status, 200);
    rig.go(1);
    assert_eq!(first.answer().await.unwrap().body, "waited");
    until("given back", async || {
        rig.metrics.server.in_flight_bytes.get() == 0
    })
    .await;
    assert_eq!(
        rig.client().await.post(vec![b'x'; 100_000]).await.unwrap().status,
        200
    );
    assert_eq!(rig.metrics.server.requests(Outcome::OverBudget), 1);
}

#[tokio::test]
async fn announcing_large_bodies_takes_nothing_from_others() {
    let rig = Rig::start(Config {
        in_flight_bytes: 40_000_000,
        ..patient()
    })
    .await;
    let mut announcing = Vec::new();
    for _ in 0..10 {
        let mut client = rig.client().await;
        client.send(head("/validate", 30_000_000)).await.unwrap();
        announcing.push(client);
    }
    until("all read", async || rig.metrics.server.in_flight.get() == 10).await;
    assert_eq!(rig.metrics.server.in_flight_bytes.get(), 0);
    assert_eq!(
        rig.client()
            .await
            .post(vec![b'x'; 30_000_000])
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn heads_are_bounded() {
    let rig = Rig::start(patient()).await;
    for (headers, status) in [
        (format!("X-Large: {}\r\n", "x".repeat(14_000)), 200),
        (format!("X-Large: {}\r\n", "x".repeat(17_000)), 431),
        ("X-Many: x\r\n".repeat(90), 200),
        ("X-Many: x\r\n".repeat(101), 431),
    ] {
        let mut client = rig.client().await;
        let request = head("/validate", 1).replace("\r\n\r\n", &format!("\r\n{headers}\r\nx"));
        client.send(request).await.unwrap();
        assert_eq!(
            client.answer().await.unwrap().status,
            status,
            "{} bytes",
            headers.len()
        );
    }
}

#[tokio::test]
async fn beyond_the_cap_new_connections_are_told_to_come_again() {
    let rig = Rig::start(Config {
        max_connections: 2,
        spare_connections: 1,
        connection_wait: ms(20),
        shed_idle: LONG,
        ..patient()
    })
    .await;
    let mut first = rig.client().await;
    let second = rig.client().await;
    first.post("x").await.unwrap();
    let mut third = rig.client().await;
    let answer = third.post("x").await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.body, "too many connections are open\n");
    assert!(answer.closes());
    assert!(third.closed().await);
    drop(third);
    // It takes the place of nobody, and whoever has one is served.
    assert_eq!(rig.metrics.server.connections.get(), 2);
    assert_eq!(rig.metrics.server.requests(Outcome::OverBudget), 1);
    assert_eq!(first.post("x").await.unwrap().status, 200);
    drop(second);
    until("a place is free", async || {
        rig.metrics.server.connections.get() == 1
    })
    .await;
    assert_eq!(rig.client().await.post("x").await.unwrap().status, 200);
}

#[tokio::test]
async fn beyond_the_cap_a_connection_waits_a_moment_for_a_place() {
    let rig = Rig::start(Config {
        max_connections: 1,
        spare_connections: 1,
        connection_wait: LONG,
        shed_idle: LONG,
        ..patient()
    })
    .await;
    let mut first = rig.client().await;
    first.post("x").await.unwrap();
    let connect = || tokio::spawn(crate::client::Client::connect(rig.webhook));
    // One waits in a spare place, and one in the system's queue.
    let mut waiting = FuturesUnordered::from_iter([connect(), connect()]);
    first.post("x").await.unwrap();
    assert!(waiting.iter().all(|it| !it.is_finished()));
    drop(first);
    for _ in 0..2 {
        let mut served = waiting.next().await.unwrap().unwrap().unwrap();
        assert_eq!(served.post("x").await.unwrap().status, 200);
    }
    assert_eq!(rig.metrics.server.requests(Outcome::OverBudget), 0);
}

#[tokio::test]
async fn beyond_the_cap_idle_connections_make_room() {
    let rig = Rig::start(Config {
        max_connections: 2,
        shed_idle: ms(20),
        ..patient()
    })
    .await;
    let mut idle = rig.client().await;
    let mut busy = rig.client().await;
    idle.post("x").await.unwrap();
    busy.send(post("/validate", b"waits")).await.unwrap();
    rig.arrived(1).await;
    assert_eq!(rig.client().await.post("x").await.unwrap().status, 200);
    assert!(idle.closed().await);
    assert_eq!(rig.metrics.server.shed.get(), 1);
    rig.go(1);
    assert_eq!(busy.answer().await.unwrap().status, 200);
}
