//! What a stop costs: nothing.

use datagate::metrics::Outcome;
use datagate::server::Config;

use crate::client::{Client, LONG, post};
use crate::rig::{Rig, ms, patient, until};

#[tokio::test]
async fn a_stop_from_the_signal_to_the_end() {
    let mut rig = Rig::start(Config {
        drain_delay: ms(300),
        drain_refuse: ms(300),
        drain_timeout: LONG,
        ..patient()
    })
    .await;
    let mut busy = rig.client().await;
    busy.send(post("/validate", b"waits")).await.unwrap();
    let (mut kept, mut late) = (rig.client().await, rig.client().await);
    assert!(!kept.post("x").await.unwrap().closes());
    assert!(!late.post("x").await.unwrap().closes());
    rig.arrived(1).await;
    assert_eq!(Client::get(rig.admin, "/readyz").await.status, 200);

    rig.stop();
    until("not ready", async || {
        Client::get(rig.admin, "/readyz").await.status == 503
    })
    .await;
    assert_eq!(Client::get(rig.admin, "/livez").await.status, 200);
    // Still served, old connections and new ones, each for one request.
    for client in [&mut kept, &mut rig.client().await] {
        let answer = client.post("x").await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.closes());
        assert!(client.closed().await);
    }

    // Then refused, in a way that has the API server try again at once, elsewhere.
    until("refused", async || {
        rig.client().await.post("x").await.unwrap().status == 503
    })
    .await;
    let answer = late.post(vec![b'x'; 100_000]).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("0")));
    assert!(answer.closes());
    assert!(late.closed().await);

    // Then nobody is accepted; what is being answered is still waited for.
    until("closed", async || Client::connect(rig.webhook).await.is_err()).await;
    assert_eq!(Client::get(rig.admin, "/livez").await.status, 200);
    rig.go(1);
    assert_eq!(busy.answer().await.unwrap().body, "waited");
    assert!(busy.closed().await);
    rig.ended().await;
    assert!(rig.metrics.server.requests(Outcome::Draining) >= 2);
    assert_eq!(rig.metrics.server.connections.get(), 0);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut rig = Rig::start(Config {
        drain_timeout: LONG * 10,
        ..patient()
    })
    .await;
    let mut idle = rig.client().await;
    idle.post("x").await.unwrap();
    let mut fresh = rig.client().await;
    let mut silent = Client::plain(rig.webhook).await;
    until("all accepted", async || rig.metrics.server.connections.get() == 3).await;
    rig.stop();
    rig.ended().await;
    assert!(idle.closed().await);
    fresh.closed().await;
    silent.closed().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off() {
    let mut rig = Rig::start(Config {
        drain_timeout: ms(50),
        ..patient()
    })
    .await;
    let mut client = rig.client().await;
    client.send(post("/validate", b"waits")).await.unwrap();
    rig.arrived(1).await;
    rig.stop();
    rig.ended().await;
    assert!(client.answer().await.is_err());
}

/// What the API server does: keeps connections, closes where asked to, and tries again on 503 with `Retry-After`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_no_request() {
    let drain = Config {
        drain_delay: ms(100),
        drain_refuse: ms(100),
        drain_timeout: LONG,
        ..patient()
    };
    let mut rig = Rig::start(drain).await;
    let other = Rig::start(patient()).await;
    let (first, second) = (rig.webhook, other.webhook);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let (mut moved, mut kept, mut to) = (0, None, first);
                while moved < 20 {
                    let mut client = match kept.take() {
                        Some(client) => client,
                        None => Client::connect(to).await.unwrap(),
                    };
                    let answer = client.post(vec![b'x'; 5_000]).await.unwrap();
                    match answer.status {
                        200 => moved += i32::from(to == second),
                        // Endpoints are updated late: only now is the other replica known.
                        503 => to = second,
                        status => panic!("{status}"),
                    }
                    kept = (!answer.closes()).then_some(client);
                }
            })
        })
        .collect();
    until("load", async || {
        rig.metrics.server.requests(Outcome::Answered) > 100
    })
    .await;
    rig.stop();
    for client in clients {
        client.await.unwrap();
    }
    rig.ended().await;
    assert!(other.metrics.server.requests(Outcome::Answered) > 0);
}
