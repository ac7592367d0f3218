//! Every spelling of "give me an accelerator".

use serde_json::{Value, json};

use crate::webhook::Team;
use crate::webhook::objects::{UNDECLARED, plain_spec, pod};

fn plain(team: &Team, name: &str) -> Value {
    let mut pod = pod(&team.name, name);
    pod["spec"] = plain_spec();
    pod
}

#[test]
fn attack_04_every_accelerator_is_governed() {
    let team = Team::governed("attack-04");
    let api = &team.rig.api;
    let refused = |what: &str, pod: &Value| {
        let answer = api.dry_run(pod);
        assert_eq!(answer.findings(), [UNDECLARED], "{what}: {answer:#?}");
    };
    api.dry_run(&plain(&team, "plain")).admitted();
    for resource in [
        "nvidia.com/gpu",
        "nvidia.com/mig-3g.20gb",
        "nvidia.com/gpu.shared",
        "amd.com/gpu",
        "gpu.intel.com/i915",
        "google.com/tpu",
        "cloud-tpus.google.com/v3",
        "habana.ai/gaudi",
        "aws.amazon.com/neuroncore",
        "huawei.com/Ascend910",
        "volcano.sh/vgpu-number",
        "deviceclass.resource.kubernetes.io/gpu.example.com",
        "example.com/brand-new-in-2027",
    ] {
        for list in ["containers", "initContainers"] {
            let mut pod = plain(&team, "accelerated");
            let container = json!({"name": "a", "image": "app", "resources": {"limits": {resource: "1"}}});
            match pod["spec"][list].as_array_mut() {
                Some(containers) => containers.push(container),
                None => pod["spec"][list] = json!([container]),
            }
            refused(&format!("{resource} in {list}"), &pod);
        }
    }
    for resource in ["rdma/hca", "example.com/fuse", "vpc.amazonaws.com/efa"] {
        let mut pod = plain(&team, "ignored");
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {resource: "1"}});
        api.dry_run(&pod).admitted();
    }

    let mut claim = plain(&team, "claim");
    claim["spec"]["resourceClaims"] = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
    refused("a resource claim", &claim);
    claim["spec"]["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": "gpu"}]);
    claim["spec"]["containers"][0]["resources"] = json!({"claims": [{"name": "gpu"}]});
    refused("a resource claim template", &claim);

    let mut devices = plain(&team, "devices");
    devices["spec"]["containers"][0]["env"] = json!([{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]);
    refused("NVIDIA_VISIBLE_DEVICES", &devices);
    devices["spec"]["nodeName"] = json!("gpu-1");
    refused("NVIDIA_VISIBLE_DEVICES on a node", &devices);

    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia-attack-04"}, "handler": "nvidia"});
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).admitted();
    let mut class = plain(&team, "class");
    class["spec"]["runtimeClassName"] = json!("nvidia-attack-04");
    let seen = team.until(
        "the runtime class is known",
        || api.dry_run(&class),
        |answer| answer.code == 422,
    );
    assert_eq!(seen.findings(), [UNDECLARED]);

    // Privileged access to /dev is a documented limit of `Accelerated`.
    let mut privileged = plain(&team, "privileged");
    privileged["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    api.dry_run(&privileged).admitted();
}
