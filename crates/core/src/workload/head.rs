//! What an object says of itself before anything else: enough to know its kind, and to tell of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use super::KnownKind;
use super::meta::null_is_default;
use crate::text::Text;

/// `apiVersion`, `kind` and `metadata.name` of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    api_version: Text<'a>,
    /// Its kind, empty if it does not say.
    pub kind: Text<'a>,
    /// Its name, empty if it does not say.
    pub name: Text<'a>,
}

#[derive(Default, Deserialize)]
struct Named<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Text<'a>,
}

/// Writes what it sees here rather than returning it, as it stops before the end and the parser calls that an error.
struct Reading<'h, 'a>(&'h mut Option<Head<'a>>);

impl<'a> Head<'a> {
    /// Of an object's JSON; nothing if it is no object, or these fields are no text.
    ///
    /// Reading stops once all three are known. The API server writes embedded objects with their keys in order, so that is
    /// before the large fields, and a key never comes twice.
    #[must_use]
    pub fn of(json: &'a str) -> Option<Self> {
        let mut head = None;
        let _ = serde_json::Deserializer::from_str(json).deserialize_map(Reading(&mut head));
        head
    }

    /// Its kind, if datagate knows it.
    #[must_use]
    pub fn known(&self) -> Option<KnownKind> {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        KnownKind::find(group, &self.kind)
    }
}

impl<'de> Visitor<'de> for Reading<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut api_version, mut kind, mut metadata) = (None, None, None);
        while api_version.is_none() || kind.is_none() || metadata.is_none() {
            let Some(key) = map.next_key::<Text<'de>>()? else {
                break;
            };
            match &*key {
                "apiVersion" => api_version = Some(map.next_value()?),
                "kind" => kind = Some(map.next_value()?),
                "metadata" => metadata = Some(map.next_value::<Option<Named<'de>>>()?.unwrap_or_default()),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        *self.0 = Some(Head {
            api_version: api_version.unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            name: metadata.unwrap_or_default().name,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<(String, String)> {
        Head::of(json).map(|head| (head.kind.to_string(), head.name.to_string()))
    }

    #[test]
    fn the_order_of_the_fields_does_not_matter() {
        let whole = Some(("Job".to_owned(), "train".to_owned()));
        for json in [
            r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"train"},"spec":{}}"#,
            r#"{"spec":{"kind":"Pod"},"metadata":{"labels":null,"name":"train"},"kind":"Job"}"#,
        ] {
            assert_eq!(of(json), whole, "{json}");
        }
        assert_eq!(
            Head::of(r#"{"apiVersion":"batch/v1","kind":"Job","metadata":null}"#)
                .and_then(|head| head.known()),
            Some(KnownKind::Job)
        );
    }

    #[test]
    fn what_is_no_object_has_no_head() {
        for json in [
            "[]",
            "null",
            "\"Job\"",
            "",
            r#"{"kind":5}"#,
            r#"{"metadata":{"name":{}}}"#,
        ] {
            assert_eq!(of(json), None, "{json}");
        }
        assert_eq!(of("{}"), Some(Default::default()));
    }
}
