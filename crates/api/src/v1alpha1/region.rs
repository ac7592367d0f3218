//! Regions as text that the schema has looked at: the API server refuses what is no code, and says what to write.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::rules;

/// A region where people live: an ISO 3166 code, a subdivision, or EU, EEA, EFTA.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegionCode(pub String);

/// As [`RegionCode`], or `Unknown`, or `World`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordRegion(pub String);

/// Long enough for the names of cloud regions, so that they get their hint rather than a word on length.
const MAX_LENGTH: u32 = 24;

impl JsonSchema for RegionCode {
    fn schema_name() -> Cow<'static, str> {
        "RegionCode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": MAX_LENGTH,
            "x-kubernetes-validations": [json!(rules::region_code(&[]))],
        })
    }
}

impl JsonSchema for RecordRegion {
    fn schema_name() -> Cow<'static, str> {
        "RecordRegion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": MAX_LENGTH,
            "x-kubernetes-validations": [json!(rules::region_code(&["Unknown", "World"]))],
        })
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RecordRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for RegionCode {
    fn from(code: &str) -> Self {
        Self(code.into())
    }
}

impl From<&str> for RecordRegion {
    fn from(code: &str) -> Self {
        Self(code.into())
    }
}

impl AsRef<str> for RegionCode {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RecordRegion {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
