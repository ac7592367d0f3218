//! What must hold of every decision, whatever the policy, the catalogue and the workload.
//!
//! For a governed workload with declared data: more regions, fewer steps, more datasets or more policies never turn a
//! refusal into an admission; the order of lists never matters; an unchanged object always passes an update.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use datagate_core::dataset::{Record, RecordedStep};
use datagate_core::decision::{Decision, Outcome};
use datagate_core::fetched::Fetched;
use datagate_core::judge::{Verdict, judge};
use datagate_core::policy::{
    Entry, Match, Pause, Policy, Reach, Requirement, StepRule, TrustedImage, Window,
};
use datagate_core::purpose::Purposes;
use datagate_core::region::{Region, Regions};
use datagate_core::review::Review;
use datagate_core::selector::{Labels, Selector};
use datagate_core::settings::Settings;
use datagate_core::vocabulary::{
    Action, DataCategory, DeclarationKind, Evidence, PersonalData, RunningWorkloads, SourceCategory,
    StepType, Undeclared, WorkloadScope,
};
use datagate_core::world::{Catalogue, Namespace, World};
use enumset::EnumSet;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

const REGIONS: &[&str] = &[
    "US", "US-CA", "US-IL", "DE", "FR", "GB", "CH", "NO", "EU", "EEA", "EFTA", "XK",
];
const NAMES: &[&str] = &["alpha", "beta", "gamma", "delta"];
const STEPS: [StepType; 2] = [StepType::OptOutFilter, StepType::Redaction];

fn now() -> Timestamp {
    "2025-06-01T00:00:00Z".parse().unwrap()
}

fn regions(codes: &[&str]) -> Regions {
    codes.iter().map(|code| code.parse::<Region>().unwrap()).collect()
}

fn digest(step: StepType) -> String {
    format!(
        "sha256:{}",
        if step == StepType::OptOutFilter { "a" } else { "b" }.repeat(64)
    )
}

/// One init container or main container of the generated job.
#[derive(Clone, Debug)]
enum Init {
    Trusted(StepType),
    TrustedWithCommand(StepType),
    Sidecar(StepType),
    Named(StepType),
    Other,
}

#[derive(Clone, Debug)]
struct Workload {
    inits: Vec<Init>,
    beside: Option<StepType>,
    datasets: Vec<&'static str>,
    purpose: Option<&'static str>,
    gpu: bool,
}

impl Workload {
    fn job(&self) -> Value {
        let mut steps = Vec::new();
        let mut inits = Vec::new();
        for (init, i) in self.inits.iter().zip(0..) {
            let name = format!("init-{i}");
            let image = |step: &StepType| format!("registry.example.com/step@{}", digest(*step));
            inits.push(match init {
                Init::Trusted(step) => json!({"name": name, "image": image(step)}),
                Init::TrustedWithCommand(step) => {
                    json!({"name": name, "image": image(step), "command": ["true"]})
                }
                Init::Sidecar(step) => json!({"name": name, "image": image(step), "restartPolicy": "Always"}),
                Init::Named(step) => {
                    steps.push(format!("{step}={name}"));
                    json!({"name": name, "image": "own:1"})
                }
                Init::Other => json!({"name": name, "image": "wait:1"}),
            });
        }
        let mut annotations = json!({"datagate.dev/datasets": self.datasets.join(",")});
        if !steps.is_empty() {
            annotations["datagate.dev/steps"] = json!(steps.join(","));
        }
        if let Some(purpose) = self.purpose {
            annotations["datagate.dev/purpose"] = json!(purpose);
        }
        let resources = if self.gpu {
            json!({"limits": {"nvidia.com/gpu": "8"}})
        } else {
            json!({})
        };
        let mut containers = vec![json!({"name": "train", "image": "train:1", "resources": resources})];
        if let Some(step) = self.beside {
            let image = format!("registry.example.com/step@{}", digest(step));
            containers.push(json!({"name": "beside", "image": image}));
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "job", "namespace": "ml", "annotations": annotations},
            "spec": {"template": {"spec": {"initContainers": inits, "containers": containers}}},
        })
    }
}

fn review(operation: &str, object: &Value, old: Option<&Value>) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7c1e0f3a-0000-4000-8000-000000000000",
            "kind": {"group": "batch", "version": "v1", "kind": "Job"},
            "namespace": "ml", "name": "job", "operation": operation,
            "userInfo": {"username": "ada"}, "object": object, "oldObject": old,
        },
    })
    .to_string()
}

fn decided(world: &World, body: &str) -> Decision {
    let fetched = Fetched::default();
    match judge(Review::read(body).unwrap(), world, &fetched, now()) {
        Verdict::Decided(decision) => *decision,
        Verdict::Needs(needs) => panic!("nothing should be needed: {needs:?}"),
    }
}

fn world(records: &[Record], policies: &[Policy]) -> World {
    let mut catalogue = Catalogue::new(Settings::default());
    catalogue.put_namespace("ml", Namespace::new(Labels::default(), []));
    for record in records {
        catalogue.put_record(record.clone());
    }
    for policy in policies {
        catalogue.put_policy(policy.clone());
    }
    catalogue.publish()
}

fn create(world: &World, workload: &Workload) -> Decision {
    decided(world, &review("CREATE", &workload.job(), None))
}

prop_compose! {
    fn any_regions()(codes in subsequence(REGIONS, 1..4)) -> Regions { regions(&codes) }
}

prop_compose! {
    fn any_step()(
        step in select(&STEPS[..]),
        list in proptest::option::of(0..60_i64),
    ) -> RecordedStep {
        let list_as_of = list.map(|days| now().checked_sub(jiff::SignedDuration::from_hours(days * 24)).unwrap());
        RecordedStep { step, completed_at: None, list_as_of, removed_regions: None }
    }
}

prop_compose! {
    fn any_record(name: &'static str, parents: Vec<&'static str>)(
        regions in any_regions(),
        age in proptest::option::of(select(vec![13_u8, 16, 18])),
        categories in proptest::option::of(subsequence(DataCategory::ALL, 1..3)),
        source in select(SourceCategory::ALL),
        personal in select(PersonalData::ALL),
        permitted in proptest::option::of(select(Purposes::WORDS)),
        bases in subsequence(vec!["A6-1-a", "A6-1-f"], 0..=2),
        steps in prop::collection::vec(any_step(), 0..2),
        parents in subsequence(parents.clone(), 0..=parents.len()),
    ) -> Record {
        Record {
            name: name.into(), uid: "".into(), generation: 1, sha256: None, source, personal_data: personal,
            regions: (personal != PersonalData::Absent).then_some(regions), minimum_age: age, controller: None,
            contact: None, categories: categories.map(|it| it.into_iter().collect()),
            permitted: permitted.map(|it| it.parse().unwrap()),
            legal_bases: bases.into_iter().map(Into::into).collect(),
            content_period: None, collection_period: None,
            derived_from: parents.into_iter().map(Into::into).collect(),
            steps: steps.into(), withdrawn: None,
        }
    }
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    (
        any_record("alpha", vec![]),
        any_record("beta", vec!["alpha"]),
        any_record("gamma", vec!["alpha", "beta"]),
        any_record("delta", vec![]),
    )
        .prop_map(|(a, b, c, d)| vec![a, b, c, d])
}

prop_compose! {
    fn any_match()(
        regions in proptest::option::of(any_regions()),
        purposes in proptest::option::of(select(Purposes::WORDS)),
        sources in proptest::option::of(subsequence(SourceCategory::ALL, 1..4)),
        categories in proptest::option::of(subsequence(DataCategory::ALL, 1..9)),
    ) -> Match {
        Match {
            regions,
            purposes: Some(purposes.map_or(Purposes::ALL, |it| it.parse().unwrap())),
            source_categories: sources.map(|it| it.into_iter().collect()),
            data_categories: categories.map(|it| it.into_iter().collect()),
            ..Match::default()
        }
    }
}

prop_compose! {
    fn any_rule()(
        step in select(&STEPS[..]),
        accepted in subsequence(Evidence::ALL, 1..=3),
        days in proptest::option::of(1..60_u16),
    ) -> StepRule {
        StepRule { step, accepted: accepted.into_iter().collect(), max_list_age_days: days }
    }
}

prop_compose! {
    fn any_policy(name: &'static str)(
        pauses in prop::collection::vec(any_match(), 0..2),
        requirements in prop::collection::vec(
            (any_match(), prop::collection::vec(any_rule(), 0..3), proptest::option::of(any_regions()),
             proptest::option::of(Just(18_u8)), subsequence(DataCategory::ALL, 0..2), any::<bool>()),
            0..3,
        ),
        scope in select(WorkloadScope::ALL),
        current in any::<bool>(),
    ) -> Policy {
        let entry = |matching, i: usize| Entry {
            name: format!("entry-{i}").into(), matching, window: Window::default(),
            actions: EnumSet::only(Action::Deny),
        };
        Policy {
            name: name.into(), uid: "".into(), generation: 1,
            reach: Reach { namespaces: Selector::default(), workloads: scope },
            actions: EnumSet::only(Action::Deny), undeclared: Undeclared::Deny, deny_from: None,
            accepted_declarations: EnumSet::only(DeclarationKind::Records), contact: None,
            pauses: pauses.into_iter().enumerate().map(|(i, it)| Pause {
                entry: entry(it, i), review_by: None, running: RunningWorkloads::BlockNewPods, measure: None,
                authority: None, reference: None,
            }).collect(),
            requirements: requirements.into_iter().enumerate().map(|(i, (it, steps, allowed, age, excluded, legal))| Requirement {
                entry: entry(it, i), steps: once_each(steps), allowed_regions: allowed, minimum_age: age,
                excluded_categories: excluded.into_iter().collect(),
                legal_bases: legal.then(|| ["A6-1-a".into()].into()),
            }).collect(),
            trust: STEPS.iter().map(|step| TrustedImage {
                step: *step, image: "step".into(), digest: digest(*step).into(), command: None, args: None,
                reads_list_at_start: current,
            }).collect(),
        }
    }
}

/// The API keys steps by their type.
fn once_each(mut rules: Vec<StepRule>) -> Box<[StepRule]> {
    rules.sort_by_key(|rule| rule.step);
    rules.dedup_by_key(|rule| rule.step);
    rules.into()
}

fn any_init() -> impl Strategy<Value = Init> {
    prop_oneof![
        4 => select(&STEPS[..]).prop_map(Init::Trusted),
        1 => select(&STEPS[..]).prop_map(Init::TrustedWithCommand),
        1 => select(&STEPS[..]).prop_map(Init::Sidecar),
        2 => select(&STEPS[..]).prop_map(Init::Named),
        1 => Just(Init::Other),
    ]
}

prop_compose! {
    fn any_workload()(
        inits in prop::collection::vec(any_init(), 0..4),
        beside in proptest::option::weighted(0.2, select(&STEPS[..])),
        datasets in subsequence(NAMES, 1..3),
        purpose in proptest::option::of(select(Purposes::WORDS)),
        gpu in any::<bool>(),
    ) -> Workload {
        Workload { inits, beside, datasets, purpose, gpu }
    }
}

fn no_harder(before: &Decision, after: &Decision) -> Result<(), TestCaseError> {
    if before.outcome == Outcome::Denied {
        prop_assert_eq!(
            after.outcome,
            Outcome::Denied,
            "before: {:#?}\nafter: {:#?}",
            before.findings,
            after.findings
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn adding_a_region_never_admits(
        mut records in any_records(), policy in any_policy("p"), workload in any_workload(),
        which in 0..4_usize, code in select(REGIONS),
    ) {
        let before = create(&world(&records, std::slice::from_ref(&policy)), &workload);
        let record = &mut records[which];
        record.regions = Some(record.regions.clone().unwrap_or_default().union(&regions(&[code])));
        let after = create(&world(&records, &[policy]), &workload);
        no_harder(&before, &after)?;
    }

    #[test]
    fn removing_a_step_never_admits(
        mut records in any_records(), policy in any_policy("p"), workload in any_workload(), which in 0..8_usize,
    ) {
        let before = create(&world(&records, std::slice::from_ref(&policy)), &workload);
        let mut fewer = workload;
        if which < 4 {
            records[which].steps = Box::default();
        } else if which - 4 < fewer.inits.len() {
            fewer.inits.remove(which - 4);
        }
        no_harder(&before, &create(&world(&records, &[policy]), &fewer))?;
    }

    #[test]
    fn adding_a_dataset_never_admits(
        records in any_records(), policy in any_policy("p"), workload in any_workload(), name in select(NAMES),
    ) {
        let world = world(&records, &[policy]);
        let before = create(&world, &workload);
        let mut more = workload;
        more.datasets.push(name);
        no_harder(&before, &create(&world, &more))?;
    }

    #[test]
    fn adding_a_policy_never_admits(
        records in any_records(), one in any_policy("one"), two in any_policy("two"), workload in any_workload(),
    ) {
        let before = create(&world(&records, std::slice::from_ref(&one)), &workload);
        no_harder(&before, &create(&world(&records, &[one, two]), &workload))?;
    }

    #[test]
    fn the_order_of_lists_never_matters(
        records in any_records(), one in any_policy("one"), two in any_policy("two"), workload in any_workload(),
    ) {
        let mut reversed = workload.clone();
        reversed.datasets.reverse();
        let turned = |policy: &Policy| {
            let mut policy = policy.clone();
            policy.pauses.reverse();
            policy.requirements.reverse();
            policy.requirements.iter_mut().for_each(|it| it.steps.reverse());
            policy.trust.reverse();
            policy
        };
        let mut others: Vec<Record> = records.iter().rev().cloned().collect();
        for record in &mut others {
            record.derived_from.reverse();
            record.steps.reverse();
        }
        // At most one step of a type, as the API enforces.
        prop_assume!(records.iter().all(|it| it.steps.len() < 2));
        let there = create(&world(&records, &[one.clone(), two.clone()]), &workload);
        let back = create(&world(&others, &[turned(&two), turned(&one)]), &reversed);
        prop_assert_eq!(there.outcome, back.outcome);
        prop_assert_eq!(there.findings, back.findings);
    }

    #[test]
    fn an_unchanged_object_always_passes_an_update(
        records in any_records(), policy in any_policy("p"), workload in any_workload(),
    ) {
        let world = world(&records, &[policy]);
        let old = workload.job();
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!([]);
        new["metadata"]["labels"] = json!({"team": "ml"});
        new["spec"]["parallelism"] = json!(3);
        new["spec"]["suspend"] = json!(true);
        prop_assert_eq!(decided(&world, &review("UPDATE", &new, Some(&old))).outcome, Outcome::Allowed);
    }
}
