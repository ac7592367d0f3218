//! Objects as they are stored, read in two steps, so that one that cannot be understood is still an object.
//!
//! `kube::core::DeserializeGuard` does the same with less to show for it: it drops the spec, which may still say whom
//! an unreadable policy governs, and its error names no field.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use datagate_api::convert;
use datagate_api::v1alpha1::{DatasetPolicy, DatasetPolicySpec, DatasetRecord, DatasetRecordSpec};
use datagate_core::dataset::Record;
use datagate_core::policy::{Policy, Reach};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::ClusterResourceScope;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An object of kind `K` of which only the metadata has been read.
#[derive(Deserialize)]
#[serde(bound = "")]
pub struct Stored<K> {
    /// Its metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Its spec, whatever that is.
    #[serde(default)]
    pub spec: Value,
    /// Its status, whatever that is.
    #[serde(default)]
    pub status: Value,
    #[serde(skip)]
    kind: PhantomData<K>,
}

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Unreadable {
    /// Field and problem: `spec.pauses[0].match.regions[1]: ...`.
    pub what: String,
    /// What a policy governs, if at least that can be read.
    pub reach: Option<Reach>,
}

/// Long enough for three problems with their paths, short enough for a condition and a log line.
const MAX_WHAT: usize = 1024;

/// Reads a policy.
///
/// # Errors
///
/// If it says something that this program does not know or that makes no sense.
pub fn read_policy(stored: &Stored<DatasetPolicy>) -> Result<Policy, Unreadable> {
    let read = || {
        let spec: DatasetPolicySpec = typed(&stored.spec)?;
        let policy = DatasetPolicy {
            metadata: identity(&stored.metadata),
            spec,
            status: None,
        };
        Policy::try_from(&policy).map_err(|invalid| invalid.to_string())
    };
    read().map_err(|what| Unreadable {
        what: clean(&what),
        reach: convert::reach(&stored.spec),
    })
}

/// Reads a record.
///
/// # Errors
///
/// If it says something that this program does not know or that makes no sense.
pub fn read_record(stored: &Stored<DatasetRecord>) -> Result<Record, Unreadable> {
    let read = || {
        let spec: DatasetRecordSpec = typed(&stored.spec)?;
        let record = DatasetRecord {
            metadata: identity(&stored.metadata),
            spec,
            status: None,
        };
        Record::try_from(&record).map_err(|invalid| invalid.to_string())
    };
    read().map_err(|what| Unreadable {
        what: clean(&what),
        reach: None,
    })
}

/// The part of the metadata that a conversion looks at.
fn identity(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        generation: metadata.generation,
        ..ObjectMeta::default()
    }
}

fn typed<T: DeserializeOwned>(spec: &Value) -> Result<T, String> {
    if spec.is_null() {
        return Err("spec: missing".to_owned());
    }
    serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => format!("spec: {}", error.inner()),
            path => format!("spec.{path}: {}", error.inner()),
        }
    })
}

/// One line without control characters and quotes: the text ends up in conditions, logs and refusals.
fn clean(what: &str) -> String {
    what.chars()
        .take(MAX_WHAT)
        .filter(|c| *c != '`')
        .map(|c| match c {
            '"' => '\'',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

impl<K> Clone for Stored<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            spec: self.spec.clone(),
            status: self.status.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Stored<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("name", &self.metadata.name)
            .field("generation", &self.metadata.generation)
            .finish_non_exhaustive()
    }
}

impl<K> Resource for Stored<K>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
