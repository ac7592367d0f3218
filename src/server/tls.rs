//! What TLS is set to, and what a failed handshake means.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, Error as TlsError, ServerConfig};
use rustls_pki_types::UnixTime;

use super::certs::{Certs, Clients};
use crate::metrics::HandshakeFailure;

/// Certificates of clients are judged by the clock by which our own is.
#[derive(Debug)]
struct Wall(Arc<Certs>);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let since = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(since)))
    }
}

/// The settings, with the certificate looked up anew for every connection. With `clients` they must show one, too.
pub(super) fn config(
    certs: Arc<Certs>,
    clients: Option<Arc<Clients>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_details(certs.provider(), Arc::new(Wall(certs.clone())))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certs);
    // HTTP/1.1 only: the API server speaks nothing else to a Service, and the floods that HTTP/2 allows go away.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The API server does not resume sessions; and a resumed one would be of the certificate before.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a failed handshake was about.
pub(super) fn classify(error: &io::Error) -> HandshakeFailure {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return HandshakeFailure::Closed;
    };
    match error {
        TlsError::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA,
        ) => HandshakeFailure::CertificateRejected,
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => HandshakeFailure::Malformed,
        TlsError::NoCertificatesPresented => HandshakeFailure::ClientCertificateMissing,
        TlsError::InvalidCertificate(_) => HandshakeFailure::ClientCertificateRejected,
        _ => HandshakeFailure::Incompatible,
    }
}
