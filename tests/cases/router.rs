//! The webhook's own way from a body to an answer, without sockets: what the API server would get.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use datagate::admission::{Admission, DecisionLog, Mode};
use datagate::live::Fetch;
use datagate::metrics::Metrics;
use datagate::server::Admit;
use datagate_core::fetched::{Fetched, Need};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::case::Case;
use crate::judge::{Asked, Cluster, asked};
use crate::kubectl::{self, Told};

/// Brings what the case's cluster holds.
struct FromCase(Arc<Cluster>);

impl Fetch for FromCase {
    async fn fetch(&self, needs: &[Need], into: &mut Fetched, _deadline: Instant) {
        needs.iter().for_each(|need| self.0.bring(need, into));
    }
}

pub fn run(case: &Case) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let cluster = Arc::new(Cluster::of(case));
    let mut texts = Vec::new();
    for at in case.instants() {
        let told: Vec<Told> = asked(case)
            .iter()
            .map(|asked| runtime.block_on(post(&cluster, asked, *at)))
            .collect();
        for told in &told {
            told.check(&case.name);
        }
        texts.push(kubectl::print(&told));
    }
    case.expect("expected.txt", &case.join(&texts), false);
}

/// What the API server would be told.
pub async fn post(cluster: &Arc<Cluster>, asked: &Asked, at: Timestamp) -> Told {
    let worlds = Arc::new(ArcSwapOption::from_pointee(cluster.world.clone()));
    let log = DecisionLog::to(std::io::sink()).unwrap();
    let admission = Admission::new(
        worlds,
        FromCase(Arc::clone(cluster)),
        Arc::new(move || at),
        Arc::new(Metrics::new()),
        log,
        Mode::Enforce,
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    let reply = admission.admit(Bytes::from(asked.body.clone()), deadline).await;
    assert_eq!(reply.status.as_u16(), 200, "anything else is a broken webhook");
    let review: Value = serde_json::from_slice(&reply.body).unwrap();
    let response = &review["response"];
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    assert_eq!(response["uid"], asked.review["request"]["uid"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let status = &response["status"];
    let details = &status["details"];
    let request = &asked.review["request"];
    let allowed = response["allowed"].as_bool().unwrap();
    if !allowed {
        assert_eq!(details["kind"], request["kind"]["kind"]);
        assert_eq!(details["group"], request["kind"]["group"]);
        for cause in list(&details["causes"]) {
            let reason = text(&cause["reason"]);
            let ends = text(&cause["message"]).ends_with(&format!("[{reason}]"));
            assert!(ends || reason == "Help", "{cause}");
        }
    }
    let name = if allowed {
        &request["name"]
    } else {
        &details["name"]
    };
    Told {
        kind: text(&request["kind"]["kind"]),
        name: text(name),
        allowed,
        // Decisions without a policy leave nothing in the audit log.
        governed: !response["auditAnnotations"].is_null(),
        code: status["code"].as_u64().unwrap_or(200).try_into().unwrap(),
        reason: text(&status["reason"]),
        message: text(&status["message"]),
        causes: list(&details["causes"])
            .iter()
            .map(|cause| (text(&cause["field"]), text(&cause["message"])))
            .collect(),
        warnings: list(&response["warnings"]).iter().map(text).collect(),
    }
}
