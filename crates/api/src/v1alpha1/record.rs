//! DatasetRecord: the catalogue entry of a dataset.
#![expect(clippy::duplicated_attributes, reason = "printer columns of one type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    DataCategory, Digest, Instant, Period, PersonalData, Purpose, RecordRegion, RecordStatus, RegionCode,
    SourceCategory, StepType,
};
use crate::rules::{self, tighten};

/// A DatasetRecord is the catalogue entry of one body of data, written by data governance.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "datagate.dev",
    version = "v1alpha1",
    kind = "DatasetRecord",
    plural = "datasetrecords",
    singular = "datasetrecord",
    shortname = "dsr",
    category = "datagate",
    status = "RecordStatus",
    derive = "PartialEq",
    doc = "A DatasetRecord is the catalogue entry of one body of data, written by data governance and named by workloads. It may be tightened, never loosened: to loosen it, make a new record and set withdrawn on this one.",
    printcolumn(
        name = "Regions",
        type_ = "string",
        json_path = ".spec.dataSubjects.regions",
        description = "Where the people live"
    ),
    printcolumn(
        name = "Personal Data",
        type_ = "string",
        json_path = ".spec.personalData",
        description = "Whether it holds personal data"
    ),
    printcolumn(
        name = "Opt-Out As Of",
        type_ = "string",
        json_path = ".spec.steps[?(@.type==\"OptOutFilter\")].optOutList.asOf",
        description = "The date of the opt-out list it was filtered with"
    ),
    printcolumn(
        name = "Withdrawn",
        type_ = "string",
        json_path = ".spec.withdrawn.since",
        description = "Since when it may not be used"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::regions_unless_absent())]
#[x_kube(validation = tighten::version())]
#[x_kube(validation = tighten::digest())]
#[x_kube(validation = tighten::locations())]
#[x_kube(validation = tighten::source_category())]
#[x_kube(validation = tighten::personal_data())]
#[x_kube(validation = tighten::regions())]
#[x_kube(validation = tighten::minimum_age())]
#[x_kube(validation = tighten::data_controller())]
#[x_kube(validation = tighten::may_grow_or_go("dataCategories", "kinds of data"))]
#[x_kube(validation = tighten::may_grow_or_go("legalBases", "legal bases"))]
#[x_kube(validation = tighten::permitted_purposes())]
#[x_kube(validation = tighten::period("contentPeriod"))]
#[x_kube(validation = tighten::period("collectionPeriod"))]
#[x_kube(validation = tighten::derived_from())]
#[x_kube(validation = tighten::steps_added())]
#[x_kube(validation = tighten::steps_renewed())]
#[x_kube(validation = tighten::withdrawn())]
pub struct DatasetRecordSpec {
    /// Your own name for this version of the data. Once set it stays. Example: "2025-10".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version: Option<String>,
    /// The digest of the sorted manifest of its files. Workloads may pin it (name@sha256:...). Once set it stays, since
    /// other bytes are other data; without it the record stands for data that is kept up to date in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where it is stored, as URIs. Entries may be added, never removed. Example: "s3://lake/member-posts/2025-10/".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512), regex(pattern = rules::URI)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub locations: Vec<String>,
    /// Where it came from, in the categories of the EU's template for summaries of training content. UserData: from
    /// users of the company's own services. It never changes.
    pub source_category: SourceCategory,
    /// Whether it holds personal data: Present, Absent, or NoAssertion if nobody can say, which is treated as Present.
    /// It may only become Present. Under parents with personal data, Absent needs an Anonymisation step.
    pub personal_data: PersonalData,
    /// The people whom the data is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_subjects: Option<DataSubjects>,
    /// The data controller in the sense of data protection law; nothing to do with controllers in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_controller: Option<DataController>,
    /// What kinds of data are in it. Left out: not said, which matches every pause and satisfies no exclusion. Kinds may
    /// be added, never removed; the whole list may go, and then not come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 18))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub data_categories: Option<Vec<DataCategory>>,
    /// What it may be used for. Left out: not restricted; the one place where silence permits. Purposes may be removed,
    /// never added. AITraining is both GenerativeAITraining and NonGenerativeAITraining.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub permitted_purposes: Option<Vec<Purpose>>,
    /// The legal bases it rests on: identifiers of the W3C Data Privacy Vocabulary without prefix, such as A6-1-a (GDPR:
    /// consent) or A6-1-f (legitimate interests), or your own. Bases may be added, never removed; the whole list may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32), regex(pattern = rules::IDENTIFIER)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub legal_bases: Option<Vec<String>>,
    /// When what it tells of happened: from the oldest to the newest content. It may widen or go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_period: Option<Period>,
    /// When it was collected. It may widen or go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_period: Option<Period>,
    /// The records it was made from. It inherits their regions, kinds of data, sources, controllers and lowest age, not
    /// their steps. Entries may be added, never removed. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub derived_from: Vec<Parent>,
    /// What was done to it, each type of step once. Steps may be removed, never added; in a record without digest an
    /// OptOutFilter may be renewed with a newer list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub steps: Vec<Step>,
    /// Set it when the data may not be used any more. It cannot be taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawn>,
    /// Documents about it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
}

/// The people whom the data is about.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSubjects {
    /// Where they live: ISO 3166 codes ("DE", "US"), subdivisions ("US-CA"), or "EU", "EEA", "EFTA"; or only ["Unknown"],
    /// or only ["World"], which every pause by region meets. Never where the data is stored. Quote them: NO without
    /// quotes is a boolean in YAML. Required unless personalData is Absent. Regions may be added, never removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("size(self) == 1 || !self.exists(r, r in ['Unknown', 'World'])")
        .message("Unknown and World stand alone; write [\"Unknown\"], [\"World\"], or codes"))]
    pub regions: Option<Vec<RecordRegion>>,
    /// The lowest age, in years, of the people in it. Left out: not known. It may fall or go, never rise. 0 to 150.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 150))]
    pub minimum_age: Option<u8>,
}

/// Who decides why and how the data is processed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataController {
    /// A short id that policies match: lower-case letters, digits and hyphens. It never changes. Example: example-social.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub id: String,
    /// The full name. Example: Example Social Ltd.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// Whom to ask about the data; shown in refusals. Example: dpo@example.com.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub contact: Option<String>,
}

/// A record that this one was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parent {
    /// The name of its DatasetRecord.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::SUBDOMAIN))]
    pub name: String,
    /// The digest it had; for people and audits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Something that was done to the data before it was put in the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.type == 'RegionFilter') == has(self.removedRegions)")
    .message("a RegionFilter must say which regions it removed, and no other step may")
    .field_path(".removedRegions"))]
#[x_kube(validation = Rule::new("!has(self.optOutList) || self.type == 'OptOutFilter'")
    .message("only an OptOutFilter has a list of opt-outs; remove optOutList")
    .field_path(".optOutList"))]
#[x_kube(validation = tighten::removed_regions())]
#[x_kube(validation = tighten::completed_at())]
#[x_kube(validation = tighten::as_of())]
pub struct Step {
    /// Which step. OptOutFilter removed people who opted out, OptInFilter kept people who opted in, RegionFilter removed
    /// people of some regions, AgeFilter people below an age, SensitiveDataFilter sensitive data. Redaction masked
    /// personal data, Pseudonymisation replaced identities, Anonymisation made people unidentifiable.
    #[serde(rename = "type")]
    pub step_type: StepType,
    /// When it was finished. A moment in the future is not believed. Example: "2025-11-01T03:12:00Z".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Instant>,
    /// What did it: an image with its digest, a program, a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub tool: Option<String>,
    /// The list of people who opted out, as the OptOutFilter used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_out_list: Option<OptOutList>,
    /// How many records went in, and how many were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// The regions whose people a RegionFilter removed: codes as in regions of policies. Example: ["EEA", "GB", "CH"].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub removed_regions: Option<Vec<RegionCode>>,
}

/// A list of people who opted out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OptOutList {
    /// Its name. Example: genai-setting-off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// The moment up to which opt-outs are in it. Policies limit its age. Example: "2025-11-01T00:00:00Z".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Instant>,
    /// Its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// How much a step removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.removed <= self.__in__")
    .message("more was removed than went in")
    .field_path(".removed"))]
pub struct Counts {
    /// How many records went in.
    #[serde(rename = "in")]
    #[schemars(range(min = 0))]
    pub input: i64,
    /// How many of them were removed.
    #[schemars(range(min = 0))]
    pub removed: i64,
}

/// Why and since when the data may not be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Withdrawn {
    /// Since when. It may move to an earlier moment only. Example: "2026-01-10T00:00:00Z".
    pub since: Instant,
    /// Why; shown in refusals. Example: German members found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub reason: Option<String>,
    /// The name of the DatasetRecord to use instead; shown in refusals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::SUBDOMAIN))]
    pub superseded_by: Option<String>,
}

/// Documents about the data.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Links {
    /// The data protection impact assessment (GDPR article 35).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = rules::URI))]
    pub dpia: Option<String>,
    /// The entry in the records of processing activities (GDPR article 30).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = rules::URI))]
    pub ropa: Option<String>,
}
