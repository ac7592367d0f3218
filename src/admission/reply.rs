//! The answer as an `admission.k8s.io/v1` AdmissionReview.
//!
//! Refusals are HTTP 200 with `allowed: false`: anything else is a broken webhook to the API server.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use bytes::Bytes;
use datagate_core::render::Answer;
use datagate_core::review::GroupVersionKind;
use serde::Serialize;

use crate::server::Reply;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, &'a str>,
}

/// `metav1.Status`.
#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    group: &'a str,
    kind: &'a str,
    name: &'a str,
    causes: Vec<Cause<'a>>,
}

#[derive(Serialize)]
struct Cause<'a> {
    reason: &'a str,
    message: &'a str,
    field: &'a str,
}

/// The answer to a review of an object of that kind and name.
pub(super) fn review(answer: &Answer, uid: &str, kind: &GroupVersionKind<'_>, name: &str) -> Reply {
    let details = || Details {
        group: &kind.group,
        kind: &kind.kind,
        name,
        causes: answer
            .causes
            .iter()
            .map(|cause| Cause {
                reason: &cause.reason,
                message: &cause.message,
                field: &cause.field,
            })
            .collect(),
    };
    respond(answer, uid, details)
}

/// The answer to a review that could not be handled, of an object nobody could read.
pub(super) fn refusal(answer: &Answer, uid: &str) -> Reply {
    respond(answer, uid, || Details {
        group: "",
        kind: "",
        name: "",
        causes: Vec::new(),
    })
}

/// What cannot be answered as a review.
pub(super) fn error(status: StatusCode, why: &str) -> Reply {
    let body = Status {
        status: "Failure",
        code: status.as_u16(),
        reason: "BadRequest",
        message: why,
        details: None,
    };
    Reply {
        status,
        retry_after: None,
        body: json(&body),
    }
}

fn respond<'a>(answer: &'a Answer, uid: &'a str, details: impl FnOnce() -> Details<'a>) -> Reply {
    let status = (!answer.allowed).then(|| Status {
        status: "Failure",
        code: answer.code,
        reason: answer.reason,
        message: &answer.message,
        details: Some(details()).filter(|details| !details.kind.is_empty()),
    });
    let response = Response {
        uid,
        allowed: answer.allowed,
        status,
        warnings: &answer.warnings,
        audit_annotations: answer
            .audit
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect(),
    };
    let review = AdmissionReview {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response,
    };
    Reply {
        status: StatusCode::OK,
        retry_after: None,
        body: json(&review),
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings, numbers and maps with string keys always serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}
