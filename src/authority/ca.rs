//! Certificates: making an authority, reading one back, and signing a server's certificate with it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, date_time_ymd,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Certificates are valid from so long before they are made, for those whose clock is behind.
pub const SKEW: Duration = Duration::from_secs(3600);

/// The certificate of an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct Root {
    der: CertificateDer<'static>,
    /// Its common name.
    name: String,
    /// For people.
    pub serial: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// An authority: its certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate.
    pub root: Root,
    key_pem: String,
}

/// A server's certificate with its key.
#[derive(Debug)]
pub struct Leaf {
    /// The certificate.
    pub cert: CertificateDer<'static>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// It is not well-formed PEM.
    #[error("it is not well-formed PEM: {0}")]
    Pem(String),
    /// Not one certificate.
    #[error("it holds {0} certificates, not one")]
    Count(usize),
    /// It is no certificate.
    #[error("a certificate in it cannot be understood: {0}")]
    Certificate(String),
    /// It is no authority's.
    #[error("the certificate is not an authority's")]
    NotAuthority,
    /// It is no key.
    #[error("the key cannot be understood: {0}")]
    Key(rcgen::Error),
    /// The key is another certificate's.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// It could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(rcgen::Error),
}

impl Root {
    fn parse(der: CertificateDer<'static>) -> Result<Self, CaError> {
        let unread = |error: String| CaError::Certificate(error);
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| unread(error.to_string()))?;
        if !certificate.is_ca() {
            return Err(CaError::NotAuthority);
        }
        let time = |seconds| Timestamp::from_second(seconds).map_err(|error| unread(error.to_string()));
        let (not_before, not_after) = (
            time(certificate.validity().not_before.timestamp())?,
            time(certificate.validity().not_after.timestamp())?,
        );
        let serial = certificate.raw_serial_as_string();
        let name = certificate.subject().iter_common_name().next();
        let name = name
            .and_then(|it| it.as_str().ok())
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            der,
            name,
            serial,
            not_before,
            not_after,
        })
    }

    /// The authorities' certificates in a PEM text. What is none, or cannot be understood, is left out, as the API server
    /// does it with a bundle.
    #[must_use]
    pub fn find(pem: &[u8]) -> Vec<Self> {
        CertificateDer::pem_slice_iter(pem)
            .filter_map(Result::ok)
            .filter_map(|der| Self::parse(der.into_owned()).ok())
            .collect()
    }

    /// All certificates in a PEM text.
    ///
    /// # Errors
    ///
    /// If it holds anything that is no authority's certificate.
    pub fn read(pem: &[u8]) -> Result<Vec<Self>, CaError> {
        CertificateDer::pem_slice_iter(pem)
            .map(|der| {
                Self::parse(
                    der.map_err(|error| CaError::Pem(format!("{error:?}")))?
                        .into_owned(),
                )
            })
            .collect()
    }

    /// As PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let line_ending = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&Pem::new("CERTIFICATE", self.der.as_ref()), line_ending)
    }

    /// Whether its time has come and is not over.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// For how long it was made.
    fn life(&self) -> Duration {
        Duration::try_from(self.not_after.duration_since(self.not_before)).unwrap_or_default()
    }

    /// Whether no more than a third of its life is left.
    #[must_use]
    pub fn is_old(&self, now: Timestamp) -> bool {
        let left = Duration::try_from(self.not_after.duration_since(now)).unwrap_or_default();
        left <= self.life() / 3
    }
}

impl Authority {
    /// Makes an authority that lives so long.
    ///
    /// # Errors
    ///
    /// If no key can be made.
    pub fn make(life: Duration, now: Timestamp) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)?;
        // A name of its own, so that nobody has to guess which of two signed a certificate.
        let id: String = CertificateParams::default()
            .key_identifier(&key)
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut params = issuing(&format!("datagate CA {id}"));
        set_validity(&mut params, before(now), after(now, life));
        let cert = params.self_signed(&key).map_err(CaError::Make)?;
        Ok(Self {
            root: Root::parse(cert.der().clone())?,
            key_pem: key.serialize_pem(),
        })
    }

    /// Reads one back.
    ///
    /// # Errors
    ///
    /// If it is not one authority's certificate with its key.
    pub fn read(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, CaError> {
        let mut roots = Root::read(cert_pem)?;
        let root = match (roots.pop(), roots.len()) {
            (Some(root), 0) => root,
            (None, _) => return Err(CaError::Count(0)),
            (Some(_), others) => return Err(CaError::Count(others.saturating_add(1))),
        };
        let key_pem = std::str::from_utf8(key_pem).map_err(|error| CaError::Pem(error.to_string()))?;
        let key = KeyPair::from_pem(key_pem).map_err(CaError::Key)?;
        let (_, certificate) =
            X509Certificate::from_der(&root.der).map_err(|error| CaError::Certificate(error.to_string()))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::Mismatch);
        }
        Ok(Self {
            root,
            key_pem: key_pem.to_owned(),
        })
    }

    /// Its key, as PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Signs a new server's certificate for these names that lives so long, but not longer than the authority.
    ///
    /// # Errors
    ///
    /// If a name cannot stand in a certificate, or no key can be made.
    pub fn sign(&self, names: &[String], life: Duration, now: Timestamp) -> Result<Leaf, CaError> {
        let signer = KeyPair::from_pem(&self.key_pem).map_err(CaError::Key)?;
        // As it was made, so that the issuer's name and key are those of the certificate.
        let issuer = Issuer::new(issuing(&self.root.name), signer);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)?;
        let mut params = CertificateParams::new(names).map_err(CaError::Make)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "datagate");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let (not_before, not_after) = (before(now), after(now, life).min(self.root.not_after));
        set_validity(&mut params, not_before, not_after);
        let cert = params.signed_by(&key, &issuer).map_err(CaError::Make)?;
        Ok(Leaf {
            cert: cert.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            not_before,
            not_after,
        })
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.serial, self.not_after)
    }
}

// Not derived: its key is for nobody's log.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.root, f)
    }
}

impl std::hash::Hash for Root {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.der.as_ref().hash(state);
    }
}

/// A time as certificates have it: in whole seconds.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn before(now: Timestamp) -> Timestamp {
    whole(now.checked_sub(SKEW).unwrap_or(now))
}

fn after(now: Timestamp, life: Duration) -> Timestamp {
    whole(now.checked_add(life).unwrap_or(Timestamp::MAX))
}

/// What an authority of this name is, but for its validity.
fn issuing(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    // None before 1970, which no clock that runs says.
    let since_epoch =
        |time: Timestamp| Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(from);
    params.not_after = epoch + since_epoch(until);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
    use rustls::crypto::aws_lc_rs;
    use rustls::server::ParsedCertificate;
    use rustls_pki_types::UnixTime;

    use super::*;

    const NOW: &str = "2026-06-01T00:00:00.5Z";
    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    #[test]
    fn an_authority_is_read_back_as_it_was_made() {
        let made = Authority::make(DAY * 300, now()).unwrap();
        let read = Authority::read(made.root.pem().as_bytes(), made.key_pem().as_bytes()).unwrap();
        assert_eq!(read, made);
        assert_eq!(made.root.not_before.to_string(), "2026-05-31T23:00:00Z");
        assert_eq!(made.root.not_after.to_string(), "2027-03-28T00:00:00Z");
        assert!(!format!("{made:?}").contains("KEY"));
        let third = now().checked_add(DAY * 201).unwrap();
        assert!(made.root.is_old(third) && !made.root.is_old(third.checked_sub(DAY * 2).unwrap()));
    }

    #[test]
    fn what_is_not_an_authority_with_its_key_is_refused() {
        let (one, other) = (
            Authority::make(DAY, now()).unwrap(),
            Authority::make(DAY, now()).unwrap(),
        );
        let (pem, key) = (one.root.pem(), one.key_pem().to_owned());
        let read = |cert: &str, key: &str| Authority::read(cert.as_bytes(), key.as_bytes());
        assert!(matches!(read(&pem, other.key_pem()), Err(CaError::Mismatch)));
        assert!(matches!(read("", &key), Err(CaError::Count(0))));
        let both = pem.clone() + &other.root.pem();
        assert!(matches!(read(&both, &key), Err(CaError::Count(2))));
        let (half, _) = pem.split_at(pem.len() / 2);
        assert!(matches!(
            read(half, &key),
            Err(CaError::Pem(_) | CaError::Count(0))
        ));
        assert!(matches!(read(&pem, "nonsense"), Err(CaError::Key(_))));
        let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        assert!(matches!(read(garbage, &key), Err(CaError::Certificate(_))));
        assert_eq!(
            Root::find((garbage.to_owned() + &pem).as_bytes()),
            std::slice::from_ref(&one.root)
        );
        let leaf = one.sign(&["a.svc".to_owned()], DAY, now()).unwrap();
        assert!(matches!(Root::parse(leaf.cert), Err(CaError::NotAuthority)));
    }

    #[test]
    fn what_an_authority_signs_verifies_also_after_it_was_read_back() {
        let made = Authority::make(DAY, now()).unwrap();
        let read = Authority::read(made.root.pem().as_bytes(), made.key_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.root.der.clone()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now().as_second().try_into().unwrap()));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        for authority in [made, read] {
            let leaf = authority.sign(&["a.svc".to_owned()], DAY, now()).unwrap();
            let parsed = ParsedCertificate::try_from(&leaf.cert).unwrap();
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, algorithms.all).unwrap();
            verify_server_name(&parsed, &"a.svc".try_into().unwrap()).unwrap();
            let (_, leaf) = X509Certificate::from_der(&leaf.cert).unwrap();
            let (_, root) = X509Certificate::from_der(&authority.root.der).unwrap();
            assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
        }
    }

    #[test]
    fn a_leaf_does_not_outlive_its_authority() {
        let authority = Authority::make(DAY, now()).unwrap();
        let names = ["a.svc".to_owned(), "127.0.0.1".to_owned()];
        let short = authority.sign(&names, DAY / 2, now()).unwrap();
        assert_eq!(short.not_after.to_string(), "2026-06-01T12:00:00Z");
        let long = authority.sign(&names, DAY * 2, now()).unwrap();
        assert_eq!(long.not_after, authority.root.not_after);
        let (_, read) = X509Certificate::from_der(&long.cert).unwrap();
        assert_eq!(
            read.validity().not_before.timestamp(),
            long.not_before.as_second()
        );
        assert_eq!(read.validity().not_after.timestamp(), long.not_after.as_second());
        let names = read.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 2);
    }
}
