//! Custom resources that are not there yet, or no longer.

use datagate_env::{Options, free_port, stdout_of};
use serde_json::json;

use crate::webhook::objects::{PAUSED, REGION_PAUSED, declare, job, policy, record};
use crate::webhook::team::{MARKER, enforce};
use crate::webhook::{Api, Rig, Server, control_plane, install, own_kubeconfig, repository};

#[test]
fn without_custom_resources_it_is_not_ready_and_a_deleted_one_lifts_nothing() {
    let options = Options {
        controller_manager: false,
        ..Options::default()
    };
    let cluster = control_plane(&options);
    let (port, admin) = (free_port().unwrap(), free_port().unwrap());
    install(&cluster, port, &["--set", "crds.install=false"]);
    let kubeconfig = own_kubeconfig(&cluster);
    let server = Server::start(&cluster, &kubeconfig, port, admin);
    let api = Api::new(&cluster);
    let rig = Rig { server, api, cluster };

    // Each watch starts on its own, so that one may have been told before another has asked.
    rig.wait("readiness says why", || {
        let (status, text) = rig.server.readyz().ok()?;
        let tells = |start: &str, why: &str| {
            let mut lines = text.lines();
            lines.any(|it| it.starts_with(start) && it.contains(why))
        };
        let unknown = |start| tells(start, "does not know this kind: apply crds/");
        let told = tells("[+] namespaces", "") && unknown("[-] policies") && unknown("[-] records");
        (status == 503 && told).then_some(())
    });
    rig.cluster.create_namespace("team").unwrap();
    let paused = declare(job("team", "train"), PAUSED);
    // Fail closed: what would be governed is refused while nobody knows the policies, and says why.
    let answer = rig.api.create(&paused);
    assert_eq!(answer.code, 503, "{answer:#?}");
    assert!(
        answer
            .text()
            .contains("it has not read all policies yet. Try again"),
        "{answer:#?}"
    );
    assert_eq!(rig.api.get(&paused).code, 404);

    let crds = repository("crds");
    stdout_of(&mut rig.cluster.kubectl(["apply", "--filename", &crds])).unwrap();
    rig.server.ready();
    for object in [record(MARKER, &["AQ"]), record(PAUSED, &["DE", "FR"])] {
        rig.wait("records can be stored", || {
            (rig.api.apply(&object).code < 300).then_some(())
        });
    }
    enforce(&rig, policy("team", "team"), "team");
    rig.api.create(&paused).refused(422, &[REGION_PAUSED]);

    // Attack 14: who deletes a custom resource deletes its objects, but nobody has lifted a pause.
    let delete = ["delete", "crd", "datasetpolicies.datagate.dev"];
    stdout_of(&mut rig.cluster.kubectl(delete)).unwrap();
    let gone = rig.api.get_path("/apis/datagate.dev/v1alpha1/datasetpolicies");
    assert_eq!(gone.code, 404, "{gone:#?}");
    for _ in 0..50 {
        rig.api.create(&paused).refused(422, &[REGION_PAUSED]);
    }
    // It is not ready, but whoever asks it is answered.
    rig.wait("readiness or the log says that it is gone", || {
        let text = rig.server.readyz().unwrap().1;
        (text.contains("datasetpolicies") || rig.server.log().contains("datasetpolicies")).then_some(())
    });
    rig.api.create(&paused).refused(422, &[REGION_PAUSED]);

    stdout_of(&mut rig.cluster.kubectl(["apply", "--filename", &crds])).unwrap();
    let mut another = policy("another", "team");
    another["spec"]["pauses"][0]["match"]["regions"] = json!(["FR"]);
    rig.wait("policies can be stored", || {
        (rig.api.apply(&another).code < 300).then_some(())
    });
    enforce(&rig, another, "team");
    // With the custom resource back, the policies that went with it are forgotten.
    let answer = rig.wait("the old policy is forgotten", || {
        let answer = rig.api.create(&paused);
        (!answer.text().contains("team/eea-uk-ch")).then_some(answer)
    });
    answer.refused(422, &[REGION_PAUSED]);
    assert!(
        answer.text().contains("another/eea-uk-ch pauses FR"),
        "{}",
        answer.text()
    );
}
