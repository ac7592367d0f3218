//! What a status says besides what the policy says: whether the API server asks at all.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// What the platform is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The webhook configuration.
    pub webhook: Webhook,
    /// Whether the server only observes.
    pub observe: bool,
}

/// Whether the webhook configuration exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Webhook {
    /// Nobody wants to know.
    NotLookedFor,
    /// It exists.
    Present,
    /// It does not exist: its name.
    Missing { name: String },
    /// It could not be looked at: its name.
    Unknown { name: String },
}

/// Looks for the webhook configuration. Of a failure is said nothing new: what was known before stays.
pub(super) async fn look(client: &Client, name: Option<&str>, before: &Webhook) -> Webhook {
    let Some(name) = name else {
        return Webhook::NotLookedFor;
    };
    let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let error = match timeout(PATIENCE, configurations.get_metadata_opt(name)).await {
        Ok(Ok(Some(_))) => return Webhook::Present,
        Ok(Ok(None)) => {
            return Webhook::Missing {
                name: name.to_owned(),
            };
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    tracing::warn!(name, error, "cannot look at the ValidatingWebhookConfiguration");
    match before {
        Webhook::NotLookedFor => Webhook::Unknown {
            name: name.to_owned(),
        },
        known => known.clone(),
    }
}
