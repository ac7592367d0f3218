//! Whether the API server can trust what we serve: the certificate of the moment against the live `caBundle`.
//!
//! A replica that the API server would not trust must not be asked, and whoever watches must learn of it before a user
//! does. It is found out at the moment it is asked for, so that neither a clock that moves on nor a lost connection can
//! leave an old answer standing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::Uri;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, WebhookClientConfig};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as TlsError, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::object::Seen;
use crate::registration::{Registration, Registrations};
use crate::server::{Certs, Health};

/// Compares. Clones share everything.
#[derive(Clone)]
pub struct Trust {
    certs: Arc<OnceLock<Arc<Certs>>>,
    registrations: Registrations,
    /// Whether we write the bundle, so that it must not be empty.
    managed: bool,
}

/// What a comparison comes to; each says why in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is nothing to compare.
    Nothing(String),
    /// There is nothing to compare, and there should be.
    NotYet(String),
    /// It cannot be told what the API server would say.
    Unclear(String),
    /// The API server would trust us, whichever entry it asks by.
    Trusted(String),
    /// It would not.
    NotTrusted(String),
}

impl Trust {
    /// Of what is registered. `managed` says that the bundle is ours to write.
    #[must_use]
    pub fn new(registrations: Registrations, managed: bool) -> Self {
        Self {
            certs: Arc::default(),
            registrations,
            managed,
        }
    }

    /// Of these certificates, said once.
    pub fn serve(&self, certs: Arc<Certs>) {
        // Said twice, the first stays.
        let _ = self.certs.set(certs);
    }

    /// Compares now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let Some((served, now)) = self
            .certs
            .get()
            .and_then(|certs| Some((certs.served()?, certs.now())))
        else {
            return Verdict::Nothing("no certificate to compare".to_owned());
        };
        let registration = match self.registrations.borrow().clone() {
            Seen::Present(registration) => registration,
            Seen::Missing => {
                let text = "there is no webhook configuration, so the API server does not ask";
                return Verdict::Nothing(text.to_owned());
            }
            Seen::Unknown if self.managed => {
                return Verdict::NotYet("the webhook configuration has not been read yet".to_owned());
            }
            Seen::Unknown => {
                let text = "not compared: the webhook configuration has not been read yet";
                return Verdict::Nothing(text.to_owned());
            }
        };
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        compare(&registration, &served.cert, now, self.managed)
    }

    /// What readiness says of it.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.verdict() {
            Verdict::Nothing(text) | Verdict::Unclear(text) | Verdict::Trusted(text) => Health::ok(text),
            Verdict::NotYet(text) | Verdict::NotTrusted(text) => Health::failing(text),
        }
    }
}

impl Collector for Trust {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let value = match self.verdict() {
            Verdict::Trusted(_) => 1_i64,
            Verdict::NotTrusted(_) => 0,
            Verdict::Nothing(_) | Verdict::NotYet(_) | Verdict::Unclear(_) => return Ok(()),
        };
        let metric = encoder.encode_descriptor(
            "certificate_trusted",
            "1: what is served verifies against every caBundle of the webhook configuration; 0: not; absent: nothing to compare",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(value).encode(metric)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("managed", &self.managed)
            .finish_non_exhaustive()
    }
}

fn compare(
    registration: &Registration,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
    managed: bool,
) -> Verdict {
    // Most entries are alike, and signatures cost time.
    let mut alike: BTreeMap<(&[u8], String), &str> = BTreeMap::new();
    let (mut empty, mut unclear) = (None, None);
    for entry in &registration.entries {
        let bundle = bundle(entry);
        if bundle.is_empty() {
            empty.get_or_insert(&*entry.name);
            continue;
        }
        match host(&entry.client_config) {
            Some(host) => _ = alike.entry((bundle, host)).or_insert(&entry.name),
            None => unclear = Some(format!("{}: its clientConfig has no host", entry.name)),
        }
    }
    if let Some(name) = empty.filter(|_| managed) {
        return Verdict::NotTrusted(format!(
            "the caBundle of {name} is empty; it is about to be written"
        ));
    }
    let compared = !alike.is_empty();
    for ((bundle, host), name) in alike {
        match verify(bundle, &host, chain, now) {
            Ok(()) => {}
            Err(TlsError::InvalidCertificate(error)) if is_certain(&error) => {
                let to_do = if managed {
                    "It is written by datagate: its log says what is in the way"
                } else {
                    "Put the CA of the serving certificate there, or serve a certificate of that CA"
                };
                return Verdict::NotTrusted(format!(
                    "by the caBundle of {name} the API server would refuse what is served as {host}: {error}. {to_do}"
                ));
            }
            Err(error) => unclear = Some(format!("{name}: {error}")),
        }
    }
    if let Some(why) = unclear {
        return Verdict::Unclear(format!(
            "cannot tell whether the API server trusts what is served: {why}"
        ));
    }
    match (compared, empty) {
        (true, _) => Verdict::Trusted("what is served verifies against the live caBundle".to_owned()),
        (false, Some(_)) => Verdict::Nothing(
            "not compared: the caBundle is empty, so the API server uses the roots of its machine".to_owned(),
        ),
        (false, None) => Verdict::Nothing("the webhook configuration has no entries".to_owned()),
    }
}

/// Whether the API server would certainly say the same. Of what our library cannot read it may think otherwise.
fn is_certain(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
            | CertificateError::InvalidPurpose
            | CertificateError::InvalidPurposeContext { .. }
    )
}

fn verify(bundle: &[u8], host: &str, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), TlsError> {
    let bad = || TlsError::InvalidCertificate(CertificateError::BadEncoding);
    let (leaf, rest) = chain.split_first().ok_or_else(bad)?;
    let name = ServerName::try_from(host).map_err(|_| bad())?;
    let parsed = ParsedCertificate::try_from(leaf)?;
    verify_server_name(&parsed, &name)?;
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok) {
        // The API server trusts a certificate that is in the bundle itself; our library wants a CA above it. When it
        // expires is told by the check of the certificate.
        if der == *leaf {
            return Ok(());
        }
        // What cannot be read the API server skips as well.
        let _ = roots.add(der);
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, rest, now, algorithms.all)
}

fn bundle(entry: &ValidatingWebhook) -> &[u8] {
    let bundle = entry.client_config.ca_bundle.as_ref();
    bundle.map(|it| it.0.as_slice()).unwrap_or_default()
}

/// The name that the API server looks for in the certificate.
fn host(client: &WebhookClientConfig) -> Option<String> {
    if let Some(service) = &client.service {
        return Some(format!("{}.{}.svc", service.name, service.namespace));
    }
    let url: Uri = client.url.as_ref()?.parse().ok()?;
    let host = url.host()?;
    Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}
