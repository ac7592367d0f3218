//! Leaves that forgive what stored objects and templates of other projects hold: `null` lists, numbers as text.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::meta::null_is_default;
use crate::submission::{Runs, Void};
use crate::text::Text;

/// A list that stored objects may hold as `null`.
#[derive(Debug, Deserialize)]
#[serde(transparent, bound(deserialize = "T: Deserialize<'de>"))]
pub struct List<T>(#[serde(deserialize_with = "null_is_default")] pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A map in the order of the object, such as the replica types of a PyTorchJob.
#[derive(Debug)]
pub struct Entries<'a, T>(pub Vec<(Text<'a>, T)>);

impl<T> Default for Entries<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Entries<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<'de, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Entries::default();
                while let Some(entry) = map.next_entry()? {
                    entries.0.push(entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_any(EntriesVisitor(PhantomData))
    }
}

/// A value that is read, and compared as it stands.
#[derive(Debug, Default)]
pub struct Verbatim<'a, T> {
    /// As it stands; absent if `null`.
    pub json: Option<&'a RawValue>,
    /// As it is read.
    pub value: T,
}

impl<'de: 'a, 'a, T: Deserialize<'de> + Default> Deserialize<'de> for Verbatim<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(json) = Option::<&'de RawValue>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let value = serde_json::from_str(json.get()).map_err(super::read::within("a value"))?;
        Ok(Self {
            json: Some(json),
            value,
        })
    }
}

/// A count of pods. In a template it may be a text that is completed later, `{{inputs.parameters.workers}}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// Not given, so the kind's default.
    #[default]
    Unset,
    /// Given.
    Of(i64),
    /// Given as a text that is completed later.
    Late,
}

impl Count {
    /// Whether something with this count surely runs.
    #[must_use]
    pub fn runs(self) -> Runs {
        match self {
            Self::Of(count) if count <= 0 => Runs::Maybe(Void::ZeroReplicas),
            Self::Late => Runs::Maybe(Void::ZeroReplicas),
            Self::Unset | Self::Of(_) => Runs::Once,
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count::Unset)
            }

            fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
                Ok(Count::Of(count))
            }

            fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
                Ok(Count::Of(i64::try_from(count).unwrap_or(i64::MAX)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Count, E> {
                Ok(text.trim().parse().map_or(Count::Late, Count::Of))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}
