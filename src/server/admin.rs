//! The admin port: whether the process lives, whether it may be sent requests, and what it has counted.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::readiness::Readiness;
use crate::metrics::{self, Metrics};

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

/// The admin port's routes.
pub(super) fn router(readiness: Readiness, metrics: Arc<Metrics>, pages: Router) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(encode))
        .with_state(Admin { readiness, metrics })
        .merge(pages)
        .method_not_allowed_fallback(async || {
            (
                StatusCode::METHOD_NOT_ALLOWED,
                [(header::ALLOW, "GET, HEAD")],
                "use GET\n",
            )
        })
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "there are /livez, /readyz, /metrics and /debug\n",
            )
        })
}

/// Liveness does not look at readiness: a replica that cannot reach the API server, or has no valid certificate,
/// is not helped by being killed.
async fn readyz(State(admin): State<Admin>) -> Response {
    let report = admin.readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, report.text).into_response()
}

async fn encode(State(admin): State<Admin>) -> Response {
    match admin.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot encode: {error}\n"),
        )
            .into_response(),
    }
}
