//! The samples of `examples/operating` for an API server are what an API server takes.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use datagate_env::{Options, free_port, stdout_of};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::webhook::objects::{declare, job};
use crate::webhook::{Api, RELEASE, SOON, control_plane, repository, rig};

/// Whom the API server shows itself as.
const CLIENT: &str = "kube-apiserver";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "the samples' authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, as files `NAME.crt` and `NAME.key`.
fn signed(ca: &Authority, dir: &Path, name: &str, host: &str) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, CLIENT);
    let key = KeyPair::generate().unwrap();
    fs::write(
        dir.join(format!("{name}.crt")),
        params.signed_by(&key, ca).unwrap().pem(),
    )
    .unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// A sample with the folder of a test in the place of that of a node.
fn sample(name: &str, dir: &Path, replace: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(repository(&format!("examples/operating/{name}"))).unwrap();
    let mut text = text.replace("/etc/kubernetes/datagate", dir.to_str().unwrap());
    for (from, to) in replace {
        assert!(text.contains(from), "{name} does not say {from}");
        text = text.replace(from, to);
    }
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Lets nobody in without a certificate of that authority, keeps the names of who comes, and answers nothing of use.
fn listen(ca: &Authority, dir: &Path, port: u16) -> Arc<Mutex<Vec<String>>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.der().to_vec())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let pem = |name: &str| fs::read(dir.join(name)).unwrap();
    use rustls::pki_types::pem::PemObject as _;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&pem("server.crt")).unwrap()],
            rustls::pki_types::PrivateKeyDer::from_pem_slice(&pem("server.key")).unwrap(),
        )
        .unwrap();
    let (config, names) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let kept = Arc::clone(&names);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = Stream::new(&mut connection, &mut stream);
            let mut head = [0; 1024];
            if tls.read(&mut head).is_err() {
                continue;
            }
            let answered =
                tls.write_all(b"HTTP/1.1 418 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let chain = connection.peer_certificates().unwrap();
            let (_, shown) = X509Certificate::from_der(&chain[0]).unwrap();
            let name = shown
                .subject()
                .iter_common_name()
                .next()
                .unwrap()
                .as_str()
                .unwrap();
            kept.lock().unwrap().push(name.to_owned());
            drop(answered);
        }
    });
    names
}

#[test]
fn an_api_server_takes_the_samples() {
    let files = tempfile::tempdir().unwrap();
    let dir = files.path();
    let (ca, port) = (authority(), free_port().unwrap());
    signed(&ca, dir, "server", "127.0.0.1");
    signed(&ca, dir, "client", CLIENT);
    fs::write(dir.join("ca.crt"), ca.pem()).unwrap();
    let seen = listen(&ca, dir, port);

    // As docs/operating.md says.
    let chart = repository("charts/datagate");
    let template = [
        "template",
        RELEASE,
        &chart,
        "--show-only",
        "templates/webhook.yaml",
    ];
    let mut helm = rig().cluster.helm(template);
    helm.args(["--set", &format!("webhook.url=https://127.0.0.1:{port}/validate")]);
    helm.arg(format!(
        "--set-file=webhook.caBundle={}",
        dir.join("ca.crt").display()
    ));
    let rendered = stdout_of(&mut helm).unwrap();
    let name = "\n  name: datagate\n";
    assert_eq!(rendered.matches(name).count(), 1, "{rendered}");
    fs::create_dir(dir.join("manifests")).unwrap();
    let manifest = rendered.replace(name, "\n  name: datagate.static.k8s.io\n");
    fs::write(dir.join("manifests/datagate.yaml"), manifest).unwrap();

    let host = format!("127.0.0.1:{port}");
    sample(
        "webhook-kubeconfig.yaml",
        dir,
        &[("datagate.example.com:9443", &host)],
    );
    let admission = sample("admission-configuration.yaml", dir, &[]);
    let audit = sample("audit-policy.yaml", dir, &[]);
    let log = dir.join("audit.log");
    let cluster = control_plane(&Options {
        controller_manager: false,
        api_server_args: vec![
            format!("--admission-control-config-file={admission}"),
            format!("--audit-policy-file={audit}"),
            format!("--audit-log-path={}", log.display()),
        ],
        ..Options::default()
    });
    let api = Api::new(&cluster);

    // The webhook is asked by a certificate, though nobody can see or delete its registration.
    let configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    assert_eq!(api.get_path(configurations).admitted()["items"], json!([]));
    let answer = api.create(&declare(job("default", "train"), "any"));
    assert_eq!(answer.code, 500, "{answer:#?}");
    assert!(answer.text().contains("core.datagate.dev"), "{answer:#?}");
    let names = seen.lock().unwrap().clone();
    assert_eq!(names.first().map(String::as_str), Some(CLIENT), "{names:?}");
    let plain =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}});
    api.create(&plain).admitted();

    // The audit log has the change of a namespace with its text, the refused Job without, and nothing of the ConfigMap.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "audited"}});
    api.create(&namespace).admitted();
    let events = cluster.wait_until("the lines of the audit log", SOON, || {
        let text = fs::read_to_string(&log).ok()?;
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let of = |resource: &str, name: &str| {
            let same = |event: &&Value| {
                event["objectRef"]["resource"] == resource
                    && event["requestURI"].as_str().is_some_and(|it| it.contains(name))
            };
            events.iter().find(same).cloned()
        };
        let namespace = events
            .iter()
            .find(|event| event["requestObject"]["metadata"]["name"] == "audited")
            .cloned()?;
        Some((namespace, of("jobs", "default")?, of("configmaps", "default")))
    });
    let (namespace, job, map) = events.unwrap();
    assert_eq!(namespace["level"], "RequestResponse", "{namespace:#}");
    assert_eq!(
        (&job["level"], &job["requestObject"]),
        (&json!("Metadata"), &Value::Null),
        "{job:#}"
    );
    assert_eq!(map, None);
}
