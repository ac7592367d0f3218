//! DatasetPolicy: which data may be used for what, and on which conditions.
#![expect(clippy::duplicated_attributes, reason = "printer columns of one type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    Action, DataCategory, DeclarationKind, Evidence, Instant, LabelSelector, Measure, Period, PolicyStatus,
    Purpose, RegionCode, RunningWorkloads, SourceCategory, StepType, Undeclared, WorkloadScope,
};
use crate::rules;

/// A DatasetPolicy says which data training workloads may use, for which people's data training is paused, and on
/// which conditions other data may be used. It is cluster-scoped: nobody weakens it from inside a namespace.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "datagate.dev",
    version = "v1alpha1",
    kind = "DatasetPolicy",
    plural = "datasetpolicies",
    singular = "datasetpolicy",
    shortname = "dsp",
    category = "datagate",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "A DatasetPolicy says which data training workloads may use: for which people's data training is paused, and on which conditions other data may be used. Cluster-scoped, so nobody weakens it from inside a namespace.",
    printcolumn(
        name = "Actions",
        type_ = "string",
        json_path = ".spec.validationActions",
        description = "What happens to a workload that breaks the policy"
    ),
    printcolumn(
        name = "Paused",
        type_ = "string",
        json_path = ".status.pausedRegions",
        description = "Regions of people whose data is paused now"
    ),
    printcolumn(
        name = "Next Change",
        type_ = "string",
        json_path = ".status.nextChange",
        description = "When the policy next changes by itself"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether every replica decides by it"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::not_deny_with_warn())]
#[x_kube(validation = rules::only_weaker("pauses"))]
#[x_kube(validation = rules::only_weaker("requirements"))]
pub struct DatasetPolicySpec {
    /// What happens to a workload that breaks this policy. Deny refuses it, Warn admits it with a warning to its
    /// author, Audit only notes it in the audit log. Deny and Warn exclude each other. Example: [Deny, Audit].
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub validation_actions: Vec<Action>,
    /// What happens to a governed workload that does not say which data it uses: Deny, Warn, or Ignore. It never acts
    /// harder than validationActions. A policy may consist of this alone.
    pub undeclared: Undeclared,
    /// Which workloads are governed. TrainingKinds: kinds that exist for training (TrainJob, PyTorchJob, ...) and
    /// whatever carries a key under datagate.dev/. Accelerated: also whatever asks for a GPU or another accelerator.
    /// All: every workload that datagate knows; the only choice that covers training on CPUs.
    pub workloads: WorkloadScope,
    /// Until this moment Deny acts as Warn, and the warning names the date. Lets engineers adapt before a new policy
    /// bites. Example: "2026-02-01T00:00:00Z".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_from: Option<Instant>,
    /// Which namespaces are governed, by their labels. Empty or left out: all.
    /// Example: matchLabels: {kubernetes.io/metadata.name: ml-prod}.
    #[serde(default)]
    pub namespace_selector: LabelSelector,
    /// Which ways to declare data count for this policy. Records: names of DatasetRecords. Regions: bare region codes
    /// that the author of the workload vouches for. None: the word none, for workloads without data. Any other
    /// declaration counts as no declaration. Default: [Records].
    #[serde(default = "records_only")]
    #[schemars(length(min = 1, max = 3))]
    // Not a set: server-side apply would join what is applied with the default, which nobody owns and so nobody removes.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub accepted_declarations: Vec<DeclarationKind>,
    /// Whom engineers may ask; shown in each refusal. At most 128 characters. Example: "Slack #data-governance".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub contact: Option<String>,
    /// Data that may not be used while the pause is in effect. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pauses: Vec<Pause>,
    /// Conditions on which data may be used. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub requirements: Vec<Requirement>,
    /// What this policy trusts beyond the words of a workload's author.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
}

/// Data that may not be used while the pause is in effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::until_after_from())]
#[x_kube(validation = rules::not_deny_with_warn())]
pub struct Pause {
    /// A name for messages and logs, unique among the pauses of the policy: lower-case letters, digits and hyphens.
    /// Example: eea-uk-ch.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
    /// The data that is paused.
    #[serde(rename = "match")]
    pub matching: Match,
    /// The moment from which it holds. Left out: always. Example: "2024-09-18T00:00:00Z".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Instant>,
    /// The moment at which it ends; at that moment it no longer holds. Left out: until further notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_until: Option<Instant>,
    /// The day by which somebody should look at it again. A reminder in the status, never an end. Example: "2026-03-01".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_by: Option<super::Day>,
    /// Weaker actions than the policy's, for this entry alone: in a policy that denies, [Warn] or [Audit]. Left out:
    /// those of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub validation_actions: Option<Vec<Action>>,
    /// What happens to workloads that were admitted before the pause. BlockNewPods refuses their next pod (a retry, a
    /// rescheduled pod); pods that run already are left alone. LetFinish lets them run to their end.
    #[serde(default = "block_new_pods")]
    pub running_workloads: RunningWorkloads,
    /// What kind of act it rests on. VoluntaryPause: the company's own, after a concern was raised. Undertaking: a
    /// commitment given to a regulator or a court. Order: of a regulator or a court. InternalDecision: of the company
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// Who asked for it. Example: ICO.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub authority: Option<String>,
    /// Where to read about it: a link or a file number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub reference: Option<String>,
}

/// Conditions on which data may be used. All that are given must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::until_after_from())]
#[x_kube(validation = rules::not_deny_with_warn())]
#[x_kube(validation = Rule::new("has(self.steps) || has(self.allowedRegions) || has(self.minimumAge) || has(self.excludedDataCategories) || has(self.legalBases)")
    .message("a requirement must ask for something: add steps, allowedRegions, minimumAge, excludedDataCategories or legalBases"))]
pub struct Requirement {
    /// A name for messages and logs, unique among the requirements of the policy: lower-case letters, digits and
    /// hyphens. Example: members.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
    /// The data that it is about.
    #[serde(rename = "match")]
    pub matching: Match,
    /// The moment from which it holds. Left out: always. Conditions may begin at the moment a pause ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Instant>,
    /// The moment at which it ends; at that moment it no longer holds. Left out: until further notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_until: Option<Instant>,
    /// Weaker actions than the policy's, for this entry alone: in a policy that denies, [Warn] or [Audit]. Left out:
    /// those of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub validation_actions: Option<Vec<Action>>,
    /// Preparations that must have been done to the data, or must provably complete before training starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub steps: Vec<RequiredStep>,
    /// Only data of people who live there: ISO 3166 codes ("US"), subdivisions ("US-CA"), or "EU", "EEA", "EFTA".
    /// Quote them: NO without quotes is a boolean in YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_regions: Option<Vec<RegionCode>>,
    /// The lowest age, in years, that people in the data may have: 18 means adults only. 0 to 150.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 150))]
    pub minimum_age: Option<u8>,
    /// Kinds of data that may not be in it. Data that does not say its kinds does not meet this. Example: [PrivateMessages].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 18))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub excluded_data_categories: Option<Vec<DataCategory>>,
    /// Legal bases that are good enough; all bases of the record must be among them. Identifiers of the W3C Data
    /// Privacy Vocabulary without prefix, such as A6-1-a (GDPR: consent) and A6-1-f (legitimate interests), or your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32), regex(pattern = rules::IDENTIFIER)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub legal_bases: Option<Vec<String>>,
}

/// The data that an entry is about. Between fields all must match; within a field one is enough. A field left out
/// matches all data, and what the data leaves unsaid counts as matching: silence never helps.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.regions) || has(self.purposes) || has(self.sourceCategories) || has(self.dataCategories) || has(self.dataControllers) || has(self.collectionPeriod) || has(self.contentPeriod)")
    .message("an empty match would be about all data; give at least one of regions, purposes, sourceCategories, dataCategories, dataControllers, collectionPeriod, contentPeriod"))]
pub struct Match {
    /// Where the people live whom the data is about: ISO 3166 codes ("DE", "GB"), subdivisions ("US-IL"), or "EU",
    /// "EEA", "EFTA". Never where the data is stored. Quote them: NO without quotes is a boolean in YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub regions: Option<Vec<RegionCode>>,
    /// What the data is used for. AITraining is both GenerativeAITraining and NonGenerativeAITraining.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub purposes: Option<Vec<Purpose>>,
    /// Where the data came from. UserData: from users of the company's own services.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub source_categories: Option<Vec<SourceCategory>>,
    /// What kind of data it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 18))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub data_categories: Option<Vec<DataCategory>>,
    /// Whose data it is: ids of data controllers, as in spec.dataController.id of the records.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63), regex(pattern = rules::LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub data_controllers: Option<Vec<String>>,
    /// Data collected on any day of this period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_period: Option<Period>,
    /// Data about any day of this period: when it was written, not when it was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_period: Option<Period>,
}

/// A step that a requirement asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.maxListAgeDays) || self.type == 'OptOutFilter'")
    .message("only an OptOutFilter has a list that ages; remove maxListAgeDays")
    .field_path(".maxListAgeDays"))]
pub struct RequiredStep {
    /// Which step. OptOutFilter removes people who opted out, OptInFilter keeps people who opted in, RegionFilter
    /// removes people of some regions, AgeFilter people below an age, SensitiveDataFilter sensitive data. Redaction
    /// masks personal data, Pseudonymisation replaces identities, Anonymisation makes people unidentifiable.
    #[serde(rename = "type")]
    pub step_type: StepType,
    /// What may show that the step was done. Declared: the workload names the step, and it provably completes before
    /// training. TrustedImage: it does, and its image is one of spec.trust.images. Catalogued: the dataset's record
    /// lists the step.
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub accepted_evidence: Vec<Evidence>,
    /// How old, in days, the list of people who opted out may be when the workload starts: 1 to 3650. A list without a
    /// date is too old.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub max_list_age_days: Option<u16>,
}

/// What a policy trusts.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trust {
    /// Images that are known to do a step. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub images: Vec<TrustedImage>,
}

/// An image that is known to do a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(format!("self.image.matches('{}')", rules::PINNED_IMAGE))
    .message("a trusted image is known by its digest, because a tag can be moved; write name@sha256:<64 hexadecimal digits>")
    .field_path(".image"))]
pub struct TrustedImage {
    /// The step that the image does.
    pub step_type: StepType,
    /// The image with its digest: registry.example.com/opt-out-filter@sha256:... Only the digest is compared, since
    /// registries are mirrored; the name is for people.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// The command that the container must have, word for word. Left out: the container must not set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Option<Vec<String>>,
    /// The arguments that the container must have, word for word. Left out: the container must not set any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Option<Vec<String>>,
    /// Whether the image fetches the current list of opt-outs when it starts. Only then can it meet a maxListAgeDays.
    #[serde(default)]
    pub reads_list_at_start: bool,
}

fn records_only() -> Vec<DeclarationKind> {
    vec![DeclarationKind::Records]
}

fn block_new_pods() -> RunningWorkloads {
    RunningWorkloads::BlockNewPods
}
