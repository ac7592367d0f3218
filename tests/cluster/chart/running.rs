//! The arguments and the rights that the chart gives the server are enough for it to make its certificate and to write
//! the CA into its webhook configuration, with the guard in place.

use datagate_env::{Options, free_port};
use serde_json::{Value, json};

use super::{CONFIGURATIONS, helm};
use crate::webhook::{Api, RELEASE, SOON, SYSTEM, Server, control_plane, own_kubeconfig, repository};

#[test]
fn as_installed_it_manages_its_own_certificate() {
    let options = Options {
        controller_manager: false,
        ..Options::default()
    };
    let cluster = control_plane(&options);
    let api = Api::new(&cluster);
    let chart = repository("charts/datagate");
    let install = [
        "install",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM,
        "--create-namespace",
    ];
    helm(
        &cluster,
        &[
            &install[..],
            &["--set", "guard.enabled=true,guard.users={platform}"],
        ]
        .concat(),
    );
    let deployment = api
        .get_path(&format!(
            "/apis/apps/v1/namespaces/{SYSTEM}/deployments/{RELEASE}"
        ))
        .admitted();
    let (port, admin) = (free_port().unwrap(), free_port().unwrap());
    let given = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        .as_array()
        .unwrap();
    let mut arguments: Vec<String> = given
        .iter()
        .map(|it| it.as_str().unwrap())
        .filter(|it| !it.starts_with("--listen=") && !it.starts_with("--admin-listen="))
        .map(|it| {
            it.replace("$(POD_NAMESPACE)", SYSTEM)
                .replace("$(POD_NAME)", "datagate-0")
        })
        .map(|it| it.replace("$(POD_UID)", "7c1e0f3a-0000-4000-8000-000000000000"))
        .collect();
    arguments.push(format!("--listen=127.0.0.1:{port}"));
    arguments.push(format!("--admin-listen=127.0.0.1:{admin}"));
    let kubeconfig = own_kubeconfig(&cluster);
    let server = Server::with_arguments(&cluster, &kubeconfig, (port, admin), &arguments);
    server.ready();

    let secret = api
        .get_path(&format!("/api/v1/namespaces/{SYSTEM}/secrets/datagate-ca"))
        .admitted();
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Deployment"), &deployment["metadata"]["uid"])
    );
    let configuration = || api.get_path(&format!("{CONFIGURATIONS}/{RELEASE}")).admitted();
    cluster
        .wait_until("every entry has the CA", SOON, || {
            let entries = configuration()["webhooks"].as_array()?.clone();
            let has = |it: &Value| {
                it["clientConfig"]["caBundle"]
                    .as_str()
                    .is_some_and(|it| it.len() > 100)
            };
            entries.iter().all(has).then_some(())
        })
        .unwrap();
    // An upgrade by somebody who is named takes nothing away.
    let before = configuration()["webhooks"].clone();
    helm(
        &cluster,
        &[
            "upgrade",
            RELEASE,
            &chart,
            "--namespace",
            SYSTEM,
            "--reset-then-reuse-values",
            "--kube-as-user",
            "platform",
            "--kube-as-group",
            "system:masters",
        ],
    );
    assert_eq!(configuration()["webhooks"], before);
    let (code, text) = server.readyz().unwrap();
    assert_eq!(code, 200, "{text}");
}
