//! What the server tells of its decisions: the exact lines of the log, and how many series there can be.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use datagate::admission::{Admission, DecisionLog, KeyError, Mode, Pseudonyms};
use datagate::metrics::Metrics;
use datagate::server::Admit as _;
use datagate_core::workload::KnownKind;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admission::{GPU, Nowhere, UID, review, worlds};
use crate::client::LONG;

/// The key of the examples in docs/decision-log.md.
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Standard output, as lines.
struct Lines(Sender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .send(String::from_utf8(bytes.to_vec()).unwrap())
            .map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output that nobody reads any more.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        // Until the test is over.
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An admission whose log can be read.
fn logging(pseudonyms: Option<Pseudonyms>) -> (Admission<Nowhere>, Arc<Metrics>, Receiver<String>) {
    let (sender, lines) = channel();
    let log = DecisionLog::to(Lines(sender))
        .unwrap()
        .with_pseudonyms(pseudonyms);
    let clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let metrics = Arc::new(Metrics::new());
    let admission = Admission::new(worlds(), Nowhere, clock, metrics.clone(), log, Mode::Enforce);
    (admission, metrics, lines)
}

async fn line(pseudonyms: Option<Pseudonyms>, body: String) -> String {
    let (admission, _, lines) = logging(pseudonyms);
    admission
        .admit(body.into(), Instant::now() + Duration::from_secs(4))
        .await;
    lines.recv_timeout(LONG).unwrap()
}

#[tokio::test]
async fn a_line_is_exactly_this() {
    let line = line(None, review("{}", GPU)).await;
    let told: Value = serde_json::from_str(&line).unwrap();
    let said = told["findings"][0]["message"].as_str().unwrap();
    assert!(said.starts_with("p governs this workload"), "{said}");
    let expected = format!(
        r#"{{"type":"decision","time":"2026-01-01T00:00:00Z","uid":"{UID}","decision":"Denied","ground":"Judged","operation":"CREATE","dryRun":false,"object":{{"apiVersion":"batch/v1","kind":"Job","namespace":"ml","name":"j"}},"user":"ada","purposes":[],"policies":[{{"name":"p","uid":"","generation":0}}],"datasets":[],"evidence":[],"findings":[{{"reason":"DataUndeclared","action":"Deny","policy":"p","field":"","message":"{said}"}}]}}"#
    );
    assert_eq!(line, expected + "\n");
}

/// One thread decides here: one line that waited would be the end.
#[tokio::test]
async fn output_that_nobody_reads_stops_no_decision() {
    let (over, stuck) = channel();
    let log = DecisionLog::to(Stuck(stuck)).unwrap();
    let clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let metrics = Arc::new(Metrics::new());
    let admission = Admission::new(worlds(), Nowhere, clock, metrics.clone(), log, Mode::Enforce);
    let body = review("{}", GPU);
    for _ in 0..6_000 {
        let reply = admission
            .admit(body.clone().into(), Instant::now() + Duration::from_secs(4))
            .await;
        let answer = String::from_utf8_lossy(&reply.body);
        assert!(answer.contains("[DataUndeclared]"), "{answer}");
    }
    assert!(metrics.log_lost.get() > 1_000, "{}", metrics.log_lost.get());
    drop(over);
}

#[tokio::test]
async fn with_a_key_it_names_nobody() {
    let line = line(Pseudonyms::new(KEY), review("{}", GPU)).await;
    // By another implementation: printf %s user:ada | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    let expected = format!(
        r#"{{"type":"decision","time":"2026-01-01T00:00:00Z","uid":"{UID}","decision":"Denied","ground":"Judged","operation":"CREATE","dryRun":false,"object":{{"apiVersion":"batch/v1","kind":"Job","namespace":"hmac:a4d35dbae2557de88618528ee23f469f","name":"hmac:cf8f46477cbec6d403971c2f0b4bf595"}},"user":"hmac:c5fe87b498bde56d844939979652e9f7","pseudonymKey":"a8566335","purposes":[],"policies":[{{"name":"p","uid":"","generation":0}}],"datasets":[],"evidence":[],"findings":[{{"reason":"DataUndeclared","action":"Deny","policy":"p","field":""}}]}}"#
    );
    assert_eq!(line, expected + "\n");
}

#[tokio::test]
async fn no_word_of_the_object_or_its_author_is_left() {
    let body = review(r#"{"datagate.dev/datasets":"ZEBRA's"}"#, GPU)
        .replace(r#""name":"j""#, r#""name":"zebra-job""#)
        .replace(r#""namespace":"ml""#, r#""namespace":"ml","x":"zebra""#)
        .replace(r#""username":"ada""#, r#""username":"zebra@example.com""#);
    let plain = line(None, body.clone()).await;
    assert!(plain.contains("zebra-job") && plain.contains("ZEBRA"), "{plain}");
    let line = line(Pseudonyms::new(KEY), body).await;
    assert!(line.contains(r#""reason":"DeclarationInvalid""#), "{line}");
    assert!(!line.to_lowercase().contains("zebra"), "{line}");
}

#[test]
fn pseudonyms_are_stable_within_a_key_and_differ_between_keys_and_fields() {
    let one = Pseudonyms::new(KEY).unwrap();
    let other = Pseudonyms::new(&[7; 40]).unwrap();
    assert_eq!(
        one.of("user", "ada"),
        Pseudonyms::new(KEY).unwrap().of("user", "ada")
    );
    assert_ne!(one.of("user", "ada"), one.of("user", "adb"));
    assert_ne!(one.of("user", "ada"), one.of("object.name", "ada"));
    assert_ne!(one.of("user", "ada"), other.of("user", "ada"));
    assert_ne!(one.id(), other.id());
    assert!(!format!("{one:?}").contains("0123"), "{one:?}");
}

#[test]
fn keys_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    for content in [KEY.to_vec(), [KEY, b"\n"].concat(), [KEY, b"\r\n"].concat()] {
        fs::write(&file, content).unwrap();
        assert_eq!(Pseudonyms::read(&file).unwrap().id(), "a8566335");
    }
    for (content, length) in [
        (&b""[..], 0),
        (&KEY[1..], 31),
        (&[&KEY[1..], b"\n"].concat()[..], 31),
    ] {
        fs::write(&file, content).unwrap();
        let error = Pseudonyms::read(&file).unwrap_err();
        assert!(
            matches!(error, KeyError::Short { found, .. } if found == length),
            "{error}"
        );
        let told = format!(
            "--pseudonymise-key {}: the key has {length} bytes, 32 are needed. Make one: openssl rand -hex 32",
            file.display()
        );
        assert_eq!(error.to_string(), told);
    }
    let error = Pseudonyms::read(&dir.path().join("none")).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot read --pseudonymise-key "),
        "{error}"
    );
}

#[tokio::test]
async fn a_line_that_cannot_be_written_is_counted() {
    let (admission, metrics, lines) = logging(None);
    drop(lines);
    let deadline = Instant::now() + Duration::from_secs(4);
    let counted = async || {
        admission.admit(review("{}", GPU).into(), deadline).await;
        metrics.log_lost.get() > 0
    };
    // The first may still find the writer, which ends because of it.
    crate::rig::until("a line is lost", counted).await;
}

/// Series of the exposition.
fn series(metrics: &Metrics) -> Vec<String> {
    let text = metrics.encode().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}

#[tokio::test]
async fn whatever_is_sent_the_series_stay_few() {
    let (admission, metrics, lines) = logging(None);
    let submit = async |i: usize, (group, kind): (&str, &str), operation: &str| {
        let mut body: Value = serde_json::from_str(&review("{}", GPU)).unwrap();
        let request = &mut body["request"];
        request["uid"] = json!(format!("uid-{i}"));
        request["kind"] = json!({"group": group, "version": format!("v{}", i % 7), "kind": kind});
        request["name"] = json!(format!("name-{i}"));
        request["operation"] = json!(operation);
        request["userInfo"]["username"] = json!(format!("user-{i}"));
        request["object"]["metadata"]["name"] = json!(format!("name-{i}"));
        request["object"]["metadata"]["annotations"] =
            json!({"datagate.dev/datasets": format!("data-{i}"), format!("datagate.dev/key-{i}"): "x"});
        if i.is_multiple_of(3) {
            request["namespace"] = json!(format!("namespace-{i}"));
        }
        let deadline = Instant::now() + Duration::from_secs(4);
        admission.admit(body.to_string().into(), deadline).await;
        // The queue is bounded, so somebody has to read.
        while lines.try_recv().is_ok() {}
    };
    let operations = ["CREATE", "UPDATE", "DELETE", "CONNECT"];
    let mut i = 0;
    for kind in KnownKind::ALL {
        for operation in operations {
            for _ in 0..6 {
                let info = kind.info();
                submit(i, (info.group, info.kind), operation).await;
                i += 1;
            }
        }
    }
    for operation in operations {
        submit(i, ("example.com", "Unknown"), operation).await;
        i += 1;
    }
    let before = series(&metrics);
    for n in 0..10_000 {
        let kind = format!("Kind{n}");
        let kind = match n % 2 {
            0 => ("batch", "Job"),
            _ => ("example.com", &*kind),
        };
        submit(i + n, kind, operations[n % 4]).await;
    }
    let after = series(&metrics);
    assert_eq!(before, after, "names of clients have become labels");
    // Each kind with each operation and decision, each reason with each action, the rest: docs/metrics.md names the sum.
    assert!(after.len() < 600, "{} series", after.len());
    assert!(
        after.iter().any(|it| it.contains(r#"kind="other""#)),
        "{after:#?}"
    );
}
