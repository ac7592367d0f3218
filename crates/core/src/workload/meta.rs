//! What all objects have in common: metadata, of which only the part that is read.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::adoption;
use crate::text::Text;

/// `metadata`, of an object or a template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta<'a> {
    /// `name`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// `namespace`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub namespace: Text<'a>,
    /// `uid`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub uid: Text<'a>,
    /// `labels`.
    #[serde(borrow, default)]
    pub labels: Keys<'a>,
    /// `annotations`.
    #[serde(borrow, default)]
    pub annotations: Keys<'a>,
    /// `ownerReferences`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

/// `metav1.OwnerReference`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    /// `apiVersion`: group and version.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// `kind`.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// `name`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `uid`.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Whether it is the managing controller.
    #[serde(default, deserialize_with = "null_is_default")]
    pub controller: bool,
}

impl OwnerReference<'_> {
    /// The version within the API group.
    #[must_use]
    pub fn version(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or(self.api_version.as_str(), |(_, version)| version)
    }

    /// The API group; empty for core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// What matters of a map of labels or annotations; the rest is skipped without a copy.
#[derive(Debug, Default)]
pub struct Keys<'a> {
    /// The `datagate.dev/` keys and their values.
    pub ours: Vec<(Text<'a>, Text<'a>)>,
    /// Keys by which operators know their own objects.
    pub claims: Vec<Text<'a>>,
    /// Operators' keys whose values say what runs.
    pub read: Vec<(Text<'a>, Text<'a>)>,
}

/// The keys of `Keys::read`.
const READ: &[&str] = &[super::notebook::STOPPED, super::trainer::ANCESTOR];

impl<'a> Keys<'a> {
    /// The value of one of the keys in `READ`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Text<'a>> {
        self.read
            .iter()
            .find(|(name, _)| **name == *key)
            .map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Keys<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Keys::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut keys = Keys::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if key.starts_with(crate::declaration::PREFIX) {
                        // Twice the same key: two parsers may take different ones, so neither counts.
                        if keys.ours.iter().any(|(seen, _)| *seen == key) {
                            return Err(serde::de::Error::custom(format_args!("duplicate key `{key}`")));
                        }
                        keys.ours.push((key, map.next_value()?));
                    } else {
                        if adoption::is_claim(&key) {
                            keys.claims.push(key.clone());
                        }
                        if READ.contains(&key.as_str()) {
                            keys.read
                                .push((key, map.next_value::<Option<_>>()?.unwrap_or_default()));
                        } else {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(keys)
            }
        }

        deserializer.deserialize_any(KeysVisitor)
    }
}

/// Stored objects hold `null` where a list or a string may be left out.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
