//! The Secret that holds the authorities of all replicas: what is in it, and whether it can be used.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::ca::{Authority, CaError, Root};

/// A new value makes every replica take a new certificate.
pub const RENEW_LEAF: &str = "datagate.dev/renew-leaf";

/// A new value starts a change to a new authority.
pub const ROTATE_CA: &str = "datagate.dev/rotate-ca";

/// The value of [`ROTATE_CA`] that has been heeded.
pub const ROTATE_CA_DONE: &str = "datagate.dev/rotate-ca-done";

/// If it is there, authorities that sign no more are no longer trusted, without the usual wait.
pub const FORGET_PREVIOUS: &str = "datagate.dev/forget-previous";

const SIGNER: (&str, &str) = ("ca.crt", "ca.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const PREVIOUS: &str = "previous.crt";
const SUPERSEDED: &str = "superseded-at";

const NAME: (&str, &str) = ("app.kubernetes.io/name", "datagate");
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "datagate");

/// What the replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// Signs.
    pub signer: Authority,
    /// Will sign once everybody trusts it.
    pub next: Option<Authority>,
    /// Signed before; still trusted for a while. The newest first.
    pub previous: Vec<Root>,
    /// When the signer took over from the first of the previous.
    pub superseded: Option<Timestamp>,
}

/// What operators ask for with annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The value of `datagate.dev/renew-leaf`.
    pub renew_leaf: Option<String>,
    /// The value of `datagate.dev/rotate-ca`, if it has not been heeded.
    pub rotate_ca: Option<String>,
    /// Whether there is a `datagate.dev/forget-previous`.
    pub forget_previous: bool,
}

/// Why a Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Somebody else made it.
    #[error("it was not made by datagate: it has no label {key}={value}", key = MANAGED_BY.0, value = MANAGED_BY.1)]
    NotOurs,
    /// A key is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A key holds something else than it should.
    #[error("{key}: {source}")]
    Ca {
        /// The key.
        key: &'static str,
        /// What is wrong.
        source: CaError,
    },
    /// The time of the last change is not there, or is none.
    #[error("{SUPERSEDED} is no time, and there is {PREVIOUS}")]
    Time,
}

impl Authorities {
    /// One that signs, and nothing else.
    #[must_use]
    pub fn only(signer: Authority) -> Self {
        Self {
            signer,
            next: None,
            previous: Vec::new(),
            superseded: None,
        }
    }

    /// Reads a Secret.
    ///
    /// # Errors
    ///
    /// If it is not what [`Authorities::write`] writes.
    pub fn read(secret: &Secret) -> Result<Self, Broken> {
        let labels = secret.metadata.labels.as_ref();
        if labels.and_then(|it| it.get(MANAGED_BY.0)).map(String::as_str) != Some(MANAGED_BY.1) {
            return Err(Broken::NotOurs);
        }
        let get = |key: &'static str| {
            let value = secret.data.as_ref().and_then(|it| it.get(key));
            value.map(|it| it.0.as_slice())
        };
        let need = |key| get(key).ok_or(Broken::Missing(key));
        let pair = |(cert, key): (&'static str, &'static str)| {
            let broken = |source| Broken::Ca { key: cert, source };
            Authority::read(need(cert)?, need(key)?).map_err(broken)
        };
        let signer = pair(SIGNER)?;
        let next = match get(NEXT.0) {
            Some(_) => Some(pair(NEXT)?),
            None => None,
        };
        let previous = Root::read(get(PREVIOUS).unwrap_or_default());
        let previous = previous.map_err(|source| Broken::Ca {
            key: PREVIOUS,
            source,
        })?;
        let superseded = get(SUPERSEDED).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        if !previous.is_empty() && superseded.is_none() {
            return Err(Broken::Time);
        }
        Ok(Self {
            signer,
            next,
            previous,
            superseded,
        })
    }

    /// The data of a Secret.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, ByteString> {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, value: String| {
            data.insert(key.to_owned(), ByteString(value.into_bytes()));
        };
        put(SIGNER.0, self.signer.root.pem());
        put(SIGNER.1, self.signer.key_pem().to_owned());
        if let Some(next) = &self.next {
            put(NEXT.0, next.root.pem());
            put(NEXT.1, next.key_pem().to_owned());
        }
        if !self.previous.is_empty() {
            put(PREVIOUS, pems(&self.previous));
            put(SUPERSEDED, self.superseded.unwrap_or_default().to_string());
        }
        data
    }

    /// The certificates that must be trusted, the signer's first.
    pub fn roots(&self) -> impl Iterator<Item = &Root> {
        let next = self.next.iter().map(|it| &it.root);
        std::iter::once(&self.signer.root)
            .chain(next)
            .chain(&self.previous)
    }

    /// What must stand in the webhook configuration.
    #[must_use]
    pub fn bundle(&self) -> Vec<u8> {
        pems(self.roots()).into_bytes()
    }
}

impl Requests {
    /// What a Secret's annotations ask for.
    #[must_use]
    pub fn read(secret: &Secret) -> Self {
        let annotations = secret.metadata.annotations.as_ref();
        let get = |key| annotations.and_then(|it| it.get(key));
        let done = get(ROTATE_CA_DONE);
        Self {
            renew_leaf: get(RENEW_LEAF).cloned(),
            rotate_ca: get(ROTATE_CA).filter(|it| Some(*it) != done).cloned(),
            forget_previous: get(FORGET_PREVIOUS).is_some(),
        }
    }
}

/// A Secret that does not exist yet.
#[must_use]
pub fn new(name: &str, owner: Option<OwnerReference>, authorities: &Authorities) -> Secret {
    let labels = [NAME, MANAGED_BY].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(authorities.write()),
        ..Secret::default()
    }
}

/// The same Secret with other contents, and the request for them noted as heeded. It keeps its version, so that it is
/// stored only if nobody else changed it.
#[must_use]
pub fn changed(mut secret: Secret, authorities: &Authorities) -> Secret {
    let annotations = secret.metadata.annotations.get_or_insert_default();
    // A request is heeded when the next authority is there, and not before.
    if authorities.next.is_some()
        && let Some(asked) = annotations.get(ROTATE_CA).cloned()
    {
        annotations.insert(ROTATE_CA_DONE.to_owned(), asked);
    }
    if authorities.previous.is_empty() {
        annotations.remove(FORGET_PREVIOUS);
    }
    secret.data = Some(authorities.write());
    secret
}

fn pems<'r>(roots: impl IntoIterator<Item = &'r Root>) -> String {
    roots.into_iter().map(Root::pem).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn authority() -> Authority {
        Authority::make(Duration::from_secs(86_400), Timestamp::UNIX_EPOCH).unwrap()
    }

    fn full() -> Authorities {
        Authorities {
            signer: authority(),
            next: Some(authority()),
            previous: vec![authority().root, authority().root],
            superseded: Some(Timestamp::from_second(7).unwrap()),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for authorities in [full(), Authorities::only(authority())] {
            let secret = new("ca", None, &authorities);
            assert_eq!(Authorities::read(&secret).unwrap(), authorities);
            let bundle = Root::read(&authorities.bundle()).unwrap();
            assert_eq!(
                bundle.iter().collect::<Vec<_>>(),
                authorities.roots().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_is_broken_is_named() {
        let other = authority();
        type Harm = Box<dyn Fn(&mut Secret)>;
        let data = |key: &'static str, value: Option<Vec<u8>>| -> Harm {
            Box::new(move |secret| {
                let data = secret.data.as_mut().unwrap();
                match &value {
                    Some(value) => data.insert(key.to_owned(), ByteString(value.clone())),
                    None => data.remove(key),
                };
            })
        };
        let cases: [(&str, Harm); 7] = [
            (
                "it was not made by datagate: it has no label app.kubernetes.io/managed-by=datagate",
                Box::new(|it| it.metadata.labels = None),
            ),
            ("it has no ca.crt", data("ca.crt", None)),
            ("it has no next.key", data("next.key", None)),
            (
                "ca.crt: it holds 0 certificates, not one",
                data("ca.crt", Some(vec![])),
            ),
            (
                "ca.crt: the key does not belong to the certificate",
                data("ca.key", Some(other.key_pem().into())),
            ),
            (
                "superseded-at is no time, and there is previous.crt",
                data("superseded-at", Some(b"yesterday".into())),
            ),
            (
                "next.crt: the key does not belong to the certificate",
                data("next.crt", Some(other.root.pem().into())),
            ),
        ];
        for (expected, harm) in cases {
            let mut secret = new("ca", None, &full());
            harm(&mut secret);
            assert_eq!(Authorities::read(&secret).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_request_is_heeded_once() {
        let mut authorities = Authorities::only(authority());
        let mut secret = new("ca", None, &authorities);
        assert_eq!(Requests::read(&secret), Requests::default());
        let asked = [(ROTATE_CA, "2"), (RENEW_LEAF, "x"), (FORGET_PREVIOUS, "")];
        let asked = asked.map(|(key, value)| (key.to_owned(), value.to_owned()));
        secret.metadata.annotations = Some(asked.into());
        let requests = Requests::read(&secret);
        assert_eq!(requests.rotate_ca.as_deref(), Some("2"));
        assert_eq!(requests.renew_leaf.as_deref(), Some("x"));
        assert!(requests.forget_previous);

        authorities.next = Some(authority());
        let secret = changed(secret, &authorities);
        let requests = Requests::read(&secret);
        assert_eq!((requests.rotate_ca, requests.forget_previous), (None, false));
        assert_eq!(Authorities::read(&secret).unwrap(), authorities);
    }
}
