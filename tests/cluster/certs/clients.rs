//! An API server that shows a certificate to the webhook, as its AdmissionConfiguration says.

use std::fs;

use datagate_env::{Options, free_port, wait_until};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::{Value, json};

use super::probe::{decode, show};
use crate::webhook::objects::{FINE, PAUSED, REGION_PAUSED, declare, job, policy, record};
use crate::webhook::team::MARKER;
use crate::webhook::{Api, RELEASE, SOON, SYSTEM, Server, control_plane, own_kubeconfig};

/// A CA of clients, and a client's certificate and key.
fn pki(name: &str) -> (String, String, String) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "clients");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut client = CertificateParams::default();
    client.distinguished_name.push(DnType::CommonName, name);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let cert = client.signed_by(&key, &ca).unwrap();
    (ca.pem(), cert.pem(), key.serialize_pem())
}

#[test]
fn an_api_server_that_shows_its_certificate_is_answered_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (ca, cert, key) = pki("kube-apiserver");
    let ca = file("clients.crt", &ca);
    let port = free_port().unwrap();
    let user =
        json!({"client-certificate": file("client.crt", &cert), "client-key": file("client.key", &key)});
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "users": [{"name": format!("127.0.0.1:{port}"), "user": user}],
    });
    let webhooks = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": file("webhooks.kubeconfig", &kubeconfig.to_string()),
    });
    let admission = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "ValidatingAdmissionWebhook", "configuration": webhooks}],
    });
    let admission = file("admission.json", &admission.to_string());
    let cluster = control_plane(&Options {
        controller_manager: false,
        api_server_args: vec![format!("--admission-control-config-file={admission}")],
        ..Options::default()
    });
    super::prepare(&cluster);
    let api = Api::new(&cluster);
    for object in [
        record(MARKER, &["AQ"]),
        record(PAUSED, &["DE"]),
        record(FINE, &["US"]),
    ] {
        assert!(api.apply(&object).code < 300);
    }
    api.apply(&policy(super::TEAM, super::TEAM)).admitted();
    let registered = super::configuration(RELEASE, &[port]);
    api.create(&registered).admitted();
    let flags = [
        format!("--ca-secret={}", super::SECRET),
        "--serving-name=127.0.0.1".to_owned(),
        format!("--client-ca={ca}"),
        "--client-name=kube-apiserver".to_owned(),
    ];
    let kubeconfig = own_kubeconfig(&cluster);
    let server = Server::start_certified(&cluster, &kubeconfig, port, free_port().unwrap(), &flags);
    server.ready();

    let paused = declare(job(super::TEAM, "x"), PAUSED);
    let refused = wait_until("a paused job is refused", SOON, || {
        let answer = api.dry_run(&paused);
        (answer.code == 422)
            .then_some(answer.clone())
            .ok_or_else(|| format!("{} {}", answer.text(), server.log()))
    });
    refused.unwrap().refused(422, &[REGION_PAUSED]);
    api.dry_run(&declare(job(super::TEAM, "x"), FINE)).admitted();

    // A pod of the cluster knows the address and has no certificate.
    let live: Value = api.get(&registered).admitted();
    let bundle = decode(&live["webhooks"][0]["clientConfig"]["caBundle"]).unwrap();
    assert!(show(port, &bundle).is_err());
    let metrics = server.admin("/metrics").unwrap().1;
    let counted = r#"datagate_tls_handshake_failures_total{reason="client_certificate_missing"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");

    // The owner was not said, so there is none.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": super::SECRET, "namespace": SYSTEM}});
    assert_eq!(
        api.get(&secret).admitted()["metadata"]["ownerReferences"],
        Value::Null
    );
}
