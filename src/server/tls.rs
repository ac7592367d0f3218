//! What TLS is set to, and what a failed handshake means.

use std::io;
use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::{AlertDescription, Error as TlsError, ServerConfig};

use super::certs::Certs;
use crate::metrics::HandshakeFailure;

/// The settings, with the certificate looked up anew for every connection.
pub(super) fn config(certs: Arc<Certs>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(certs.provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certs);
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
        _ => HandshakeFailure::Incompatible,
    }
}
