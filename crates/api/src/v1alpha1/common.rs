//! Parts that policies and records share.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::rules;

/// A day in the calendar, in UTC, such as `"2025-10-31"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub Date);

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date", "maxLength": 10})
    }
}

/// A moment, such as `"2025-11-01T03:12:00Z"`, as a program can hold it: the API server's `date-time` also admits the end
/// of the year 9999 and offsets of 99 hours, and what it admits must be readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub Timestamp);

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "maxLength": 35,
            "pattern": rules::INSTANT,
            "x-kubernetes-validations": [json!(rules::not_for_ever())],
        })
    }
}

/// Days from `start` to `end`, both included, in UTC. A side left out is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.start) || has(self.end)")
    .message("a period needs a start, an end or both; write start: \"2024-01-31\""))]
#[x_kube(validation = Rule::new("!has(self.start) || !has(self.end) || self.start <= self.end")
    .message("end is before start; both days are included, so end must be the same day or later")
    .field_path(".end"))]
pub struct Period {
    /// The first day, for example "2024-05-07". Left out: since ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Day>,
    /// The last day, for example "2024-08-01". Left out: still going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Day>,
}

/// The digest of something whose bytes never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Digest {
    /// SHA-256, as 64 lower-case hexadecimal digits without a prefix.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// A Kubernetes label selector, with bounds.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels the namespace must have, each with this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = json!({"type": "string", "maxLength": 63})))]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions on labels, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0")
    .message("In and NotIn need values; Exists and DoesNotExist take none")
    .field_path(".values"))]
pub struct LabelSelectorRequirement {
    /// The label's key, for example "kubernetes.io/metadata.name".
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// In or NotIn with values, Exists or DoesNotExist without.
    pub operator: SelectorOperator,
    /// The values that In and NotIn compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "Kubernetes' words")]
pub enum SelectorOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}
