//! A CA whose whole life passes in seconds: nobody asks for anything, the clock does it.

use std::time::Duration;

use datagate_env::{Options, free_port, wait_until};
use jiff::Timestamp;

use super::probe::{decode, show};
use crate::webhook::objects::{FINE, PAUSED, REGION_PAUSED, declare, job, policy, record};
use crate::webhook::team::MARKER;
use crate::webhook::{Api, RELEASE, Server, control_plane, own_kubeconfig};

/// Longer than two lives.
const LONG: Duration = Duration::from_secs(150);

#[test]
fn certificates_and_ca_are_renewed_by_the_clock_and_replaced_when_all_was_down() {
    let cluster = control_plane(&Options {
        controller_manager: false,
        ..Options::default()
    });
    super::prepare(&cluster);
    let api = Api::new(&cluster);
    for object in [
        record(MARKER, &["AQ"]),
        record(PAUSED, &["DE"]),
        record(FINE, &["US"]),
    ] {
        assert!(api.apply(&object).code < 300);
    }
    api.apply(&policy(super::TEAM, super::TEAM)).admitted();
    let port = free_port().unwrap();
    let registered = super::configuration(RELEASE, &[port]);
    api.create(&registered).admitted();
    let flags = [
        format!("--ca-secret={}", super::SECRET),
        "--serving-name=127.0.0.1".to_owned(),
        "--ca-life=30".to_owned(),
        "--leaf-life=12".to_owned(),
        "--ca-settle=1".to_owned(),
        "--ca-keep=12".to_owned(),
    ];
    let kubeconfig = own_kubeconfig(&cluster);
    let server = Server::start_certified(&cluster, &kubeconfig, port, free_port().unwrap(), &flags);
    server.ready();
    let fine = declare(job(super::TEAM, "x"), FINE);
    let paused = declare(job(super::TEAM, "x"), PAUSED);
    let decided = wait_until("the API server is answered", LONG, || {
        let answer = api.dry_run(&paused);
        (answer.code == 422)
            .then_some(answer.clone())
            .ok_or_else(|| answer.text())
    });
    decided.unwrap().refused(422, &[REGION_PAUSED]);

    let metric = |name: &str| -> i64 {
        let text = server.admin("/metrics").unwrap().1;
        let value = text.lines().find_map(|it| it.strip_prefix(&format!("{name} ")));
        value.map_or(-1, |it| it.parse().unwrap())
    };
    let mut count = 0;
    let rotated = wait_until("the CA is rotated twice", LONG, || {
        api.dry_run(&fine).admitted();
        let live = api.get(&registered).admitted();
        let bundle = decode(&live["webhooks"][0]["clientConfig"]["caBundle"]).unwrap();
        show(port, &bundle).unwrap();
        count += 1;
        let rotations = metric("datagate_ca_rotations_total");
        (rotations >= 2)
            .then_some(())
            .ok_or_else(|| rotations.to_string())
    });
    rotated.unwrap();
    assert!(metric("datagate_certificate_reloads_total") > 4);
    println!("2 rotations by the clock, {count} requests and handshakes, 0 failed");

    server.kill();
    let secret = super::secret();
    let until = end_of(&api.get(&secret).admitted());
    wait_until("the CA has expired while nobody was there", LONG, || {
        let now = Timestamp::now();
        (now > until).then_some(()).ok_or_else(|| now.to_string())
    })
    .unwrap();
    server.start_again(&cluster);
    server.ready();
    wait_until("it decides again", LONG, || {
        let answer = api.dry_run(&fine);
        (answer.code == 201).then_some(()).ok_or_else(|| answer.text())
    })
    .unwrap();
    assert!(metric("datagate_ca_rotations_total") >= 1);
}

/// Until when the last of the Secret's CAs is valid.
fn end_of(secret: &serde_json::Value) -> Timestamp {
    use x509_parser::pem::Pem;
    let mut last = 0;
    for key in ["ca.crt", "next.crt"] {
        let Some(text) = secret["data"].get(key).and_then(decode) else {
            continue;
        };
        for pem in Pem::iter_from_buffer(text.as_bytes()) {
            let pem = pem.unwrap();
            let until = pem.parse_x509().unwrap().validity().not_after.timestamp();
            last = last.max(until);
        }
    }
    Timestamp::from_second(last).unwrap()
}
