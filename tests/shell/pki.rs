//! Certificates, and a folder in which they change as in a mounted Secret.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use datagate::server::{CertFiles, WallClock};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    SerialNumber, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

/// The only name in the certificates.
pub const NAME: &str = "datagate.datagate-system.svc";

/// What time it is in tests, unless they change it.
pub const NOW: &str = "2026-06-01T00:00:00Z";

/// The only CA. Its certificates are valid for the years 2025 to 2029.
pub static CA: LazyLock<CertifiedIssuer<'static, KeyPair>> =
    LazyLock::new(|| CertifiedIssuer::self_signed(ca("root"), key()).unwrap());

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Pems {
    pub cert: String,
    pub key: String,
    pub serial: String,
}

/// A clock that tests move.
#[derive(Clone)]
pub struct Clock(Arc<AtomicI64>);

/// A folder that changes as the kubelet changes a mounted Secret: the files are symlinks through `..data`, which
/// is renamed to point to a new folder.
pub struct Secret {
    dir: TempDir,
    generation: AtomicU64,
}

pub fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub fn ca(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub fn params(names: &[&str]) -> CertificateParams {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.serial_number = Some(SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

/// A certificate by the CA, as `params` say.
pub fn issue_as(params: &CertificateParams, key: &KeyPair) -> Pems {
    let cert = params.signed_by(key, &CA).unwrap();
    Pems {
        serial: serial(cert.der()),
        cert: cert.pem(),
        key: key.serialize_pem(),
    }
}

/// A good certificate.
pub fn issue() -> Pems {
    issue_as(&params(&[NAME]), &key())
}

pub fn serial(der: &CertificateDer<'_>) -> String {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    X509Certificate::from_der(der).unwrap().1.raw_serial_as_string()
}

impl Clock {
    pub fn new() -> Self {
        let clock = Self(Arc::default());
        clock.set(NOW);
        clock
    }

    pub fn set(&self, now: &str) {
        self.0
            .store(now.parse::<Timestamp>().unwrap().as_second(), Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub fn wall(&self) -> WallClock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

impl Secret {
    pub fn empty() -> Self {
        let secret = Self {
            dir: TempDir::new().unwrap(),
            generation: AtomicU64::new(0),
        };
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), secret.dir.path().join(file)).unwrap();
        }
        secret
    }

    pub fn holding(pems: &Pems) -> Self {
        let secret = Self::empty();
        secret.swap(pems.cert.as_bytes(), pems.key.as_bytes());
        secret
    }

    pub fn swap(&self, cert: &[u8], key: &[u8]) {
        let root = self.dir.path();
        let name = format!("..{}", self.generation.fetch_add(1, Ordering::Relaxed));
        let next = root.join(&name);
        fs::create_dir(&next).unwrap();
        fs::write(next.join("tls.crt"), cert).unwrap();
        fs::write(next.join("tls.key"), key).unwrap();
        let before = fs::read_link(root.join("..data")).ok();
        symlink(&name, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        if let Some(before) = before {
            fs::remove_dir_all(root.join(before)).unwrap();
        }
    }

    pub fn files(&self) -> CertFiles {
        CertFiles {
            cert: self.dir.path().join("tls.crt"),
            key: self.dir.path().join("tls.key"),
        }
    }
}
