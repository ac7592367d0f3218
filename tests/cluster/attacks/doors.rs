//! Doors beside the object itself: the namespace's own fields, subresources, another writer after us, a second try.

use serde_json::{Value, json};

use super::owners::administrator;
use crate::webhook::Team;
use crate::webhook::objects::{
    FILTER, FINE, PAUSED, RAW, REGION_PAUSED, TRAINER, declare, job, pod, with_filter,
};

/// The label by which the chart leaves namespaces out is the API server's own: no door to a namespace changes it, and
/// no other label says anything.
#[test]
fn b06_b07_no_namespace_is_relabelled_out_of_reach() {
    let team = Team::governed("bypass-06");
    let api = &team.rig.api;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team.name}});
    let own = "kubernetes.io/metadata.name";
    let labels = json!({
        own: "kube-system",
        "control-plane": "datagate",
        "datagate.dev/ignore": "true",
        "datagate.dev/workloads": "None",
        "admission.datagate.dev/ignore": "true",
    });
    let paused = declare(job(&team.name, "train"), PAUSED);
    let patch = json!({"metadata": {"labels": labels}});
    let finalize = || {
        let mut stored = api.get(&namespace).admitted();
        stored["metadata"]["labels"] = labels.clone();
        api.put_sub(&stored, "finalize")
    };
    for (door, answer) in [
        ("namespaces", api.merge(&namespace, &patch)),
        ("namespaces/status", api.merge_sub(&namespace, "status", &patch)),
        ("namespaces/finalize", finalize()),
    ] {
        // Whether the API server refuses or goes on without it: the name stays.
        assert!([200, 422].contains(&answer.code), "{door}: {answer:#?}");
        let now = api.get(&namespace).admitted();
        assert_eq!(now["metadata"]["labels"][own], json!(team.name), "{door}");
        api.dry_run(&paused).refused(422, &[REGION_PAUSED]);
    }
    // The others were taken over by one door at least, and mean nothing.
    let now = api.get(&namespace).admitted();
    assert_eq!(
        now["metadata"]["labels"]["datagate.dev/ignore"], "true",
        "{now:#}"
    );
    api.create(&paused).refused(422, &[REGION_PAUSED]);
}

/// An answer holds for one request: nothing that was admitted or refused before counts, and asking again changes nothing.
#[test]
fn b13_b31_each_request_is_judged_by_itself() {
    let team = Team::governed("bypass-13");
    let api = &team.rig.api;
    let train = declare(job(&team.name, "train"), FINE);
    api.create(&train).admitted();
    let paused = declare(job(&team.name, "train"), PAUSED);
    let mut uids = Vec::new();
    for _ in 0..3 {
        api.dry_run(&paused).refused(422, &[REGION_PAUSED]);
        assert_eq!(api.dry_run(&train).code, 409);
        api.merge(&train, &json!({"metadata": {"labels": {"a": "b"}}}))
            .admitted();
        uids.push(api.get(&train).admitted()["metadata"]["uid"].clone());
    }
    uids.dedup();
    assert_eq!(uids.len(), 1);

    // What was admitted is deleted and made anew after the rule: it is as new as any other.
    api.delete(&train, "Background").admitted();
    let mut policy = team.policy();
    policy["spec"]["pauses"][0]["match"]["regions"] = json!(["EEA", "GB", "CH", "US"]);
    team.enforce(policy);
    team.rig
        .wait("the job is gone", || (api.get(&train).code == 404).then_some(()));
    api.create(&train).refused(422, &[REGION_PAUSED]);
    api.create(&train).refused(422, &[REGION_PAUSED]);
    assert_eq!(api.get(&train).code, 404);
}

/// Whoever changes pods after their Job was admitted is met at the pods: the change runs before validation.
#[test]
fn b26_a_mutation_of_the_pods_of_an_admitted_job_is_seen() {
    let team = Team::governed("bypass-26");
    let api = &team.rig.api;
    let filtered = with_filter(declare(job(&team.name, "before"), RAW), FILTER);
    api.create(&filtered).admitted();
    team.child("pods", "before");

    let policies = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
    let only_here = json!({"matchLabels": {"kubernetes.io/metadata.name": team.name}});
    let swap =
        format!("[JSONPatch{{op: 'replace', path: '/spec/initContainers/0/image', value: '{TRAINER}'}}]");
    let mutation = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "bypass-26"},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"namespaceSelector": only_here, "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]},
            ]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": swap}}],
        },
    });
    api.post(policies, &mutation).admitted();
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "bypass-26"},
        "spec": {"policyName": "bypass-26"},
    });
    api.post(&policies.replace("policies", "policybindings"), &binding)
        .admitted();
    let mut probe = pod(&team.name, "probe");
    probe["spec"]["initContainers"] = json!([{"name": "opt-out", "image": FILTER}]);
    probe = declare(probe, RAW);
    let answer = team.until(
        "pods are changed",
        || api.dry_run(&probe),
        |answer| answer.code == 422,
    );
    answer.refused(422, &["StepMissing spec"]);

    let filtered = with_filter(declare(job(&team.name, "after"), RAW), FILTER);
    api.create(&filtered).admitted();
    let refused = team.rig.wait("a decision on the changed pod", || {
        let all = team.decisions("Pod").into_iter();
        all.filter(|line| line["user"] == "system:serviceaccount:kube-system:job-controller")
            .find(|line| line["decision"] == "Denied")
    });
    let reasons: Vec<_> = refused["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["reason"].clone())
        .collect();
    assert_eq!(reasons, ["StepMissing"], "{refused}");
    assert_eq!(team.children("pods", "after"), Vec::<Value>::new());
}

/// Metadata can be written through a status too, and a status is not sent: the stock roles cannot write one. Nor can
/// they write what else would open a door.
#[test]
fn b02_b06_b27_stock_roles_do_not_open_these_doors() {
    let team = Team::governed("bypass-27");
    let api = &team.rig.api;
    let train = declare(job(&team.name, "train"), FINE);
    api.create(&train).admitted();
    let running = team.child("pods", "train");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team.name}});
    let alice = administrator(&team);
    let keys = json!({"metadata": {"annotations": {"datagate.dev/datasets": null}, "labels": {"a": "b"}}});
    for (what, answer) in [
        ("jobs/status", alice.merge_sub(&train, "status", &keys)),
        ("pods/status", alice.merge_sub(&running, "status", &keys)),
        (
            "pods/ephemeralcontainers",
            alice.merge_sub(&running, "ephemeralcontainers", &keys),
        ),
        ("pods/resize", alice.merge_sub(&running, "resize", &keys)),
        ("namespaces", alice.merge(&namespace, &keys)),
        ("namespaces/status", alice.merge_sub(&namespace, "status", &keys)),
        ("namespaces/finalize", alice.put_sub(&namespace, "finalize")),
        ("policies", alice.create(&team.policy())),
    ] {
        let text = answer.text();
        assert!(
            answer.code == 403 && answer.findings().is_empty() && text.contains("alice\" cannot"),
            "{what}: {answer:#?}"
        );
    }
    // What she may write is judged.
    let drop = json!({"metadata": {"annotations": {"datagate.dev/datasets": PAUSED}}});
    alice.merge(&train, &drop).refused(403, &[REGION_PAUSED]);
}
