//! The certificate and its files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datagate::metrics::Metrics;
use datagate::server::{CertError, Certs, Reload};
use rcgen::{CertifiedIssuer, KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::task::JoinSet;
use x509_parser::asn1_rs::{FromDer as _, OctetString, Sequence};

use crate::client::Client;
use crate::pki::{Clock, NAME, Pems, Secret, ca, issue, issue_as, key, params};
use crate::rig::{Rig, patient, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_costs_no_request() {
    let rig = Rig::start(patient()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for keeps in [true, true, false, false] {
        let (to, stop) = (rig.webhook, stop.clone());
        load.spawn(async move {
            let mut client = Client::connect(to).await.unwrap();
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                if !keeps {
                    client = Client::connect(to).await.unwrap();
                }
                assert_eq!(client.post("x").await.unwrap().status, 200);
                done += 1;
            }
            done
        });
    }
    for _ in 0..10 {
        let next = issue();
        rig.secret.swap(next.cert.as_bytes(), next.key.as_bytes());
        until("the new one is served", async || {
            rig.client().await.serial() == next.serial
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let done = load.join_all().await;
    assert!(done.iter().all(|&n| n > 0), "{done:?}");
    assert_eq!(rig.metrics.server.reloads.get(), 11);
}

#[tokio::test]
async fn a_bad_pair_leaves_the_last_good_one_served_and_a_good_one_ends_that() {
    let rig = Rig::start(patient()).await;
    let (next, other) = (issue(), issue());
    rig.secret.swap(next.cert.as_bytes(), other.key.as_bytes());
    until("noticed", async || rig.metrics.server.reload_failures.get() > 2).await;
    assert_eq!(rig.client().await.serial(), rig.pems.serial);
    let ready = Client::get(rig.admin, "/readyz").await;
    assert_eq!(ready.status, 200);
    let text = format!(
        "serial {}, valid until 2030-01-01T00:00:00Z; its files cannot be used: the key",
        rig.pems.serial
    );
    assert!(ready.body.contains(&text), "{}", ready.body);
    rig.secret.swap(next.cert.as_bytes(), next.key.as_bytes());
    until("served", async || rig.client().await.serial() == next.serial).await;
    assert!(
        !Client::get(rig.admin, "/readyz")
            .await
            .body
            .contains("cannot be used")
    );
}

#[tokio::test]
async fn a_server_that_starts_without_a_certificate_waits_for_one() {
    let pems = issue();
    let rig = Rig::start_with(patient(), Secret::empty(), pems.clone()).await;
    until("asked", async || rig.metrics.server.reload_failures.get() > 0).await;
    let ready = Client::get(rig.admin, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready
            .body
            .contains("[-] certificate: its files cannot be used: cannot read"),
        "{}",
        ready.body
    );
    assert!(Client::connect(rig.webhook).await.is_err());
    rig.secret.swap(pems.cert.as_bytes(), pems.key.as_bytes());
    until("ready", async || {
        Client::get(rig.admin, "/readyz").await.status == 200
    })
    .await;
    assert_eq!(rig.client().await.serial(), pems.serial);
}

#[tokio::test]
async fn a_certificate_that_expires_ends_readiness() {
    let rig = Rig::start(patient()).await;
    assert_eq!(rig.client().await.serial(), rig.pems.serial);
    rig.clock.set("2030-01-01T00:00:01Z");
    let ready = Client::get(rig.admin, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready
            .body
            .contains("[-] certificate: not valid at 2030-01-01T00:00:01Z"),
        "{}",
        ready.body
    );
}

#[test]
fn what_cannot_be_used_is_told_and_the_last_good_one_stays() {
    let good = issue();
    let (secret, clock, metrics) = (Secret::holding(&good), Clock::new(), Arc::new(Metrics::new()));
    let certs = Certs::new(secret.files(), clock.wall(), metrics.clone());
    assert_eq!(certs.health().text, "not read yet");
    assert_eq!(certs.reload().unwrap(), Reload::Swapped);
    assert_eq!(certs.reload().unwrap(), Reload::Unchanged);

    let next = issue();
    let mut old = params(&[NAME]);
    old.not_after = date_time_ymd(2026, 5, 31);
    let old = issue_as(&old, &key());
    let mut early = params(&[NAME]);
    early.not_before = date_time_ymd(2026, 6, 2);
    let early = issue_as(&early, &key());
    let nameless = issue_as(&params(&[]), &key());
    let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    let encrypted = next.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let large = "x".repeat(1024 * 1024);
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let reversed = format!("{}{}", garbage, next.cert);
    type Expected = fn(&CertError) -> bool;
    let cases: [(&str, &str, &str, Expected); 17] = [
        ("another's key", &next.cert, &good.key, |e| {
            matches!(e, CertError::Mismatch { .. })
        }),
        ("expired", &old.cert, &old.key, |e| {
            matches!(e, CertError::Expired { .. })
        }),
        ("not yet valid", &early.cert, &early.key, |e| {
            matches!(e, CertError::NotYetValid { .. })
        }),
        ("no name", &nameless.cert, &nameless.key, |e| {
            matches!(e, CertError::NoName { .. })
        }),
        ("both empty", "", "", |e| {
            matches!(e, CertError::NoCertificate { .. })
        }),
        ("no certificate", "", &next.key, |e| {
            matches!(e, CertError::NoCertificate { .. })
        }),
        ("no key", &next.cert, "", |e| matches!(e, CertError::NoKey { .. })),
        ("swapped files", &next.key, &next.cert, |e| {
            matches!(e, CertError::NoCertificate { .. })
        }),
        ("half a certificate", &half(&next.cert), &next.key, |e| {
            matches!(e, CertError::Pem { .. })
        }),
        ("half a key", &next.cert, &half(&next.key), |e| {
            matches!(e, CertError::Pem { .. })
        }),
        ("text", "hello", &next.key, |e| {
            matches!(e, CertError::NoCertificate { .. })
        }),
        ("garbage in PEM", garbage, &next.key, |e| {
            matches!(e, CertError::Certificate { position: 1, .. })
        }),
        ("garbage first", &reversed, &next.key, |e| {
            matches!(e, CertError::Certificate { position: 1, .. })
        }),
        ("a garbage key", &next.cert, bad_key, |e| {
            matches!(e, CertError::Key { .. })
        }),
        ("an encrypted key", &next.cert, &encrypted, |e| {
            matches!(e, CertError::NoKey { .. })
        }),
        ("1 MiB", &large, &next.key, |e| {
            matches!(e, CertError::TooLarge { .. })
        }),
        ("a key of 1 MiB", &next.cert, &large, |e| {
            matches!(e, CertError::TooLarge { .. })
        }),
    ];
    for (count, (name, cert, key, expected)) in (1..).zip(cases) {
        secret.swap(cert.as_bytes(), key.as_bytes());
        let error = certs.reload().unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
        let health = certs.health();
        assert!(
            health.ok && health.text.contains(&good.serial),
            "{name}: {health:?}"
        );
        assert!(health.text.contains(&error.to_string()), "{name}: {health:?}");
        assert_eq!(metrics.server.reload_failures.get(), count, "{name}");
    }
    // Bytes that are no text at all.
    secret.swap(&[0xff, 0x00, 0x2d, 0x2d], &[0xfe; 100]);
    assert!(certs.reload().is_err());
    let files = secret.files();
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(certs.reload().unwrap_err(), CertError::Read { path, .. } if path == files.key));
    assert_eq!(
        (metrics.server.reloads.get(), metrics.server.not_after.get()),
        (1, 1_893_456_000)
    );
}

#[test]
fn what_was_too_early_is_used_when_its_time_has_come() {
    let mut early = params(&[NAME]);
    early.not_before = date_time_ymd(2026, 6, 2);
    let early = issue_as(&early, &key());
    let (secret, clock) = (Secret::holding(&early), Clock::new());
    let certs = Certs::new(secret.files(), clock.wall(), Arc::default());
    assert!(matches!(certs.reload(), Err(CertError::NotYetValid { .. })));
    assert!(!certs.health().ok);
    clock.set("2026-06-02T00:00:00Z");
    assert_eq!(certs.reload().unwrap(), Reload::Swapped);
    assert!(certs.health().ok);
}

#[tokio::test]
async fn every_kind_of_key_and_a_chain_are_served() {
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let ec = key();
    let of = |key: &KeyPair| issue_as(&params(&[NAME]), key);
    let intermediate = CertifiedIssuer::signed_by(ca("intermediate"), key(), &crate::pki::CA).unwrap();
    let leaf_key = key();
    let leaf = params(&[NAME]).signed_by(&leaf_key, &intermediate).unwrap();
    let chain = Pems {
        serial: crate::pki::serial(leaf.der()),
        cert: format!("{}{}", leaf.pem(), intermediate.pem()),
        key: leaf_key.serialize_pem(),
    };
    let rig = Rig::start(patient()).await;
    for (name, pems) in [
        ("PKCS#8 ECDSA", of(&ec)),
        (
            "SEC1",
            Pems {
                key: unwrap_pkcs8(&ec, "EC PRIVATE KEY"),
                ..of(&ec)
            },
        ),
        ("PKCS#8 RSA", of(&rsa)),
        (
            "PKCS#1",
            Pems {
                key: unwrap_pkcs8(&rsa, "RSA PRIVATE KEY"),
                ..of(&rsa)
            },
        ),
        ("Ed25519", of(&KeyPair::generate_for(&PKCS_ED25519).unwrap())),
        ("a chain", chain),
    ] {
        rig.secret.swap(pems.cert.as_bytes(), pems.key.as_bytes());
        until(name, async || rig.client().await.serial() == pems.serial).await;
        assert_eq!(rig.client().await.post("x").await.unwrap().status, 200, "{name}");
    }
}

/// The key inside of PKCS#8, which is what the older formats hold.
fn unwrap_pkcs8(key: &KeyPair, label: &str) -> String {
    let der = key.serialize_der();
    let (_, outer) = Sequence::from_der(&der).unwrap();
    // Version (3 bytes), algorithm, then the key.
    let (rest, _algorithm) = Sequence::from_der(&outer.content[3..]).unwrap();
    let (_, inner) = OctetString::from_der(rest).unwrap();
    let pem = pem_of(label, inner.as_cow());
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    pem
}

fn pem_of(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, i| {
            bits << 8 | u32::from(*three.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]);
            text.push(if i <= three.len() { digit } else { '=' });
        }
    }
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
