//! An object as it is stored: who it is, whether it has ended, and how it would be submitted.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use datagate_core::text::Text;
use datagate_core::workload::meta::Meta;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A `metadata.uid` in sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(u128);

/// A stored object.
#[derive(Debug)]
pub struct Stored<'a> {
    /// Its metadata.
    pub meta: Meta<'a>,
    /// What its status says of its life.
    pub life: Life,
    fields: BTreeMap<String, &'a RawValue>,
}

/// What an object is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Nothing that the status tells.
    #[default]
    Untold,
    /// A pod that runs.
    Running,
    /// It ended, well or not, and does not begin again.
    Finished,
}

#[derive(Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    phase: Option<Text<'a>>,
    #[serde(borrow, default)]
    conditions: Option<Vec<Condition<'a>>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    status: Text<'a>,
}

impl Uid {
    /// Of a text. One that is no UUID, which anybody can write into an owner reference, becomes some number that
    /// nobody else has.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let uuid = Some(digits).filter(|digits| digits.len() == 32);
        let uuid = uuid.and_then(|digits| u128::from_str_radix(&digits, 16).ok());
        Self(uuid.unwrap_or_else(|| (u128::from(hash(0, text)) << 64) | u128::from(hash(1, text))))
    }
}

fn hash(salt: u8, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, text).hash(&mut hasher);
    hasher.finish()
}

impl<'a> Stored<'a> {
    /// Reads the part that every object has.
    ///
    /// # Errors
    ///
    /// If it is no object.
    pub fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        let mut fields: BTreeMap<String, &'a RawValue> = serde_json::from_str(json)?;
        let meta = match fields.get("metadata") {
            Some(meta) => serde_json::from_str(meta.get())?,
            None => Meta::default(),
        };
        let life = fields
            .remove("status")
            .map_or(Life::Untold, |status| Life::of(status.get()));
        Ok(Self { meta, life, fields })
    }

    /// The object as it would be submitted: without its status. What else the API server adds is in the metadata, and
    /// of that only name, labels, annotations and owners are read.
    ///
    /// # Errors
    ///
    /// None that is known of.
    pub fn submission(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.fields)
    }
}

impl Life {
    /// By the words that Kubernetes and the training operators use. A status of another shape tells nothing.
    fn of(status: &str) -> Self {
        let status: Status<'_> = serde_json::from_str(status).unwrap_or_default();
        match status.phase.as_deref() {
            Some("Running") => return Self::Running,
            Some("Succeeded" | "Failed" | "Error") => return Self::Finished,
            _ => {}
        }
        let ends = |it: &Condition<'_>| {
            it.status.as_str() == "True"
                && matches!(
                    it.kind.as_str(),
                    "Complete" | "Completed" | "Succeeded" | "Failed"
                )
        };
        if status.conditions.iter().flatten().any(ends) {
            Self::Finished
        } else {
            Self::Untold
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_numbers() {
        let uid = "0615e1f4-752a-4279-a5b7-524e2155567d";
        assert_eq!(Uid::of(uid), Uid(0x0615_e1f4_752a_4279_a5b7_524e_2155_567d));
        assert_ne!(Uid::of("a"), Uid::of("b"));
        assert_ne!(Uid::of(""), Uid::of("00000000-0000-0000-0000-000000000000"));
        assert_ne!(
            Uid::of(&format!("+{}", &"1".repeat(31))),
            Uid::of(&"1".repeat(31))
        );
    }

    #[test]
    fn ends_are_told_by_phase_or_condition() {
        let condition = |kind: &str, status: &str| {
            format!(
                r#"{{"conditions":[{{"type":"Suspended","status":"False"}},{{"type":"{kind}","status":"{status}"}}]}}"#
            )
        };
        for (status, life) in [
            (r#"{"phase":"Running"}"#.to_owned(), Life::Running),
            (r#"{"phase":"Pending"}"#.to_owned(), Life::Untold),
            (r#"{"phase":"Succeeded"}"#.to_owned(), Life::Finished),
            (
                r#"{"phase":"Failed","conditions":null}"#.to_owned(),
                Life::Finished,
            ),
            (condition("Complete", "True"), Life::Finished),
            (condition("Failed", "True"), Life::Finished),
            (condition("Failed", "False"), Life::Untold),
            (condition("Available", "True"), Life::Untold),
            (r#"{"phase":7}"#.to_owned(), Life::Untold),
            ("null".to_owned(), Life::Untold),
        ] {
            let object = format!(r#"{{"metadata":{{"name":"x"}},"status":{status}}}"#);
            assert_eq!(Stored::read(&object).unwrap().life, life, "{status}");
        }
    }

    #[test]
    fn a_submission_has_no_status() {
        let object = r#"{"metadata":{"name":"x","uid":"u"},"spec":{"a": [1, 2]},"status":{"spec":1}}"#;
        assert_eq!(
            Stored::read(object).unwrap().submission().unwrap(),
            r#"{"metadata":{"name":"x","uid":"u"},"spec":{"a": [1, 2]}}"#
        );
    }
}
