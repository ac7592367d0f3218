//! Statuses as the API server has them: read page by page, written one by one.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::known::Known;
use crate::index::{Catalogued, Stored};

/// The field manager, by which others see who wrote a field.
const MANAGER: &str = "datagate";

/// For one page of a list.
const LIST_PATIENCE: Duration = Duration::from_secs(30);

/// A page of a list.
const PAGE: u32 = 500;

/// Which object.
pub(super) type Key = (Catalogued, Box<str>);

/// A status to be written.
pub(super) struct Write {
    pub key: Key,
    pub uid: Box<str>,
    pub status: Value,
    pub then: Known,
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("another replica may be writing by now")]
    NotLeading,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Client(#[from] kube::Error),
}

/// With server-side apply: a field that is not sent any more goes, and fields of others are left alone. With the uid,
/// so that an object made anew does not get the status of its predecessor.
pub(super) async fn send<K>(client: &Client, write: &Write) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    let objects = Api::<Stored<K>>::all(client.clone());
    let name = &write.key.1;
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": write.uid},
        "status": write.status,
    });
    let how = PatchParams::apply(MANAGER).force();
    objects.patch_status(name, &how, &Patch::Apply(patch)).await?;
    Ok(())
}

/// Reads the statuses of a kind, page by page. One that cannot be read is none.
pub(super) async fn load<K, S>(
    client: &Client,
    kind: Catalogued,
    conditions: fn(&S) -> Vec<Condition>,
    into: &mut HashMap<Key, Known>,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    S: DeserializeOwned + Serialize + Default,
{
    let objects = Api::<Stored<K>>::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = timeout(LIST_PATIENCE, objects.list(&page)).await;
        let list = list.map_err(|_| Error::Timeout(LIST_PATIENCE))??;
        for object in list.items {
            let (Some(name), Some(uid)) = (object.metadata.name, object.metadata.uid) else {
                continue;
            };
            if let Ok(status) = serde_json::from_value::<S>(object.status) {
                let known = Known::new(&uid, &status, &conditions(&status));
                into.insert((kind, name.into()), known);
            }
        }
        match list.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(()),
        }
    }
}
