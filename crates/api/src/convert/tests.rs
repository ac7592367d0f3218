use datagate_core::dataset::Record;
use datagate_core::policy::Policy;
use datagate_core::vocabulary::{Action, Evidence, RunningWorkloads};
use serde_json::json;

use super::*;
use crate::v1alpha1::{DatasetPolicy, DatasetRecord};

fn policy(change: impl FnOnce(&mut Value)) -> Result<Policy, Invalid> {
    let mut spec = json!({
        "validationActions": ["Deny", "Audit"],
        "undeclared": "Deny",
        "workloads": "Accelerated",
        "pauses": [{
            "name": "eea-uk-ch",
            "match": {"regions": ["EEA", "GB", "CH"], "purposes": ["GenerativeAITraining"]},
            "effectiveFrom": "2024-09-18T00:00:00Z",
        }],
        "requirements": [{
            "name": "members",
            "match": {"sourceCategories": ["UserData"]},
            "steps": [{"type": "OptOutFilter", "acceptedEvidence": ["Catalogued"], "maxListAgeDays": 30}],
            "allowedRegions": ["US", "CA"],
            "minimumAge": 18,
            "excludedDataCategories": ["PrivateMessages"],
            "legalBases": ["A6-1-a"],
        }],
        "trust": {"images": [{
            "stepType": "OptOutFilter",
            "image": format!("registry.example.com/filter@sha256:{}", "0a".repeat(32)),
        }]},
    });
    change(&mut spec);
    let policy: DatasetPolicy = serde_json::from_value(json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetPolicy",
        "metadata": {"name": "member-data", "uid": "u", "generation": 3},
        "spec": spec,
    }))
    .unwrap();
    Policy::try_from(&policy)
}

fn record(change: impl FnOnce(&mut Value)) -> Result<Record, Invalid> {
    let mut spec = json!({
        "sourceCategory": "UserData",
        "personalData": "Present",
        "dataSubjects": {"regions": ["US", "CA"], "minimumAge": 18},
        "dataController": {"id": "example-social", "contact": "dpo@example.com"},
        "digest": {"sha256": "0a".repeat(32)},
        "dataCategories": ["Profile"],
        "permittedPurposes": ["AITraining"],
        "legalBases": ["A6-1-f"],
        "contentPeriod": {"start": "2019-01-01", "end": "2025-10-31"},
        "derivedFrom": [{"name": "raw"}],
        "steps": [
            {"type": "OptOutFilter", "completedAt": "2025-11-01T03:12:00Z", "optOutList": {"asOf": "2025-11-01T00:00:00Z"}},
            {"type": "RegionFilter", "removedRegions": ["EEA"]},
        ],
        "withdrawn": {"since": "2026-01-10T00:00:00Z", "supersededBy": "other"},
    });
    change(&mut spec);
    let record: DatasetRecord = serde_json::from_value(json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetRecord",
        "metadata": {"name": "member-posts", "uid": "u", "generation": 2},
        "spec": spec,
    }))
    .unwrap();
    Record::try_from(&record)
}

fn text<T: fmt::Debug>(result: Result<T, Invalid>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_policy_is_read() {
    let policy = policy(|_| {}).unwrap();
    assert_eq!(
        (&*policy.name, &*policy.uid, policy.generation),
        ("member-data", "u", 3)
    );
    assert_eq!(policy.actions, Action::Deny | Action::Audit);
    assert!(policy.reach.namespaces.requirements.is_empty());
    let pause = &policy.pauses[0];
    assert_eq!(pause.entry.actions, policy.actions);
    assert_eq!(pause.running, RunningWorkloads::BlockNewPods);
    assert_eq!(pause.entry.matching.regions.as_ref().unwrap().written().len(), 3);
    let requirement = &policy.requirements[0];
    assert_eq!(requirement.steps[0].accepted, Evidence::Catalogued);
    assert_eq!(requirement.steps[0].max_list_age_days, Some(30));
    assert_eq!(&*policy.trust[0].digest, format!("sha256:{}", "0a".repeat(32)));
    assert_eq!(policy.trust[0].command, None);
}

#[test]
fn a_record_is_read() {
    let record = record(|_| {}).unwrap();
    assert_eq!((&*record.name, record.generation), ("member-posts", 2));
    assert_eq!(record.sha256.as_deref(), Some(&*"0a".repeat(32)));
    assert_eq!(record.contact.as_deref(), Some("dpo@example.com"));
    assert_eq!(record.permitted.unwrap().to_string(), "AITraining");
    assert!(record.steps[0].list_as_of.is_some());
    assert_eq!(
        record.steps[1].removed_regions.as_ref().unwrap().written().len(),
        1
    );
    assert_eq!(record.withdrawn.unwrap().superseded_by.as_deref(), Some("other"));
}

#[test]
fn an_entry_may_weaken_its_policy() {
    let weaker = policy(|spec| spec["pauses"][0]["validationActions"] = json!(["Warn"])).unwrap();
    assert_eq!(weaker.pauses[0].entry.actions, Action::Warn);
    let stronger = policy(|spec| {
        spec["validationActions"] = json!(["Audit"]);
        spec["requirements"][0]["validationActions"] = json!(["Warn"]);
    });
    assert_eq!(
        text(stronger),
        "spec.requirements[0].validationActions: stronger than those of the policy; an entry may only weaken them"
    );
}

#[test]
fn problems_name_their_fields() {
    let uk = policy(|spec| spec["pauses"][0]["match"]["regions"] = json!(["EEA", "UK"]));
    assert_eq!(
        text(uk),
        "spec.pauses[0].match.regions[1]: UK is not an ISO 3166 code; write GB"
    );
    let window = policy(|spec| spec["pauses"][0]["effectiveUntil"] = json!("2024-09-18T00:00:00Z"));
    assert_eq!(
        text(window),
        "spec.pauses[0].effectiveUntil: must be after effectiveFrom; the entry would never hold"
    );
    let image = policy(|spec| spec["trust"]["images"][0]["image"] = json!("registry.example.com/filter:v1"));
    assert!(text(image).starts_with("spec.trust.images[0].image: "));
    let selector = policy(|spec| {
        spec["namespaceSelector"] = json!({"matchExpressions": [{"key": "team", "operator": "In"}]});
    });
    assert!(text(selector).starts_with("spec.namespaceSelector.matchExpressions[0].values: "));
    let step = record(|spec| spec["steps"][1] = json!({"type": "RegionFilter"}));
    assert!(text(step).starts_with("spec.steps[1].removedRegions: "));
    let people = record(|spec| spec["dataSubjects"] = json!({}));
    assert!(text(people).starts_with("spec.dataSubjects.regions: say where the people live"));
    let open = record(|spec| spec["dataSubjects"]["regions"] = json!(["World", "US"]));
    assert!(text(open).starts_with("spec.dataSubjects.regions: Unknown and World stand alone"));
}

#[test]
fn all_problems_are_told() {
    let invalid = policy(|spec| {
        spec["validationActions"] = json!(["Deny", "Warn"]);
        spec["pauses"][0]["match"] = json!({});
        spec["requirements"][0]["steps"][0]["acceptedEvidence"] = json!([]);
        spec["requirements"][0]["minimumAge"] = json!(200);
    })
    .unwrap_err();
    let fields: Vec<_> = invalid.problems().iter().map(|problem| &*problem.field).collect();
    assert_eq!(
        fields,
        [
            "spec.validationActions",
            "spec.pauses[0].match",
            "spec.requirements[0].steps[0].acceptedEvidence",
            "spec.requirements[0].minimumAge",
        ]
    );
    assert!(invalid.to_string().ends_with("; and 1 more"), "{invalid}");
    assert!(!invalid.to_string().contains('"'));
}

#[test]
fn newer_words_and_fields_are_unreadable() {
    let read = |spec: Value| serde_json::from_value::<DatasetPolicy>(json!({"metadata": {}, "spec": spec}));
    let base = json!({"validationActions": ["Deny"], "undeclared": "Deny", "workloads": "All"});
    assert!(read(base.clone()).is_ok());
    let mut word = base.clone();
    word["workloads"] = json!("Batch");
    assert!(read(word).unwrap_err().to_string().contains("Batch"));
    let mut field = base;
    field["exceptions"] = json!([]);
    assert!(read(field).unwrap_err().to_string().contains("exceptions"));
}

#[test]
fn the_reach_of_an_unreadable_policy() {
    let spec = json!({
        "workloads": "All",
        "namespaceSelector": {"matchLabels": {"team": "ml"}},
        "pauses": "not a list",
    });
    assert_eq!(reach(&spec).unwrap().namespaces.requirements.len(), 1);
    assert!(
        reach(&json!({"workloads": "All"}))
            .unwrap()
            .namespaces
            .requirements
            .is_empty()
    );
    assert_eq!(reach(&json!({"workloads": "Batch"})), None);
    assert_eq!(reach(&json!({"workloads": "All", "namespaceSelector": 7})), None);
    assert_eq!(reach(&json!(null)), None);
}
