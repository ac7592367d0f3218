//! What a status says besides what the policy says: whether the API server asks at all, and who answers.

use datagate_core::render::Alteration;

use super::Config;
use super::drift::{Expected, alterations};
use super::replicas::Standing;
use crate::object::Seen;
use crate::registration::Registration;

/// What the platform is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The webhook configuration.
    pub webhook: Webhook,
    /// Whether the server only observes.
    pub observe: bool,
    /// By what the replicas decide.
    pub standing: Standing,
}

/// What the webhook configuration is like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Webhook {
    /// Nobody wants to know.
    NotLookedFor,
    /// It exists, and is as it must be.
    Present,
    /// It exists, and lets pass what datagate should be asked about: its name, and how.
    Altered {
        name: String,
        alterations: Vec<Alteration>,
    },
    /// It does not exist: its name.
    Missing { name: String },
    /// It could not be looked at: its name.
    Unknown { name: String },
}

impl Webhook {
    /// Of the configuration as it was last seen.
    #[must_use]
    pub fn of(config: &Config, seen: &Seen<Registration>) -> Self {
        let Some(name) = config.webhook.clone() else {
            return Self::NotLookedFor;
        };
        let registration = match seen {
            Seen::Unknown => return Self::Unknown { name },
            Seen::Missing => return Self::Missing { name },
            Seen::Present(registration) => registration,
        };
        let expected = Expected {
            excluded: &config.excluded_namespaces,
            observe: config.observe,
            namespace: &config.namespace,
        };
        match alterations(registration, &expected) {
            none if none.is_empty() => Self::Present,
            alterations => Self::Altered { name, alterations },
        }
    }

    /// Whether it is something else than what it must be; none: it is not known.
    #[must_use]
    pub fn drifted(&self) -> Option<bool> {
        match self {
            Self::NotLookedFor | Self::Unknown { .. } => None,
            Self::Present => Some(false),
            Self::Missing { .. } | Self::Altered { .. } => Some(true),
        }
    }
}
