//! The certificates of one control plane: its own authority, a server, two clients, a signing key.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::Error;

/// A certificate for a TLS server and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct ServerCert {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl ServerCert {
    /// Makes an authority and a certificate for a server under these names and addresses, and writes `ca.crt`,
    /// `tls.crt` and `tls.key` into a folder.
    ///
    /// # Errors
    ///
    /// When a name cannot stand in a certificate, or a file cannot be written.
    pub fn write_new(dir: &Path, names: &[&str]) -> Result<(), Error> {
        let pki = Pki::authority(dir)?;
        pki.server_files("tls", names)
    }
}

/// The authority of a control plane, with what it has issued as files in one folder.
pub(crate) struct Pki {
    dir: PathBuf,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes an authority.
    pub(crate) fn authority(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "datagate-env");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let ca_pem = ca.self_signed(&key)?.pem();
        let pki = Self {
            dir: dir.to_owned(),
            ca_pem,
            issuer: Issuer::new(ca, key),
        };
        pki.write("ca.crt", &pki.ca_pem)?;
        Ok(pki)
    }

    /// Makes the authority, the API server's certificate and the key that signs service account tokens.
    ///
    /// `addresses` are those of the API server beside the loopback one.
    pub(crate) fn create(dir: &Path, addresses: &[&str]) -> Result<Self, Error> {
        let pki = Self::authority(dir)?;
        let names = ["localhost", "kubernetes", "kubernetes.default.svc", "127.0.0.1"];
        pki.write_pair("apiserver", &pki.server(&[&names, addresses].concat())?)?;

        let tokens = KeyPair::generate()?;
        pki.write("tokens.key", &tokens.serialize_pem())?;
        pki.write("tokens.pub", &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// The file of that name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The authority's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a certificate for a server under these names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Result<ServerCert, Error> {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "datagate-env server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// Issues a client certificate into `STEM.crt` and `STEM.key`.
    pub(crate) fn client_files(&self, stem: &str, user: &str, group: Option<&str>) -> Result<(), Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.write_pair(stem, &self.issue(params)?)
    }

    /// Issues a certificate for a server into `STEM.crt` and `STEM.key`.
    pub(crate) fn server_files(&self, stem: &str, names: &[&str]) -> Result<(), Error> {
        self.write_pair(stem, &self.server(names)?)
    }

    /// Issues a client certificate and writes a kubeconfig that uses it.
    pub(crate) fn kubeconfig(
        &self,
        path: &Path,
        server: &str,
        user: &str,
        group: Option<&str>,
    ) -> Result<(), Error> {
        let stem = user.replace(':', "-");
        self.client_files(&stem, user, group)?;
        let (cert, key) = (format!("{stem}.crt"), format!("{stem}.key"));
        // JSON is YAML, and files by path need no base64.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "env", "cluster": {"server": server, "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": user, "user": {"client-certificate": self.path(&cert), "client-key": self.path(&key)}}],
            "contexts": [{"name": "env", "context": {"cluster": "env", "user": user}}],
            "current-context": "env",
        });
        fs::write(path, format!("{config:#}\n")).map_err(Error::io("write", path))
    }

    fn issue(&self, params: CertificateParams) -> Result<ServerCert, Error> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(ServerCert {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn write_pair(&self, stem: &str, pair: &ServerCert) -> Result<(), Error> {
        self.write(&format!("{stem}.crt"), &pair.cert_pem)?;
        self.write(&format!("{stem}.key"), &pair.key_pem)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.path(name);
        fs::write(&path, content).map_err(Error::io("write", path))
    }
}
