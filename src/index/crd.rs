//! Whether a kind still exists: a look at its CRD.

use std::time::Duration;

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Resource};
use tokio::time::{sleep, timeout};

use super::state::Catalogued;

/// For one look; the next one comes anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a look at a CRD has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there, and nobody is deleting it.
    There,
    /// It is gone, or about to be.
    Gone,
    /// It could not be looked at.
    Unknown,
}

/// Looks at the CRD of a kind after a while.
pub(super) async fn ask(client: Client, kind: Catalogued, delay: Duration) -> (Catalogued, Presence) {
    sleep(delay).await;
    (kind, look(client, &kind.crd()).await)
}

/// Its object and not its resource: deleting a CRD first deletes its objects, and lists answer until that is done.
async fn look(client: Client, name: &str) -> Presence {
    let crds = Api::<CustomResourceDefinition>::all(client);
    match timeout(PATIENCE, crds.get_metadata_opt(name)).await {
        Ok(Ok(Some(crd))) if crd.metadata.deletion_timestamp.is_none() => Presence::There,
        Ok(Ok(Some(_))) => {
            tracing::warn!(crd = name, "the CRD is being deleted: its objects stay in force");
            Presence::Gone
        }
        Ok(Ok(None)) => {
            tracing::warn!(
                crd = name,
                "the CRD is gone: its objects stay in force. Apply crds/ again"
            );
            Presence::Gone
        }
        Ok(Err(error)) => {
            tracing::warn!(
                crd = name,
                %error,
                "cannot look at the CRD, so objects that were deleted stay in force. Is `get` on it granted?"
            );
            Presence::Unknown
        }
        Err(_) => {
            tracing::warn!(crd = name, "looking at the CRD took too long: trying again");
            Presence::Unknown
        }
    }
}

impl Catalogued {
    /// The name of its CRD.
    #[must_use]
    pub fn crd(self) -> String {
        let plural = match self {
            Self::Policy => DatasetPolicy::plural(&()),
            Self::Record => DatasetRecord::plural(&()),
        };
        format!("{plural}.{}", datagate_api::v1alpha1::GROUP)
    }
}
