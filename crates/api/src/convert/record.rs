//! DatasetRecord to the core's record.

use std::str::FromStr;

use datagate_core::dataset::{Record, RecordedStep, Withdrawn};
use datagate_core::region::{Region, Regions};
use datagate_core::vocabulary::{PersonalData, StepType};

use super::Invalid;
use super::parts::{Reader, text};
use super::path::Path;
use crate::v1alpha1::{self as api, DatasetRecord, DatasetRecordSpec};

impl TryFrom<&DatasetRecord> for Record {
    type Error = Invalid;

    fn try_from(record: &DatasetRecord) -> Result<Self, Invalid> {
        let mut reader = Reader::default();
        let at = Path::Root;
        let at = at.field("spec");
        let spec = &record.spec;
        let subjects = at.field("dataSubjects");
        if let Some(digest) = &spec.digest {
            let at = at.field("digest");
            reader.sha256(&digest.sha256, &at.field("sha256"));
        }
        if let Some(controller) = &spec.data_controller {
            let at = at.field("dataController");
            reader.name(&controller.id, false, &at.field("id"));
        }
        let parents = at.field("derivedFrom");
        reader.unique(&spec.derived_from, |parent| parent.name.clone(), "name", &parents);
        for (i, parent) in spec.derived_from.iter().enumerate() {
            reader.name(&parent.name, true, &parents.item(i).field("name"));
        }
        let steps = at.field("steps");
        reader.unique(&spec.steps, |step| step.step_type, "type", &steps);
        let read = Self {
            name: record.metadata.name.as_deref().unwrap_or_default().into(),
            uid: record.metadata.uid.as_deref().unwrap_or_default().into(),
            generation: record.metadata.generation.unwrap_or_default(),
            sha256: spec.digest.as_ref().map(|digest| digest.sha256.as_str().into()),
            source: spec.source_category.into(),
            personal_data: spec.personal_data.into(),
            regions: reader.record_regions(spec, &subjects),
            minimum_age: reader.minimum_age(
                spec.data_subjects
                    .as_ref()
                    .and_then(|subjects| subjects.minimum_age),
                &subjects,
            ),
            controller: spec
                .data_controller
                .as_ref()
                .map(|controller| controller.id.as_str().into()),
            contact: spec
                .data_controller
                .as_ref()
                .and_then(|controller| text(controller.contact.as_ref())),
            categories: (spec.data_categories.as_ref())
                .map(|words| reader.words(words, &at.field("dataCategories"))),
            permitted: (spec.permitted_purposes.as_ref())
                .map(|words| reader.purposes(words, &at.field("permittedPurposes"))),
            legal_bases: (spec.legal_bases.as_ref())
                .map(|bases| reader.identifiers(bases, &at.field("legalBases")))
                .unwrap_or_default(),
            content_period: (spec.content_period.as_ref())
                .map(|period| reader.period(period, &at.field("contentPeriod"))),
            collection_period: (spec.collection_period.as_ref())
                .map(|period| reader.period(period, &at.field("collectionPeriod"))),
            derived_from: spec
                .derived_from
                .iter()
                .map(|parent| parent.name.as_str().into())
                .collect(),
            steps: (spec.steps.iter().enumerate())
                .map(|(i, step)| reader.recorded_step(step, &steps.item(i)))
                .collect(),
            withdrawn: spec.withdrawn.as_ref().map(|withdrawn| Withdrawn {
                since: Some(withdrawn.since.0),
                reason: text(withdrawn.reason.as_ref()),
                superseded_by: text(withdrawn.superseded_by.as_ref()),
            }),
        };
        reader.finish(read)
    }
}

impl Reader {
    fn record_regions(&mut self, spec: &DatasetRecordSpec, at: &Path<'_>) -> Option<Regions> {
        let at = at.field("regions");
        let codes = spec
            .data_subjects
            .as_ref()
            .and_then(|subjects| subjects.regions.as_ref());
        if codes.is_none() && PersonalData::from(spec.personal_data) != PersonalData::Absent {
            self.problem(
                &at,
                "say where the people live, or Unknown; only personalData Absent goes without",
            );
        }
        let regions = self.regions(codes?, Region::from_str, &at);
        let open = |region: &Region| matches!(region, Region::Unknown | Region::World);
        if regions.written().len() > 1 && regions.written().iter().any(open) {
            self.problem(&at, "Unknown and World stand alone; write one of them, or codes");
        }
        Some(regions)
    }

    fn recorded_step(&mut self, step: &api::Step, at: &Path<'_>) -> RecordedStep {
        let read = RecordedStep {
            step: step.step_type.into(),
            completed_at: step.completed_at.as_ref().map(|time| time.0),
            list_as_of: step
                .opt_out_list
                .as_ref()
                .and_then(|list| list.as_of.as_ref())
                .map(|time| time.0),
            removed_regions: (step.removed_regions.as_ref())
                .map(|codes| self.regions(codes, Region::parse_people, &at.field("removedRegions"))),
        };
        if (read.step == StepType::RegionFilter) != step.removed_regions.is_some() {
            let what = "a RegionFilter must say which regions it removed, and no other step may";
            self.problem(&at.field("removedRegions"), what);
        }
        if step.opt_out_list.is_some() && read.step != StepType::OptOutFilter {
            self.problem(
                &at.field("optOutList"),
                "only an OptOutFilter has a list of opt-outs; remove it",
            );
        }
        read
    }
}
