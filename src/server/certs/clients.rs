//! Who may ask at the webhook's port: clients with a certificate of a CA from a file that may change, under a name.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::sleep;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::pair::{CertError, read_file};
use crate::metrics::Metrics;
use crate::server::Health;

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM: the CAs of clients.
    pub ca: PathBuf,
    /// The common names or DNS names of which a client's certificate must have one; empty: any.
    pub names: Vec<String>,
}

/// The clients' CAs as they are now.
pub(crate) struct Clients {
    files: ClientFiles,
    provider: Arc<CryptoProvider>,
    metrics: Arc<Metrics>,
    current: ArcSwapOption<Current>,
    /// Why the file as it is now cannot be used, if so.
    trouble: Mutex<Option<String>>,
}

struct Current {
    bytes: Vec<u8>,
    count: usize,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Nothing is read yet, and nobody may ask.
    pub(crate) fn new(files: ClientFiles, provider: Arc<CryptoProvider>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            files,
            provider,
            metrics,
            current: ArcSwapOption::empty(),
            trouble: Mutex::default(),
        })
    }

    /// Looks at the file for ever, `every` so often.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration) -> Infallible {
        loop {
            sleep(every).await;
            self.refresh().await;
        }
    }

    /// Looks at the file, off the threads that answer requests.
    pub(crate) async fn refresh(self: &Arc<Self>) {
        let this = self.clone();
        // What went wrong has been logged and counted; a panic in there is logged by the runtime's hook.
        let _ = tokio::task::spawn_blocking(move || this.reload()).await;
    }

    /// What readiness says of it.
    pub(crate) fn health(&self) -> Health {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match (self.current.load().as_ref(), trouble) {
            (None, trouble) => Health::failing(trouble.unwrap_or_else(|| "not read yet".to_owned())),
            (Some(current), None) => Health::ok(format!("CAs of clients: {}", current.count)),
            (Some(current), Some(trouble)) => {
                Health::ok(format!("CAs of clients: {}; {trouble}", current.count))
            }
        }
    }

    fn reload(&self) {
        let error = self.replace().err().map(|error| error.to_string());
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &error {
            self.metrics.server.reload_failures.inc();
            if trouble.as_ref() != Some(error) {
                tracing::warn!(error, "the file of clients' CAs cannot be used");
            }
        }
        *trouble = error;
    }

    fn replace(&self) -> Result<(), CertError> {
        let path = &self.files.ca;
        let bytes = read_file(path)?;
        if self.current.load().as_ref().is_some_and(|it| it.bytes == bytes) {
            return Ok(());
        }
        // What is read twice alike is most likely whole.
        if read_file(path)? != bytes {
            return Err(CertError::Unstable { path: path.clone() });
        }
        let mut roots = RootCertStore::empty();
        for (der, position) in CertificateDer::pem_slice_iter(&bytes).zip(1..) {
            let der = der.map_err(|source| CertError::Pem {
                path: path.clone(),
                source,
            })?;
            roots.add(der).map_err(|error| CertError::Certificate {
                path: path.clone(),
                position,
                why: error.to_string(),
            })?;
        }
        let count = roots.len();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        // Its only complaint is that there is no root.
        let verifier = verifier.map_err(|_| CertError::NoCertificate { path: path.clone() })?;
        tracing::info!(count, "clients' CAs were taken into use");
        self.current.store(Some(Arc::new(Current {
            bytes,
            count,
            verifier,
        })));
        Ok(())
    }

    fn is_named(&self, certificate: &X509Certificate<'_>) -> bool {
        let wanted = |name: &str| self.files.names.iter().any(|it| it == name);
        let mut common = certificate.subject().iter_common_name();
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let mut dns = alternative.iter().flat_map(|it| &it.value.general_names);
        self.files.names.is_empty()
            || common.any(|it| it.as_str().is_ok_and(wanted))
            || dns.any(|it| matches!(it, GeneralName::DNSName(name) if wanted(name)))
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Without hints a client shows the certificate it has. They could not change with the file.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let current = self.current.load_full();
        let current = current.ok_or_else(|| TlsError::General("no CAs of clients are known".to_owned()))?;
        let verified = current
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        let (_, certificate) = X509Certificate::from_der(end_entity)
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        // A certificate that does not say what it is for is for nothing here.
        let usage = certificate.extended_key_usage().ok().flatten();
        if !usage.is_some_and(|it| it.value.client_auth) {
            return Err(TlsError::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        if !self.is_named(&certificate) {
            let error = CertificateError::ApplicationVerificationFailure;
            return Err(TlsError::InvalidCertificate(error));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
