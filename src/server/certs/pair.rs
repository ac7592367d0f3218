//! Reading a certificate and its key from files, and finding out whether a client could accept them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error as TlsError, InconsistentKeys};
use rustls_pki_types::pem::{Error as PemError, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::CertFiles;

/// No file may be larger. A chain of ten certificates is a tenth of it.
const MAX_FILE: u64 = 256 * 1024;

/// How often files that change while they are read are read again.
const TRIES: usize = 4;

/// Why the certificate's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}. Check that the Secret is mounted there and readable", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is too large to be a certificate or key.
    #[error(
        "{path} is larger than {MAX_FILE} bytes. It should hold one certificate with its chain, or one key",
        path = path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The files kept changing.
    #[error("{cert} and its key changed while they were read. They are read again", cert = path.display())]
    Unstable {
        /// The certificate's file.
        path: PathBuf,
    },
    /// There is no certificate in the file.
    #[error("{path} holds no certificate. It should be PEM with BEGIN CERTIFICATE", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file.
    #[error(
        "{path} holds no private key. It should be PEM: unencrypted PKCS#8, SEC1 or PKCS#1",
        path = path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The text around a certificate or key is broken.
    #[error("{path} is not well-formed PEM: {source:?}. It may be cut off", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PemError,
    },
    /// A certificate cannot be understood.
    #[error("certificate {position} of {path} cannot be understood: {why}. Issue it again", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which of the file, from 1.
        position: usize,
        /// What is wrong.
        why: String,
    },
    /// The key cannot be understood, or is of a kind that is not supported.
    #[error("the key in {path} cannot be used: {source}. Use ECDSA P-256 or P-384, Ed25519 or RSA", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {key} does not belong to the first certificate of {cert}. Put the server's own certificate first",
        key = key.display(),
        cert = cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate's time has not come.
    #[error("the certificate in {path} is valid from {from}, and it is {now}. Check the clocks", path = path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// When its time begins.
        from: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// The certificate's time is over.
    #[error("the certificate in {path} expired at {until}, and it is {now}. Issue a new one", path = path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When its time ended.
        until: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// No client would find its name in the certificate.
    #[error(
        "the certificate in {path} has no DNS name or IP address among its subject alternative names. \
         Issue it for <service>.<namespace>.svc; a common name is not looked at",
        path = path.display()
    )]
    NoName {
        /// The file.
        path: PathBuf,
    },
}

/// Both files as they are.
#[derive(PartialEq, Eq)]
pub(super) struct Bytes {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate and its key that did not come from files.
#[derive(Debug)]
pub struct Given {
    /// The server's certificate first, then those that lead to the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// A certificate that can be served.
pub(super) struct Pair {
    pub key: Arc<CertifiedKey>,
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Bytes {
    /// Reads both files. None if they are `known`.
    pub(super) fn read(files: &CertFiles, known: Option<&Self>) -> Result<Option<Self>, CertError> {
        let mut seen = Self::read_once(files)?;
        if known == Some(&seen) {
            return Ok(None);
        }
        // The two files are not swapped in one step with our reading of them, so a new certificate may come with
        // the old key, or with half a new one. What is read twice alike is most likely whole.
        for _ in 1..TRIES {
            let again = Self::read_once(files)?;
            if again == seen {
                return Ok(Some(again));
            }
            seen = again;
        }
        Err(CertError::Unstable {
            path: files.cert.clone(),
        })
    }

    fn read_once(files: &CertFiles) -> Result<Self, CertError> {
        Ok(Self {
            cert: read_file(&files.cert)?,
            key: read_file(&files.key)?,
        })
    }
}

impl Pair {
    /// A certificate of our own making, so that only a bug could make it unfit.
    pub(super) fn of(given: Given, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let malformed = || TlsError::InvalidCertificate(CertificateError::BadEncoding);
        let leaf = given.chain.first().ok_or_else(malformed)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| malformed())?;
        let time = |seconds| Timestamp::from_second(seconds).map_err(|_| malformed());
        let (not_before, not_after) = (
            time(leaf.validity().not_before.timestamp())?,
            time(leaf.validity().not_after.timestamp())?,
        );
        let serial = leaf.raw_serial_as_string();
        let key = CertifiedKey::from_der(given.chain.clone(), given.key, provider)?;
        Ok(Self {
            key: Arc::new(key),
            serial,
            not_before,
            not_after,
        })
    }

    /// Makes sure that the bytes are a certificate with its key that a client could accept `now`.
    pub(super) fn parse(
        files: &CertFiles,
        bytes: &Bytes,
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<Self, CertError> {
        let path = &files.cert;
        let chain = CertificateDer::pem_slice_iter(&bytes.cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| CertError::Pem {
                path: path.clone(),
                source,
            })?;
        let parsed = chain
            .iter()
            .zip(1..)
            .map(|(der, position)| match X509Certificate::from_der(der) {
                Ok((_, certificate)) => Ok(certificate),
                Err(error) => Err(CertError::Certificate {
                    path: path.clone(),
                    position,
                    why: error.to_string(),
                }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let Some(leaf) = parsed.first() else {
            return Err(CertError::NoCertificate { path: path.clone() });
        };
        let not_before = time(path, leaf.validity().not_before.timestamp())?;
        let not_after = time(path, leaf.validity().not_after.timestamp())?;
        let serial = leaf.raw_serial_as_string();
        let named = leaf
            .subject_alternative_name()
            .ok()
            .flatten()
            .is_some_and(|names| {
                let is_name =
                    |n: &GeneralName<'_>| matches!(n, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
                names.value.general_names.iter().any(is_name)
            });
        let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|source| match source {
            PemError::NoItemsFound => CertError::NoKey {
                path: files.key.clone(),
            },
            source => CertError::Pem {
                path: files.key.clone(),
                source,
            },
        })?;
        let key = CertifiedKey::from_der(chain.clone(), key, provider).map_err(|source| match source {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertError::Mismatch {
                cert: path.clone(),
                key: files.key.clone(),
            },
            source => CertError::Key {
                path: files.key.clone(),
                source,
            },
        })?;
        if !named {
            return Err(CertError::NoName { path: path.clone() });
        }
        if now < not_before {
            return Err(CertError::NotYetValid {
                path: path.clone(),
                from: not_before,
                now,
            });
        }
        if now > not_after {
            return Err(CertError::Expired {
                path: path.clone(),
                until: not_after,
                now,
            });
        }
        Ok(Self {
            key: Arc::new(key),
            serial,
            not_before,
            not_after,
        })
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, CertError> {
    let failed = |source| CertError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CertError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

fn time(path: &Path, seconds: i64) -> Result<Timestamp, CertError> {
    Timestamp::from_second(seconds).map_err(|error| CertError::Certificate {
        path: path.to_owned(),
        position: 1,
        why: error.to_string(),
    })
}
