//! Parameters whose value is a literal of the object, so that an image named by one can be seen.
//!
//! Only what is certain is filled in: a value given once, with nothing that is looked up (`valueFrom`), and of a template
//! only if a single call passes it. Whatever else there is stays as it is written, and is never a trusted image.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::text::Text;
use crate::workload::leaf::List;

/// What is known by name: a value, or that there is none.
pub type Values<'a> = HashMap<Text<'a>, Option<Text<'a>>>;

/// Image references are shorter, and parameters that hold parameters must not grow without end.
const MAX_LENGTH: usize = 512;

#[derive(Debug, Default, Deserialize)]
struct Parameters<'a> {
    #[serde(borrow, default)]
    parameters: List<Parameter<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameter<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    value_from: Option<IgnoredAny>,
    #[serde(borrow, default, rename = "default")]
    fallback: Option<&'a RawValue>,
}

fn read<'a>(json: Option<&'a RawValue>) -> Vec<Parameter<'a>> {
    let read = json.map(|json| serde_json::from_str::<Parameters<'a>>(json.get()));
    // What cannot be read gives no value.
    read.and_then(Result::ok).unwrap_or_default().parameters.0
}

/// A value that needs nothing filled in; a number is a text of its digits.
fn literal<'a>(json: Option<&'a RawValue>) -> Option<Text<'a>> {
    let json = json?.get();
    let text = match json.parse::<u64>() {
        Ok(_) => Text::from(json),
        Err(_) => serde_json::from_str(json).ok()?,
    };
    (text.len() <= MAX_LENGTH).then_some(text)
}

fn insert<'a>(values: &mut Values<'a>, name: Text<'a>, value: Option<Text<'a>>) {
    values
        .entry(name)
        // Twice the same name: nobody can say which counts.
        .and_modify(|value| *value = None)
        .or_insert(value);
}

/// The values of `Arguments` as they are written.
#[must_use]
pub fn arguments<'a>(json: Option<&'a RawValue>) -> Values<'a> {
    let mut values = Values::new();
    for parameter in read(json) {
        let value = literal(parameter.value).filter(|_| parameter.value_from.is_none());
        insert(&mut values, parameter.name, value);
    }
    values
}

/// The values with those in their place that are given for them.
#[must_use]
pub fn given<'a>(values: Values<'a>, given: &Values<'a>) -> Values<'a> {
    values
        .into_iter()
        .map(|(name, value)| {
            let value = given.get(&name).cloned().unwrap_or(value);
            (name, value)
        })
        .collect()
}

/// The values of the inputs of a template that is called once, with these arguments.
#[must_use]
pub fn inputs<'a>(json: Option<&'a RawValue>, arguments: &Values<'a>) -> Values<'a> {
    let mut values = Values::new();
    for input in read(json) {
        let own = if input.value.is_some() {
            input.value
        } else {
            input.fallback
        };
        let value = match arguments.get(&input.name) {
            _ if input.value_from.is_some() => None,
            Some(value) => value.clone(),
            None => literal(own),
        };
        insert(&mut values, input.name, value);
    }
    values
}

/// The values after those of another place are filled into them.
#[must_use]
pub fn filled<'a>(values: Values<'a>, globals: &Values<'a>, inputs: &Values<'a>) -> Values<'a> {
    values
        .into_iter()
        .map(|(name, value)| (name, value.map(|value| fill(value, globals, inputs))))
        .collect()
}

/// The text with the parameters that are known filled in. One that then still holds a placeholder stays as it was.
#[must_use]
pub fn fill<'a>(text: Text<'a>, globals: &Values<'a>, inputs: &Values<'a>) -> Text<'a> {
    if !text.contains("{{") {
        return text;
    }
    filled_text(&text, globals, inputs).map_or(text, Text::from)
}

fn filled_text(text: &str, globals: &Values<'_>, inputs: &Values<'_>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("{{") {
        let (tag, after) = from.split_once("}}")?;
        let tag = tag.trim();
        let (values, name) = match (
            tag.strip_prefix("workflow.parameters."),
            tag.strip_prefix("inputs.parameters."),
        ) {
            (Some(name), _) => (globals, name),
            (_, Some(name)) => (inputs, name),
            _ => return None,
        };
        let value = values.get(&Text::from(name))?.as_ref()?;
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
        if value.contains("{{") || filled.len() > MAX_LENGTH {
            return None;
        }
    }
    filled.push_str(rest);
    (filled.len() <= MAX_LENGTH && !filled.contains("{{")).then_some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_filled_in() {
        let json = r#"{"parameters": [
            {"name": "tag", "value": "2.4"}, {"name": "major", "value": 2}, {"name": "twice", "value": "a"},
            {"name": "twice", "value": "b"}, {"name": "cm", "value": "a", "valueFrom": {"configMapKeyRef": {}}},
            {"name": "late", "value": "{{workflow.name}}"}]}"#;
        let json: Box<RawValue> = serde_json::from_str(json).unwrap();
        let globals = arguments(Some(&json));
        let fill = |text: &'static str| fill(text.into(), &globals, &Values::new()).to_string();
        for (text, expected) in [
            ("r/a:{{workflow.parameters.tag}}", "r/a:2.4"),
            (
                "r/a:{{ workflow.parameters.major }}-{{workflow.parameters.tag}}",
                "r/a:2-2.4",
            ),
            ("{{workflow.parameters.twice}}", "{{workflow.parameters.twice}}"),
            ("{{workflow.parameters.cm}}", "{{workflow.parameters.cm}}"),
            ("{{workflow.parameters.late}}", "{{workflow.parameters.late}}"),
            ("{{workflow.parameters.none}}", "{{workflow.parameters.none}}"),
            ("{{inputs.parameters.tag}}", "{{inputs.parameters.tag}}"),
            ("{{=workflow.parameters.tag}}", "{{=workflow.parameters.tag}}"),
        ] {
            assert_eq!(fill(text), expected);
        }
    }
}
