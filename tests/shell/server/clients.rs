//! Clients that must show a certificate.

use std::fs;
use std::io;
use std::sync::Arc;

use datagate::metrics::HandshakeFailure;
use datagate::server::ClientFiles;
use rcgen::{
    CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::client::{Client, Still};
use crate::pki::{CA, ca, key, params};
use crate::rig::{Rig, patient, until};

/// The certificate of a client under this name.
fn client(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn connector(own: Option<(&CertificateParams, &CertifiedIssuer<'static, KeyPair>)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CA.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_details(provider, Arc::new(Still))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some((params, by)) => {
            let key = key();
            let cert = params.signed_by(&key, by).unwrap();
            let chain = vec![CertificateDer::from_pem_slice(cert.pem().as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// With TLS 1.3 a client learns only from its first answer that it was refused.
async fn ask(rig: &Rig, connector: &TlsConnector) -> io::Result<u16> {
    let mut client = Client::connect_with(rig.webhook, connector).await?;
    Ok(client.post("x").await?.status)
}

struct Authorities {
    dir: TempDir,
    ours: CertifiedIssuer<'static, KeyPair>,
    other: CertifiedIssuer<'static, KeyPair>,
}

impl Authorities {
    fn new() -> Self {
        let make = |name| CertifiedIssuer::self_signed(ca(name), key()).unwrap();
        let this = Self {
            dir: TempDir::new().unwrap(),
            ours: make("clients"),
            other: make("others"),
        };
        this.write(&this.ours.pem());
        this
    }

    fn write(&self, pem: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, pem).unwrap();
        fs::rename(new, self.dir.path().join("ca.crt")).unwrap();
    }

    async fn start(&self, names: &[&str]) -> Rig {
        let config = datagate::server::Config {
            clients: Some(ClientFiles {
                ca: self.dir.path().join("ca.crt"),
                names: names.iter().map(|&it| it.to_owned()).collect(),
            }),
            ..patient()
        };
        Rig::start(config).await
    }
}

#[tokio::test]
async fn only_the_right_certificate_may_ask_and_each_refusal_is_counted() {
    let authorities = Authorities::new();
    let rig = authorities.start(&["kube-apiserver", "api.example.com"]).await;
    let (ours, other) = (&authorities.ours, &authorities.other);
    let refusals = |reason| rig.metrics.server.handshakes(reason);
    let (missing, rejected) = (
        HandshakeFailure::ClientCertificateMissing,
        HandshakeFailure::ClientCertificateRejected,
    );
    ask(&rig, &connector(None)).await.unwrap_err();
    until("it is counted", async || refusals(missing) == 1).await;

    let mut expired = client("kube-apiserver");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let mut early = client("kube-apiserver");
    early.not_before = date_time_ymd(2026, 6, 2);
    let mut server = client("kube-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut silent = client("kube-apiserver");
    silent.extended_key_usages = Vec::new();
    let cases = [
        ("another CA's", client("kube-apiserver"), other),
        ("the serving CA's", client("kube-apiserver"), &*CA),
        ("expired", expired, ours),
        ("not valid yet", early, ours),
        ("another name", client("kube-apiserver2"), ours),
        ("for servers", server, ours),
        ("for it says not what", silent, ours),
    ];
    for (count, (what, params, by)) in (1..).zip(&cases) {
        assert!(ask(&rig, &connector(Some((params, by)))).await.is_err(), "{what}");
        until(what, async || refusals(rejected) == count).await;
    }
    assert_eq!(refusals(missing), 1);

    assert_eq!(
        ask(&rig, &connector(Some((&client("kube-apiserver"), ours))))
            .await
            .unwrap(),
        200
    );
    let mut named = client("somebody");
    named.subject_alt_names = vec![rcgen::SanType::DnsName("api.example.com".try_into().unwrap())];
    assert_eq!(ask(&rig, &connector(Some((&named, ours)))).await.unwrap(), 200);
    // The admin port is for the kubelet and for who reads metrics.
    let ready = Client::get(rig.admin, "/readyz").await;
    assert!(
        ready.body.contains("[+] clients: CAs of clients: 1\n"),
        "{}",
        ready.body
    );
}

#[tokio::test]
async fn without_names_each_certificate_of_the_ca_may_ask() {
    let authorities = Authorities::new();
    let rig = authorities.start(&[]).await;
    let any = connector(Some((&client("anybody"), &authorities.ours)));
    assert_eq!(ask(&rig, &any).await.unwrap(), 200);
    ask(&rig, &connector(None)).await.unwrap_err();
}

#[tokio::test]
async fn the_file_is_read_again_and_a_broken_one_changes_nothing() {
    let authorities = Authorities::new();
    let rig = authorities.start(&[]).await;
    let (ours, other) = (&authorities.ours, &authorities.other);
    let (first, second) = (
        connector(Some((&client("a"), ours))),
        connector(Some((&client("a"), other))),
    );
    assert_eq!(ask(&rig, &first).await.unwrap(), 200);
    // A connection that is open is not asked again.
    let mut open = Client::connect_with(rig.webhook, &first).await.unwrap();
    assert_eq!(open.post("x").await.unwrap().status, 200);

    authorities.write(&(ours.pem() + &other.pem()));
    until("both may ask", async || ask(&rig, &second).await.is_ok()).await;
    assert_eq!(ask(&rig, &first).await.unwrap(), 200);
    authorities.write("nothing");
    let broken = "[+] clients: CAs of clients: 2; ";
    until("readiness says so", async || {
        Client::get(rig.admin, "/readyz").await.body.contains(broken)
    })
    .await;
    assert_eq!(ask(&rig, &first).await.unwrap(), 200);
    authorities.write(&other.pem());
    until("the first may not", async || ask(&rig, &first).await.is_err()).await;
    assert_eq!(ask(&rig, &second).await.unwrap(), 200);
    assert_eq!(open.post("x").await.unwrap().status, 200);
}

#[tokio::test]
async fn without_the_file_nobody_may_ask_and_it_is_not_ready() {
    let authorities = Authorities::new();
    fs::remove_file(authorities.dir.path().join("ca.crt")).unwrap();
    let rig = authorities.start(&[]).await;
    let ready = Client::get(rig.admin, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("[-] clients: cannot read"), "{}", ready.body);
    let fine = connector(Some((&client("a"), &authorities.ours)));
    ask(&rig, &fine).await.unwrap_err();
    authorities.write(&authorities.ours.pem());
    until("ready", async || {
        Client::get(rig.admin, "/readyz").await.status == 200
    })
    .await;
    assert_eq!(ask(&rig, &fine).await.unwrap(), 200);
}
