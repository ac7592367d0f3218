//! Spans as OTLP writes them in JSON.
//!
//! Only what is used of `ExportTraceServiceRequest`. Its JSON is part of the stable specification: identifiers in
//! hexadecimal, 64-bit numbers as text, enumerations as numbers, names in lowerCamelCase.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{Decided, Ended, Round};
use crate::metrics::Outcome;

const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const ERROR: u8 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_spans: [ResourceSpans; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: [ScopeSpans; 1],
}

#[derive(Serialize)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'static str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
    message: &'static str,
}

#[derive(Serialize)]
struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Serialize)]
enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "intValue")]
    Int(String),
    #[serde(rename = "arrayValue")]
    Array { values: Vec<Value> },
}

/// One export of all these, by the process of this name.
pub(super) fn request(instance: &str, ended: &[Ended]) -> serde_json::Result<Vec<u8>> {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: vec![
            text("service.name", "datagate"),
            text("service.version", version),
            text("service.instance.id", instance),
        ],
    };
    let spans = ended.iter().flat_map(|it| {
        let children = it.rounds.iter().map(|round| child(it, round));
        std::iter::once(root(it)).chain(children)
    });
    let scope_spans = ScopeSpans {
        scope: Scope {
            name: "datagate",
            version,
        },
        spans: spans.collect(),
    };
    serde_json::to_vec(&Request {
        resource_spans: [ResourceSpans {
            resource,
            scope_spans: [scope_spans],
        }],
    })
}

fn root(it: &Ended) -> Span {
    let mut attributes = vec![text("datagate.outcome", it.outcome.as_str())];
    if let Some(decided) = &it.decided {
        attributes.extend(told(decided));
    }
    // A refusal by policy is no error; one that no policy asked for is.
    let status = match it.outcome {
        Outcome::Answered | Outcome::Draining | Outcome::Misdirected => None,
        outcome => Some(Status {
            code: ERROR,
            message: outcome.as_str(),
        }),
    };
    Span {
        trace_id: hex(&it.trace),
        span_id: hex(&it.id),
        parent_span_id: it.parent.as_ref().map(|parent| hex(parent)),
        name: "admit",
        kind: SERVER,
        start_time_unix_nano: nanos(it.start, Duration::ZERO),
        end_time_unix_nano: nanos(it.start, it.took),
        attributes,
        status,
    }
}

fn child(of: &Ended, round: &Round) -> Span {
    Span {
        trace_id: hex(&of.trace),
        span_id: hex(&round.id),
        parent_span_id: Some(hex(&of.id)),
        name: "look up",
        kind: INTERNAL,
        start_time_unix_nano: nanos(of.start, round.offset),
        end_time_unix_nano: nanos(of.start, round.offset.saturating_add(round.took)),
        attributes: vec![count("datagate.needs", round.needs)],
        status: None,
    }
}

fn told(it: &Decided) -> [Attribute; 8] {
    let reasons = it.reasons.iter().map(|reason| Value::Text((*reason).to_owned()));
    [
        text("datagate.kind", it.kind),
        text("datagate.operation", it.operation),
        text("datagate.decision", it.decision),
        text("datagate.ground", it.ground),
        Attribute {
            key: "datagate.dry_run",
            value: Value::Bool(it.dry_run),
        },
        count("datagate.policies", it.policies),
        count("datagate.findings", it.findings),
        Attribute {
            key: "datagate.reasons",
            value: Value::Array {
                values: reasons.collect(),
            },
        },
    ]
}

fn text(key: &'static str, value: &str) -> Attribute {
    Attribute {
        key,
        value: Value::Text(value.to_owned()),
    }
}

fn count(key: &'static str, value: usize) -> Attribute {
    Attribute {
        key,
        value: Value::Int(value.to_string()),
    }
}

fn nanos(start: Timestamp, after: Duration) -> String {
    let after = i128::try_from(after.as_nanos()).unwrap_or(i128::MAX);
    start.as_nanosecond().saturating_add(after).max(0).to_string()
}

/// Small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
