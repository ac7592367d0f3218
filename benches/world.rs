//! A world and a review of chosen size, for the benches and for the count of allocations.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use datagate_core::dataset::{Record, RecordedStep};
use datagate_core::policy::{Entry, Match, Pause, Policy, Reach, Requirement, StepRule, Window};
use datagate_core::purpose::Purpose;
use datagate_core::region::{Region, Regions};
use datagate_core::selector::{LabelRequirement, Labels, Operator, Selector};
use datagate_core::settings::Settings;
use datagate_core::vocabulary::{
    Action, DeclarationKind, Evidence, PersonalData, RunningWorkloads, SourceCategory, StepType, Undeclared,
    WorkloadScope,
};
use datagate_core::world::{Catalogue, Namespace, World};
use enumset::EnumSet;
use jiff::Timestamp;

/// The instant of all decisions.
pub fn now() -> Timestamp {
    "2025-06-01T00:00:00Z".parse().unwrap()
}

fn regions(codes: &[&str]) -> Regions {
    codes.iter().map(|code| code.parse::<Region>().unwrap()).collect()
}

fn record(i: usize) -> Record {
    let step = RecordedStep {
        step: StepType::OptOutFilter,
        completed_at: None,
        list_as_of: Some("2025-05-20T00:00:00Z".parse().unwrap()),
        removed_regions: None,
    };
    Record {
        name: format!("member-posts-{i:05}").into(),
        uid: "".into(),
        generation: 1,
        sha256: None,
        source: SourceCategory::UserData,
        personal_data: PersonalData::Present,
        regions: Some(regions(&["US", "CA", "AU", "IN"])),
        minimum_age: Some(18),
        controller: Some("example-social".into()),
        contact: None,
        categories: None,
        permitted: Some(Purpose::GenerativeAITraining.into()),
        legal_bases: Box::default(),
        content_period: None,
        collection_period: None,
        derived_from: Box::default(),
        steps: [step].into(),
        withdrawn: None,
    }
}

fn policy(i: usize, team: &str) -> Policy {
    let about = |name: &str, codes: Option<&[&str]>| Entry {
        name: name.into(),
        matching: Match {
            regions: codes.map(regions),
            purposes: Some(Purpose::GenerativeAITraining.into()),
            source_categories: Some(EnumSet::only(SourceCategory::UserData)),
            ..Match::default()
        },
        window: Window {
            from: Some("2024-09-18T00:00:00Z".parse().unwrap()),
            until: None,
        },
        actions: EnumSet::only(Action::Deny),
    };
    let rule = StepRule {
        step: StepType::OptOutFilter,
        accepted: Evidence::TrustedImage | Evidence::Catalogued,
        max_list_age_days: Some(30),
    };
    Policy {
        name: format!("policy-{i:04}").into(),
        uid: "".into(),
        generation: 1,
        reach: Reach {
            namespaces: Selector {
                requirements: [LabelRequirement {
                    key: "team".into(),
                    operator: Operator::In([team.into()].into()),
                }]
                .into(),
            },
            workloads: WorkloadScope::Accelerated,
        },
        actions: EnumSet::only(Action::Deny),
        undeclared: Undeclared::Deny,
        deny_from: None,
        accepted_declarations: EnumSet::only(DeclarationKind::Records),
        contact: None,
        pauses: [Pause {
            entry: about("eea-uk-ch", Some(&["EEA", "GB", "CH"])),
            review_by: None,
            running: RunningWorkloads::BlockNewPods,
            measure: None,
            authority: None,
            reference: None,
        }]
        .into(),
        requirements: [Requirement {
            entry: about("members", None),
            steps: [rule].into(),
            allowed_regions: None,
            minimum_age: Some(18),
            excluded_categories: EnumSet::empty(),
            legal_bases: None,
        }]
        .into(),
        trust: Box::default(),
    }
}

/// `governing` of `policies` select the namespace of the reviews.
pub fn world(records: usize, policies: usize, governing: usize) -> World {
    let mut catalogue = Catalogue::new(Settings::default());
    let labels: Labels = [("team".into(), "ml".into())].into();
    catalogue.put_namespace("ml", Namespace::new(labels, []));
    (0..records).for_each(|i| catalogue.put_record(record(i)));
    (0..policies).for_each(|i| catalogue.put_policy(policy(i, if i < governing { "ml" } else { "other" })));
    catalogue.publish()
}

/// A review of about that many bytes, as the API server sends it: defaults and managedFields included.
pub fn review(bytes: usize) -> String {
    let template = include_str!("review.json");
    let filler = bytes.saturating_sub(template.len());
    let variable =
        r#"{"name":"HYPERPARAMETER_0000","value":"some value of a usual length, here 60 characters"},"#;
    template.replace(
        r#""env":["#,
        &format!(r#""env":[{}"#, variable.repeat(filler / variable.len())),
    )
}
