//! What the objects' statuses are, as far as this replica knows, kept small: ten thousand of them are usual.

use std::hash::{DefaultHasher, Hasher as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;

/// The status an object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Of the object; one made anew under the same name has no status.
    pub(super) uid: Box<str>,
    digest: u64,
    since: Box<[Since]>,
}

/// Since when a condition is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Since {
    kind: Box<str>,
    status: Box<str>,
    generation: Option<i64>,
    at: Time,
}

impl Known {
    /// Of a status and its conditions.
    pub(super) fn new<S: Serialize>(uid: &str, status: &S, conditions: &[Condition]) -> Self {
        let since = |it: &Condition| Since {
            kind: it.type_.as_str().into(),
            status: it.status.as_str().into(),
            generation: it.observed_generation,
            at: it.last_transition_time.clone(),
        };
        Self {
            uid: uid.into(),
            digest: digest(status),
            since: conditions.iter().map(since).collect(),
        }
    }

    /// Whether this generation was ready.
    pub(super) fn was_ready(&self, generation: i64) -> bool {
        let ready =
            |it: &Since| *it.kind == *"Ready" && *it.status == *"True" && it.generation == Some(generation);
        self.since.iter().any(ready)
    }

    /// Lets conditions that have not turned keep the time at which they last did.
    pub(super) fn carry_over(&self, conditions: &mut [Condition]) {
        for condition in conditions {
            let same = |it: &&Since| *it.kind == *condition.type_ && *it.status == *condition.status;
            if let Some(since) = self.since.iter().find(same) {
                condition.last_transition_time = since.at.clone();
            }
        }
    }
}

fn digest<S: Serialize>(status: &S) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status that cannot be written is none, and is found out when it is sent.
    hasher.write(&serde_json::to_vec(status).unwrap_or_default());
    hasher.finish()
}
