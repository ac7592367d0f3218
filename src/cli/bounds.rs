//! How much a policy or a record may hold, by the schema that the API server enforces. Types are left to the types.

use serde_json::Value as Schema;

use super::document::{Node, Place, Value};

/// The schemas of policies and records.
#[derive(Debug)]
pub struct Bounds(Vec<(String, Schema)>);

impl Bounds {
    /// Those of the CRDs.
    ///
    /// # Errors
    ///
    /// If the CRDs cannot be made.
    pub fn new() -> Result<Self, serde_json::Error> {
        let schema = |crd| {
            let crd = serde_json::to_value(crd)?;
            let text = |at: &str| crd.pointer(at).cloned().unwrap_or_default();
            let kind = text("/spec/names/kind").as_str().unwrap_or_default().to_owned();
            Ok((kind, text("/spec/versions/0/schema/openAPIV3Schema")))
        };
        datagate_api::crd::crds()?
            .into_iter()
            .map(schema)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first place of an object that holds more, or less, than it may.
    #[must_use]
    pub fn first_breach(&self, kind: &str, root: &Node) -> Option<(Place, String)> {
        let (_, schema) = self.0.iter().find(|(known, _)| known == kind)?;
        breach(root, schema, "")
    }
}

/// As deep as a document may be nested, and no deeper than the schema.
fn breach(node: &Node, schema: &Schema, path: &str) -> Option<(Place, String)> {
    let bound = |name: &str| schema.get(name).and_then(Schema::as_f64);
    let wrong = |what: String| Some((node.at, format!("{path}: {what}")));
    match &node.value {
        Value::List(items) => {
            let count = items.len();
            match (bound("minItems"), bound("maxItems")) {
                (_, Some(most)) if count as f64 > most => {
                    return wrong(format!("{count} items, at most {most} are allowed"));
                }
                (Some(least), _) if (count as f64) < least => {
                    return wrong(format!("{count} items, at least {least} are needed"));
                }
                _ => {}
            }
            let schema = schema.get("items")?;
            let item = |(i, item)| breach(item, schema, &format!("{path}[{i}]"));
            items.iter().enumerate().find_map(item)
        }
        Value::Map(fields) => {
            let count = fields.len();
            if bound("maxProperties").is_some_and(|most| count as f64 > most) {
                return wrong(format!("{count} keys, which is too many"));
            }
            fields.iter().find_map(|(name, field)| {
                let schema = schema.get("properties").and_then(|all| all.get(name));
                let dot = if path.is_empty() { "" } else { "." };
                breach(field, schema?, &format!("{path}{dot}{name}"))
            })
        }
        Value::String(text) => {
            let count = text.chars().count();
            match (bound("minLength"), bound("maxLength")) {
                (_, Some(most)) if count as f64 > most => {
                    wrong(format!("{count} characters, at most {most} are allowed"))
                }
                (Some(least), _) if (count as f64) < least => wrong("it is empty".to_owned()),
                _ => None,
            }
        }
        Value::Number(number) => {
            let number = number.as_f64()?;
            match (bound("minimum"), bound("maximum")) {
                (_, Some(most)) if number > most => wrong(format!("{number} is more than {most}")),
                (Some(least), _) if number < least => wrong(format!("{number} is less than {least}")),
                _ => None,
            }
        }
        Value::Null | Value::Bool(_) => None,
    }
}
