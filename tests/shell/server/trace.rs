//! Traces, at a collector that reads what arrives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use datagate::metrics::{Metrics, Outcome, SpanOutcome};
use datagate::stop::{Stopper, stop};
use datagate::trace::{self, Decided, Ratio, Tracer, note, within};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::LONG;
use crate::pki::{Clock, Secret, issue};
use crate::rig::{Rig, ms, patient, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What a collector was sent.
#[derive(Clone)]
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Value>>>,
    /// What it answers.
    status: Arc<Mutex<StatusCode>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            bodies: Arc::default(),
            status: Arc::new(Mutex::new(StatusCode::OK)),
        };
        let take = async |State(this): State<Self>, headers: HeaderMap, Json(body): Json<Value>| {
            assert_eq!(headers["content-type"], "application/json");
            this.bodies.lock().unwrap().push(body);
            (*this.status.lock().unwrap(), Json(json!({"partialSuccess": {}})))
        };
        let router = axum::Router::new()
            .route("/v1/traces", post(take))
            .with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    fn config(&self) -> trace::Config {
        let mut config = trace::Config::new(format!("http://{}/v1/traces", self.address).parse().unwrap());
        config.ratio = Ratio::new(1.0).unwrap();
        config.linger = Duration::ZERO;
        config
    }

    /// All spans that have come.
    fn spans(&self) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap();
        let spans = bodies.iter().flat_map(|body| {
            let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.as_array().unwrap().clone()
        });
        spans.collect()
    }
}

/// A tracer whose exporter runs.
struct Traced {
    tracer: Tracer,
    metrics: Arc<Metrics>,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Traced {
    fn start(config: trace::Config) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (tracer, exporter) = Tracer::new(config, Clock::new().wall(), metrics.trace.clone()).unwrap();
        let (stopper, told) = stop();
        let task = tokio::spawn(exporter.run(told));
        Self {
            tracer,
            metrics,
            stopper,
            task,
        }
    }

    fn count(&self, outcome: SpanOutcome) -> u64 {
        self.metrics.trace.spans(outcome)
    }

    async fn stop(self) {
        self.stopper.stop();
        tokio::time::timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

/// Attributes as a map.
fn attributes(of: &Value) -> Value {
    let pairs = of["attributes"].as_array().unwrap().iter().map(|it| {
        let value = it["value"].as_object().unwrap().values().next().unwrap().clone();
        (it["key"].as_str().unwrap().to_owned(), value)
    });
    Value::Object(pairs.collect())
}

async fn post_with(rig: &Rig, header: &str, body: &str) {
    let request = format!(
        "POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = rig.client().await;
    client.send(&request).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_is_a_span_in_the_trace_of_who_sent_it() {
    let collector = Collector::start().await;
    let traced = Traced::start(collector.config());
    let pems = issue();
    let rig = Rig::start_traced(
        patient(),
        Secret::holding(&pems),
        pems,
        Some(traced.tracer.clone()),
    )
    .await;
    until("a certificate is loaded", async || {
        rig.metrics.server.reloads.get() == 1
    })
    .await;

    post_with(&rig, &format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n"), "x").await;
    // Whoever began this trace does not record it, so neither do we.
    post_with(&rig, &format!("traceparent: 00-{TRACE}-{CALLER}-00\r\n"), "x").await;
    post_with(&rig, "traceparent: nonsense\r\n", "panic").await;
    until("two spans", async || collector.spans().len() == 2).await;
    traced.stop().await;

    let spans = collector.spans();
    let [first, second] = &spans[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(
        (&first["traceId"], &first["parentSpanId"]),
        (&json!(TRACE), &json!(CALLER))
    );
    assert_eq!((&first["name"], &first["kind"]), (&json!("admit"), &json!(2)));
    assert_eq!(first["spanId"].as_str().unwrap().len(), 16);
    assert_eq!(attributes(first), json!({"datagate.outcome": "answered"}));
    assert_eq!(first.get("status"), None, "{first}");

    assert_eq!(second.get("parentSpanId"), None);
    assert!(second["traceId"] != TRACE && second["traceId"].as_str().unwrap().len() == 32);
    assert_eq!(attributes(second), json!({"datagate.outcome": "panicked"}));
    assert_eq!(second["status"], json!({"code": 2, "message": "panicked"}));
}

#[tokio::test]
async fn the_export_is_what_otlp_says() {
    let collector = Collector::start().await;
    let traced = Traced::start(collector.config());
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let span = traced.tracer.begin(Some(traceparent.as_bytes()));
    within(span, async {
        note(|span| span.round(Instant::now(), 3));
        let mut decided = Decided {
            kind: "Job",
            operation: "CREATE",
            decision: "Denied",
            ground: "Judged",
            dry_run: false,
            policies: 2,
            findings: 3,
            reasons: Vec::new(),
        };
        for reason in ["StepMissing", "RegionPaused", "StepMissing"] {
            decided.reason(reason);
        }
        note(|span| span.decided(decided));
        note(|span| span.outcome(Outcome::Answered));
    })
    .await;
    until("the export", async || traced.count(SpanOutcome::Exported) == 2).await;
    traced.stop().await;

    let mut body = collector.bodies.lock().unwrap()[0].clone();
    let resource = &mut body["resourceSpans"][0]["resource"]["attributes"];
    assert_eq!(resource[2]["value"]["stringValue"].as_str().unwrap().len(), 32);
    resource[2]["value"]["stringValue"] = json!("INSTANCE");
    let spans = &mut body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let [id, child] = [0, 1].map(|i| spans[i]["spanId"].clone());
    assert!(id != child);
    let nanos = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let times: Vec<_> = [(0, "start"), (1, "start"), (1, "end"), (0, "end")]
        .map(|(i, it)| nanos(&spans[i][format!("{it}TimeUnixNano")]))
        .into();
    assert!(times.is_sorted(), "{times:?}");
    let begun = Clock::new().wall()().as_nanosecond();
    assert_eq!(i128::from(times[0]), begun);
    for i in [0, 1] {
        spans[i]["startTimeUnixNano"] = json!("START");
        spans[i]["endTimeUnixNano"] = json!("END");
    }
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let count = |key: &str, value: &str| json!({"key": key, "value": {"intValue": value}});
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        body,
        json!({"resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", "datagate"), text("service.version", version), text("service.instance.id", "INSTANCE"),
            ]},
            "scopeSpans": [{
                "scope": {"name": "datagate", "version": version},
                "spans": [
                    {
                        "traceId": TRACE, "spanId": id, "parentSpanId": CALLER, "name": "admit", "kind": 2,
                        "startTimeUnixNano": "START", "endTimeUnixNano": "END",
                        "attributes": [
                            text("datagate.outcome", "answered"),
                            text("datagate.kind", "Job"),
                            text("datagate.operation", "CREATE"),
                            text("datagate.decision", "Denied"),
                            text("datagate.ground", "Judged"),
                            {"key": "datagate.dry_run", "value": {"boolValue": false}},
                            count("datagate.policies", "2"),
                            count("datagate.findings", "3"),
                            {"key": "datagate.reasons", "value": {"arrayValue": {"values": [
                                {"stringValue": "StepMissing"}, {"stringValue": "RegionPaused"},
                            ]}}},
                        ],
                    },
                    {
                        "traceId": TRACE, "spanId": child, "parentSpanId": id, "name": "look up", "kind": 1,
                        "startTimeUnixNano": "START", "endTimeUnixNano": "END",
                        "attributes": [count("datagate.needs", "3")],
                    },
                ],
            }],
        }]})
    );
}

#[tokio::test]
async fn without_a_parent_the_ratio_says() {
    let collector = Collector::start().await;
    let mut config = collector.config();
    config.ratio = Ratio::new(0.0).unwrap();
    let traced = Traced::start(config);
    assert!(traced.tracer.begin(None).is_none());
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    assert!(traced.tracer.begin(Some(traceparent.as_bytes())).is_some());
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_no_time() {
    // It is connected to and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let mut config = trace::Config::new(format!("http://{address}/v1/traces").parse().unwrap());
    config.ratio = Ratio::new(1.0).unwrap();
    config.linger = Duration::ZERO;
    config.queue = 4;
    config.timeout = LONG;
    let traced = Traced::start(config);
    let end = || drop(traced.tracer.begin(None));
    end();
    let (_held, _) = tokio::time::timeout(LONG, silent.accept())
        .await
        .unwrap()
        .unwrap();
    // The exporter waits for an answer now, so nobody takes these.
    for _ in 0..1000 {
        end();
    }
    assert_eq!(traced.count(SpanOutcome::QueueFull), 996);
    assert_eq!(traced.count(SpanOutcome::Exported), 0);
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_forgotten() {
    let collector = Collector::start().await;
    *collector.status.lock().unwrap() = StatusCode::SERVICE_UNAVAILABLE;
    let traced = Traced::start(collector.config());
    drop(traced.tracer.begin(None));
    until("the failure", async || traced.count(SpanOutcome::Failed) == 1).await;
    *collector.status.lock().unwrap() = StatusCode::OK;
    drop(traced.tracer.begin(None));
    until("the export", async || traced.count(SpanOutcome::Exported) == 1).await;
    assert_eq!(collector.spans().len(), 2, "the first is not sent again");
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent() {
    let collector = Collector::start().await;
    let mut config = collector.config();
    config.linger = LONG;
    let traced = Traced::start(config);
    drop(traced.tracer.begin(None));
    // Let the exporter take the first, to show that it is not lost while it waits for others.
    tokio::task::yield_now().await;
    drop(traced.tracer.begin(None));
    let begun = Instant::now();
    traced.stop().await;
    assert!(begun.elapsed() < LONG - ms(1000));
    assert_eq!(collector.spans().len(), 2);
    let cancelled = json!({"datagate.outcome": "cancelled"});
    assert_eq!(
        attributes(&collector.spans()[0]),
        cancelled,
        "nobody said how it ended"
    );
}
