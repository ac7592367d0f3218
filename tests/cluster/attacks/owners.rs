//! Owners that are claimed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::webhook::objects::{FINE, TRAINER, UNDECLARED, declare, job, pod};
use crate::webhook::{Api, Team};

const UNVERIFIED: &str = "OwnerUnverified metadata.ownerReferences";
const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";

/// A pod that says nothing and names an owner.
fn child(team: &Team, name: &str, owner: &str, uid: &str) -> Value {
    let mut pod = pod(&team.name, name);
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": uid, "controller": true}]);
    pod
}

/// Every right in the namespace, and none elsewhere.
pub fn administrator(team: &Team) -> Api {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "alice", "namespace": team.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
    });
    team.rig.api.create(&binding).admitted();
    let alice = team.rig.api.impersonate("alice");
    let pods = format!("/api/v1/namespaces/{}/pods", team.name);
    team.until(
        "alice may read pods",
        || alice.get_path(&pods),
        |answer| answer.code == 200,
    );
    alice
}

#[test]
fn attack_05_and_b05_owner_references_prove_nothing() {
    let team = Team::governed("attack-05");
    team.rig
        .api
        .create(&declare(job(&team.name, "train"), FINE))
        .admitted();
    let honest = team.child("pods", "train");
    let uid = honest["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap();
    let alice = administrator(&team);
    // Even the administrator of the whole cluster is not the controller.
    for api in [&alice, &team.rig.api] {
        api.create(&child(&team, "forged", "train", uid))
            .refused(422, &[UNDECLARED, UNVERIFIED]);
    }
    // Nor is the account of another edge.
    let other = team
        .rig
        .api
        .impersonate("system:serviceaccount:kube-system:replicaset-controller");
    let answer = other.create(&child(&team, "forged", "train", uid));
    assert!(
        answer.code == 403 && answer.findings().is_empty() || answer.findings() == [UNDECLARED, UNVERIFIED],
        "{answer:#?}"
    );

    // Another image is not contained in the root, so it is judged as what it is.
    let controller = team.rig.api.impersonate(JOB_CONTROLLER);
    let mut other = child(&team, "other", "train", uid);
    controller.dry_run(&other).admitted();
    other["spec"]["containers"][0]["image"] = json!("registry.example.com/other:1");
    other["metadata"]["annotations"] = json!({"datagate.dev/datasets": "member-posts-2024"});
    controller
        .dry_run(&other)
        .refused(422, &["RegionPaused metadata.annotations[datagate.dev/datasets]"]);
    assert_eq!(honest["spec"]["containers"][0]["image"], TRAINER);
}

#[test]
fn attack_08_a_controller_manager_without_accounts() {
    let team = Team::governed("attack-08");
    team.rig
        .api
        .create(&declare(job(&team.name, "train"), FINE))
        .admitted();
    let honest = team.child("pods", "train");
    let uid = honest["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap();
    let manager = team.rig.api.impersonate("system:kube-controller-manager");
    // It has no right to make pods in a cluster like this one, so it is given that.
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "manager", "namespace": team.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-controller-manager"}],
    });
    team.rig.api.create(&binding).admitted();
    let pod = child(&team, "next", "train", uid);
    let ask = || manager.dry_run(&pod);
    team.until("the controller manager's pod is admitted", ask, |answer| {
        answer.code == 201
    });
}

#[test]
fn attack_10_accounts_of_the_own_namespace() {
    let team = Team::governed("attack-10");
    let alice = administrator(&team);
    team.rig
        .api
        .create(&declare(job(&team.name, "train"), FINE))
        .admitted();
    let honest = team.child("pods", "train");
    let uid = honest["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap();
    // Alice makes an account with a controller's name, gives it rights, and mints its token.
    let name = json!({"name": "job-controller", "namespace": team.name});
    alice
        .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name}))
        .admitted();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "controller", "namespace": team.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "job-controller", "namespace": team.name}],
    });
    alice.create(&binding).admitted();
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/job-controller/token",
        team.name
    );
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = alice.post(&path, &request).admitted();
    let account = Api::with_token(&team.rig.cluster, token["status"]["token"].as_str().unwrap());
    let forged = child(&team, "forged", "train", uid);
    let answer = team.until(
        "the account may make pods",
        || account.create(&forged),
        |answer| !answer.text().contains("cannot create resource"),
    );
    answer.refused(422, &[UNDECLARED, UNVERIFIED]);
    let line = team.decisions("Pod").pop().unwrap();
    assert_eq!(line["user"], "system:serviceaccount:attack-10:job-controller");
}

#[test]
fn attack_10_random_owners_cost_little() {
    let team = Team::governed("attack-10-uids");
    let looked_up = || -> u64 {
        let metrics = team.rig.server.admin("/metrics").unwrap().1;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("datagate_fetch") && !line.contains("cached"));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    };
    let uid = |i: u32| format!("7c1e0f3a-0000-4000-8000-{i:012}");
    // Whoever is not the controller causes no look-up at all: other tests do, but not a hundred in this time.
    let before = looked_up();
    for i in 0..100 {
        let forged = child(&team, "forged", &format!("job-{i}"), &uid(i));
        team.rig
            .api
            .dry_run(&forged)
            .refused(422, &[UNDECLARED, UNVERIFIED]);
    }
    let caused = looked_up() - before;
    assert!(caused < 100, "{caused} look-ups");

    let controller = team.rig.api.impersonate(JOB_CONTROLLER);
    let begun = Instant::now();
    for i in 0..100 {
        let orphan = child(&team, "orphan", &format!("job-{i}"), &uid(i));
        controller
            .dry_run(&orphan)
            .refused(422, &[UNDECLARED, UNVERIFIED]);
    }
    // Each of these names another object, so each is looked for once.
    let caused = looked_up() - before;
    assert!(caused >= 100, "{caused} look-ups");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Names come from the submitter.
    for name in ["../secrets/x", "x?y", "x%2fy", "a/b"] {
        let answer = controller.dry_run(&child(&team, "orphan", name, &uid(0)));
        assert!(
            answer.findings().is_empty() || answer.findings() == [UNDECLARED, UNVERIFIED],
            "{answer:#?}"
        );
        assert_eq!(answer.code, 422, "{answer:#?}");
    }
    team.rig.server.ready();
}

#[test]
fn b38_nobody_is_exempt() {
    let team = Team::governed("bypass-38");
    let command = ["create", "--dry-run=server", "--filename=-"];
    for (user, group) in [
        ("admin", "system:masters"),
        ("system:serviceaccount:datagate-system:datagate", "system:masters"),
        ("system:kube-scheduler", "system:masters"),
        ("system:admin", "system:masters"),
    ] {
        let mut kubectl = team.rig.cluster.kubectl_as(user, &[group], command);
        let pod = pod(&team.name, "train").to_string();
        let output = team
            .rig
            .cluster
            .with_input(&mut kubectl, &pod)
            .unwrap()
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("[DataUndeclared]"), "{user}: {said}");
    }
}
