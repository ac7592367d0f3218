//! A handshake as of an API server that connects for the first time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub serial: String,
}

/// The text in a field that is base64.
pub fn decode(value: &Value) -> Option<String> {
    let bytes: ByteString = serde_json::from_value(value.clone()).ok()?;
    String::from_utf8(bytes.0).ok()
}

/// Shakes hands with who trusts this bundle and nothing else.
pub fn show(port: u16, bundle: &str) -> Result<Shown, String> {
    ask(port, bundle, None).map(|(shown, _)| shown)
}

/// The same with a certificate, and a request for a path that does not exist: gives the answer's first line too.
pub fn ask(
    port: u16,
    bundle: &str,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<(Shown, String), String> {
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(der.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    let name = "127.0.0.1".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let text = |error: std::io::Error| format!("{port}: {error}");
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream
        .write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .map_err(text)?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).map_err(text)?;
    let shown = stream.conn.peer_certificates().unwrap();
    let (_, leaf) = X509Certificate::from_der(&shown[0]).unwrap();
    let shown = Shown {
        serial: leaf.raw_serial_as_string(),
    };
    Ok((shown, String::from_utf8_lossy(&answer).into_owned()))
}
