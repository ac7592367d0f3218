//! Objects that an operator would take for its own: without any key of ours and on a CPU, so that nothing but the claim
//! brings them to the webhook.

use datagate_core::workload::adoption::{ADOPTIONS, Adoption};
use serde_json::{Value, json};

use crate::fixture::{self, PERSON, Strictness, child_of, placed};
use crate::kinds::{kinds, make_namespace, policy, refused};
use crate::webhook::objects::plain_spec;
use crate::webhook::team::enforce;
use crate::webhook::{Api, Rig};

const UID: &str = "7c1e0f3a-0000-4000-8000-000000000000";

/// A governed namespace, and somebody who may do everything.
fn governed(namespace: &str) -> (&'static Rig, Api) {
    let rig = &kinds().rig;
    make_namespace(&rig.api, namespace);
    enforce(rig, policy(Strictness::Strict, namespace), namespace);
    (rig, rig.api.almighty(PERSON))
}

fn plain(kind: &str, namespace: &str, name: &str) -> Value {
    let metadata = json!({"namespace": namespace, "name": name});
    match kind {
        "Pod" => json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": plain_spec()}),
        _ => json!({"apiVersion": "batch/v1", "kind": kind, "metadata": metadata,
            "spec": {"suspend": true, "template": {"spec": plain_spec()}}}),
    }
}

/// A key that the operator knows its objects by.
fn key(adoption: &Adoption) -> Vec<String> {
    let whole = |prefix: &&str| match prefix.strip_suffix('/') {
        Some(_) => format!("{prefix}name"),
        None => (*prefix).to_owned(),
    };
    adoption.keys.iter().map(whole).collect()
}

/// The accounts of an operator.
fn accounts(adoption: &Adoption) -> Vec<String> {
    let mut all: Vec<String> = adoption
        .makes()
        .flat_map(|(_, edge)| edge.accounts)
        .map(|account| format!("system:serviceaccount:{account}"))
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn attack_05_claims_of_every_operator() {
    let (rig, person) = governed("attack-05-claims");
    let namespace = "attack-05-claims";
    for adoption in ADOPTIONS {
        let core = adoption
            .children
            .iter()
            .filter(|(group, kind)| matches!((*group, *kind), ("", "Pod") | ("batch", "Job")));
        for (_, kind) in core {
            let plain = |name: &str| plain(kind, namespace, name);
            // Nothing about it is anybody's business until it claims something.
            let name = format!("{}-{kind}", adoption.operator.replace(' ', "-")).to_lowercase();
            let stored = plain(&name);
            person.create(&stored).admitted();
            for key in key(adoption) {
                for field in ["labels", "annotations"] {
                    let finding = format!("OwnerUnverified metadata.{field}[{key}]");
                    let mut forged = plain("forged");
                    forged["metadata"][field] = json!({&key: "filter"});
                    person.create(&forged).refused(422, &[&finding]);
                    person.dry_run(&forged).refused(422, &[&finding]);
                    // Added later.
                    let patch = json!({"metadata": {field: {&key: "filter"}}});
                    person.merge(&stored, &patch).refused(403, &[&finding]);
                    for account in accounts(adoption) {
                        rig.api.almighty(&account).dry_run(&forged).admitted();
                    }
                }
            }
            let owner = json!({
                "apiVersion": format!("{}/v1", adoption.owners),
                "kind": adoption.owner_kinds.first().unwrap_or(&"Owner"),
                "metadata": {"name": "owner", "uid": UID},
            });
            let reference = "OwnerUnverified metadata.ownerReferences";
            let mut forged = child_of(&plain("forged"), &owner);
            for controls in [true, false] {
                forged["metadata"]["ownerReferences"][0]["controller"] = json!(controls);
                person.create(&forged).refused(422, &[reference]);
                let patch = json!({"metadata": {"ownerReferences": forged["metadata"]["ownerReferences"]}});
                person.merge(&stored, &patch).refused(403, &[reference]);
            }
            // What others set is nobody's claim.
            let patch = json!({"metadata": {"labels": {"example.com/team": "a"}}});
            person.merge(&stored, &patch).admitted();
        }
    }
}

/// Kinds of other projects that an operator adopts too: what is admitted without the claim is refused with it.
#[test]
fn attack_05_claims_on_other_kinds() {
    let namespace = "attack-05-other-kinds";
    let (_, person) = governed(namespace);
    let mut tried = 0;
    for fixture in fixture::all().into_iter().filter_map(|(_, it)| it.ok()) {
        let kind = fixture.kind().unwrap();
        let adoptions = ADOPTIONS
            .iter()
            .filter(|it| !kind.info().is_core() && it.adopts(kind));
        // Its surroundings are another test's business.
        for adoption in
            adoptions.filter(|_| fixture.cluster.is_empty() && fixture.policy == Strictness::Strict)
        {
            let object = placed(&fixture.object, namespace);
            person.create(&object).admitted();
            for key in key(adoption) {
                let what = format!("{} {key}", fixture.name);
                let findings = [format!("OwnerUnverified metadata.labels[{key}]")];
                let patch = json!({"metadata": {"labels": {key: "filter"}}});
                refused(&what, &person.merge(&object, &patch), 403, &findings);
                let mut forged = object.clone();
                forged["metadata"]["name"] = json!("forged");
                forged["metadata"]["labels"] = patch["metadata"]["labels"].clone();
                refused(&what, &person.create(&forged), 422, &findings);
                tried += 1;
            }
            person.delete(&object, "Background").admitted();
        }
    }
    assert!(tried > 0, "no fixture is of a kind that is adopted");
}

#[test]
fn attack_05_a_claim_that_was_there_is_no_reason_to_hold_an_object() {
    let namespace = "attack-05-before";
    let rig = &kinds().rig;
    make_namespace(&rig.api, namespace);
    let mut pod = plain("Pod", namespace, "before");
    pod["metadata"]["labels"] = json!({"jobset.sigs.k8s.io/replicatedjob-name": "filter"});
    pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    rig.api.create(&pod).admitted();
    enforce(rig, policy(Strictness::Strict, namespace), namespace);
    let person = rig.api.almighty(PERSON);
    person
        .merge(&pod, &json!({"metadata": {"labels": {"team": "a"}}}))
        .admitted();
    let more = json!({"metadata": {"labels": {"jobset.sigs.k8s.io/job-index": "0"}}});
    let finding = "OwnerUnverified metadata.labels[jobset.sigs.k8s.io/job-index]";
    person.merge(&pod, &more).refused(403, &[finding]);
    person
        .merge(&pod, &json!({"metadata": {"finalizers": null}}))
        .admitted();
}

/// The cost of the filter is bounded, and a filter that fails refuses: nobody may make an object of which nothing can be
/// changed any more, nor does a large one have to be called for.
#[test]
fn many_owners_and_labels_keep_nothing_from_being_cleaned_up() {
    let namespace = "many-owners";
    let api = &kinds().rig.api;
    make_namespace(api, namespace);
    let many = |write: fn(usize) -> Value| -> Vec<Value> { (0..3000).map(write).collect() };
    let mut pod = plain("Pod", namespace, "owned");
    pod["metadata"]["ownerReferences"] = json!(many(|i| {
        json!({"apiVersion": "trainer.kubeflow.org/v1", "kind": "K", "name": "x", "uid": i.to_string()})
    }));
    let mut labelled = plain("Pod", namespace, "labelled");
    for i in 0..3000 {
        labelled["metadata"]["labels"][format!("jobset-{i}")] = json!("");
        labelled["metadata"]["annotations"][format!("jobset-{i}")] = json!("");
    }
    for mut pod in [pod, labelled] {
        pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
        api.create(&pod).admitted();
        for patch in [
            json!({"labels": {"team": "a"}}),
            json!({"finalizers": ["example.com/other"]}),
            json!({"ownerReferences": null}),
            json!({"finalizers": null}),
        ] {
            api.merge(&pod, &json!({"metadata": patch})).admitted();
        }
    }
}
