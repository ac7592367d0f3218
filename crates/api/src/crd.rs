//! The CRDs, made from the types and never edited.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::v1alpha1::{DatasetPolicy, DatasetRecord};

/// The CRDs of all kinds, in the form that is committed.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [DatasetPolicy::crd(), DatasetRecord::crd()]
        .into_iter()
        .map(|crd| {
            let mut value = serde_json::to_value(crd)?;
            tidy(&mut value);
            serde_json::from_value(value)
        })
        .collect()
}

/// One CRD as YAML. Strings that YAML would read as something else are quoted: `"NO"`.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, Error> {
    let yaml = serde_saphyr::to_string(&serde_json::to_value(crd)?)?;
    Ok(format!(
        "# Generated from the types in crates/api. Do not edit: make generate.\n---\n{yaml}"
    ))
}

/// Why a CRD could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As JSON.
    #[error("the CRD is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// As YAML.
    #[error("the CRD is no YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// Takes out what schemars says and Kubernetes does not: `nullable`, so that a null is dropped and `has()` in a rule
/// means a value; formats of Rust's integers; closed objects, which the API server makes by pruning.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.remove("nullable");
            }
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.remove("additionalProperties");
            }
            if fields
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| format.starts_with("uint"))
            {
                fields.insert("format".into(), "int32".into());
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                // Lines of source code are not lines of text.
                *text = text.replace('\n', " ");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
