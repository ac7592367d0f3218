//! What to judge by: the cluster's policies, records and namespaces, and the same with an edit.

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord, GROUP, VERSION};
use datagate_core::settings::Settings;
use datagate_core::world::{Catalogue, RecordSlot, World};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::list::{List, items};
use super::source::{Failure, Source};
use super::told::{Scope, Untold};
use super::{Error, Notes};
use crate::cli::inputs::Inputs;
use crate::index::{self, Stored, read_policy, read_record};

/// Enough for one namespace.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The cluster as it is, and as it would be.
#[derive(Debug)]
pub struct Worlds {
    /// As it is.
    pub now: World,
    /// With the edit, if there is one.
    pub edited: Option<World>,
    /// What the edit consists of.
    pub edit: Vec<Edit>,
}

/// A policy or a record of the edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// `DatasetPolicy`, `DatasetRecord` or `Namespace`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether the cluster has one of that name, which it stands in for.
    pub replaces: bool,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl Edit {
    /// "DatasetPolicy member-data", and whether it is new.
    #[must_use]
    pub fn told(&self) -> String {
        let new = if self.replaces { "" } else { ", new" };
        format!("{} {}{new}", self.kind, self.name)
    }
}

/// Reads the cluster's, and adds the edit.
///
/// # Errors
///
/// If policies, records or namespaces cannot be listed: nothing can be told then.
pub async fn read<S: Source>(
    source: &S,
    scope: &Scope,
    settings: Settings,
    edit: Option<&Inputs>,
    notes: &mut Notes,
) -> Result<Worlds, Error> {
    let mut catalogue = Catalogue::new(settings);
    let mut policies = 0_usize;
    each::<Stored<DatasetPolicy>, _>(source, &ours("datasetpolicies"), notes, |stored, notes| {
        policies = policies.saturating_add(1);
        let name = stored.metadata.name.as_deref().unwrap_or_default();
        match read_policy(&stored) {
            Ok(policy) => catalogue.put_policy(policy),
            Err(error) => {
                notes.miss(Untold {
                    what: format!("DatasetPolicy {name}"),
                    why: format!("{error}. Its last readable version may still be in force"),
                });
                catalogue.put_unreadable_policy(name, &error.what, error.reach);
            }
        }
    })
    .await?;
    each::<Stored<DatasetRecord>, _>(source, &ours("datasetrecords"), notes, |stored, _| {
        match read_record(&stored) {
            Ok(record) => catalogue.put_record(record),
            // Whatever uses it is refused, and told so.
            Err(error) => {
                let name = stored.metadata.name.as_deref().unwrap_or_default();
                catalogue.put_unreadable_record(name, &error.what);
            }
        }
    })
    .await?;
    let mut namespace = |named: Named| {
        let name = named.metadata.name.clone().unwrap_or_default();
        catalogue.put_namespace(&name, index::namespace(named.metadata));
    };
    match scope {
        Scope::Everything => each(source, "/api/v1/namespaces", notes, |it, _| namespace(it)).await?,
        // Who may see one namespace need not be allowed to list all.
        Scope::Namespace(name) => namespace(one_namespace(source, name).await?),
    }
    let now = catalogue.publish();
    let (edited, edit) = match edit {
        None => (None, Vec::new()),
        Some(inputs) => {
            let edit = put(inputs, &now, &mut catalogue);
            (Some(catalogue.publish()), edit)
        }
    };
    if policies == 0 && edited.is_none() {
        notes.say("the cluster has no DatasetPolicy, so nothing is governed".to_owned());
    }
    Ok(Worlds { now, edited, edit })
}

/// Puts what the files say in the place of what the cluster says, and tells what that is.
fn put(inputs: &Inputs, now: &World, catalogue: &mut Catalogue) -> Vec<Edit> {
    let mut edit = Vec::new();
    let given = &inputs.world;
    for policy in given.policies().filter_map(|slot| slot.policy.as_deref()) {
        let replaces = now.policies().any(|slot| slot.name == policy.name);
        edit.push(Edit {
            kind: "DatasetPolicy",
            name: policy.name.to_string(),
            replaces,
        });
        catalogue.put_policy(policy.clone());
    }
    for (name, slot) in given.records() {
        if let RecordSlot::Ready(dataset) = slot {
            edit.push(Edit {
                kind: "DatasetRecord",
                name: name.to_owned(),
                replaces: now.record(name).is_some(),
            });
            catalogue.put_record((*dataset.record).clone());
        }
    }
    for (name, namespace) in given.namespaces() {
        edit.push(Edit {
            kind: "Namespace",
            name: name.to_owned(),
            replaces: now.namespace(name).is_some(),
        });
        catalogue.put_namespace(name, namespace.clone());
    }
    edit.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    edit
}

/// Reads a list to its end. A kind that is not installed has no objects.
async fn each<T: DeserializeOwned, S: Source>(
    source: &S,
    path: &str,
    notes: &mut Notes,
    mut take: impl FnMut(T, &mut Notes),
) -> Result<(), Error> {
    let plural = path.rsplit('/').next().unwrap_or(path).to_owned();
    let failed = |failure: Failure| Error::World {
        what: plural.clone(),
        why: failure.to_string(),
    };
    let mut list = List::new(source, path.to_owned());
    loop {
        let page = match list.page().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(Failure::NotFound) => {
                notes.say(format!(
                    "the cluster does not know {plural}: datagate's CRDs are not installed there"
                ));
                break;
            }
            Err(failure) => return Err(failed(failure)),
        };
        for item in items(&page).map_err(failed)? {
            let object = serde_json::from_str(item.get());
            take(
                object.map_err(|error| failed(Failure::Other(error.to_string())))?,
                notes,
            );
        }
    }
    Ok(())
}

async fn one_namespace<S: Source>(source: &S, name: &str) -> Result<Named, Error> {
    let failed = |why: String| Error::World {
        what: format!("namespace {name}"),
        why,
    };
    let text = source
        .get(&format!("/api/v1/namespaces/{name}"), MAX_BYTES)
        .await
        .map_err(|failure| match failure {
            Failure::NotFound => Error::NoNamespace(name.to_owned()),
            failure => failed(failure.to_string()),
        })?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

fn ours(plural: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/{plural}")
}
