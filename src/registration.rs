//! Our own registration: the ValidatingWebhookConfiguration by which the API server asks us, as it is now.
//!
//! Nothing about deciding depends on it. What is last known stays known when the API server cannot be reached.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::object::{self, Config};
use crate::stop::Stop;

/// The annotation in which the chart notes the hashes of the match conditions that it writes.
const CONDITIONS: &str = "datagate.dev/match-conditions-sha256";

/// The registration as it was last seen.
pub type Seen = object::Seen<Registration>;

/// To be told of each change of the registration.
pub type Registrations = watch::Receiver<Seen>;

/// A ValidatingWebhookConfiguration, as far as it matters to us.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Which object of this name it is.
    pub uid: String,
    /// Which version of it.
    pub resource_version: String,
    /// What the chart noted of the match conditions that it wrote: `NAME=SHA256` of each expression, separated by commas.
    pub conditions: Option<String>,
    /// Its entries, in their order.
    pub entries: Vec<ValidatingWebhook>,
}

impl From<ValidatingWebhookConfiguration> for Registration {
    fn from(configuration: ValidatingWebhookConfiguration) -> Self {
        let metadata = configuration.metadata;
        let mut annotations = metadata.annotations.unwrap_or_default();
        Self {
            conditions: annotations.remove(CONDITIONS),
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            entries: configuration.webhooks.unwrap_or_default(),
        }
    }
}

/// Where the registration is told, and where it is heard; unknown until [`run`] has looked.
#[must_use]
pub fn channel() -> (watch::Sender<Seen>, Registrations) {
    watch::channel(Seen::Unknown)
}

/// Watches the configuration of this name until it is told to stop.
pub async fn run(config: Config, name: String, client: Client, tell: watch::Sender<Seen>, mut stop: Stop) {
    let api = Api::<ValidatingWebhookConfiguration>::all(client);
    let follow = object::follow(api, &name, &config, |found| note(&tell, found));
    tokio::select! {
        () = stop.told() => {}
        never = follow => never,
    }
}

fn note(tell: &watch::Sender<Seen>, found: Option<ValidatingWebhookConfiguration>) {
    let found = found.map(|it| Arc::new(Registration::from(it)));
    tell.send_if_modified(|seen| {
        // Looking again after a lost connection is no news.
        let news = match (&*seen, &found) {
            (Seen::Present(before), Some(now)) => before != now,
            (Seen::Missing, None) => false,
            _ => true,
        };
        if news {
            *seen = found.map_or(Seen::Missing, Seen::Present);
        }
        news
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration(version: &str) -> ValidatingWebhookConfiguration {
        let hook = |name: &str| {
            json!({
                "name": name,
                "clientConfig": {"caBundle": "Zm9v", "url": "https://a/b"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            })
        };
        serde_json::from_value(json!({
            "metadata": {"name": "datagate", "uid": "u", "resourceVersion": version},
            "webhooks": [hook("core.datagate.dev"), hook("training.datagate.dev")],
        }))
        .unwrap()
    }

    #[test]
    fn only_news_is_told() {
        let (tell, mut heard) = channel();
        assert!(matches!(*heard.borrow_and_update(), Seen::Unknown));
        let mut news = |found| {
            note(&tell, found);
            let changed = heard.has_changed().unwrap();
            let version = heard
                .borrow_and_update()
                .present()
                .map(|it| it.resource_version.clone());
            (changed, version)
        };
        assert_eq!(news(None), (true, None), "missing is more than unknown");
        assert_eq!(news(None), (false, None));
        assert_eq!(news(Some(configuration("1"))), (true, Some("1".to_owned())));
        assert_eq!(news(Some(configuration("1"))), (false, Some("1".to_owned())));
        assert_eq!(news(Some(configuration("2"))), (true, Some("2".to_owned())));
        assert_eq!(news(None), (true, None));
    }

    #[test]
    fn a_configuration_is_read_whole() {
        let registration = Registration::from(configuration("7"));
        assert_eq!((&*registration.uid, &*registration.resource_version), ("u", "7"));
        let names: Vec<&str> = registration.entries.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["core.datagate.dev", "training.datagate.dev"]);
        let bundle = &registration.entries.first().unwrap().client_config.ca_bundle;
        assert_eq!(bundle.as_ref().unwrap().0, b"foo");
    }
}
