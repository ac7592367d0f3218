//! DatasetPolicy to the core's policy.

use datagate_core::policy::{
    Entry, Match, Pause, Policy, Reach, Requirement, StepRule, TrustedImage, Window,
};
use datagate_core::region::Region;
use datagate_core::vocabulary::{Action, StepType};
use enumset::EnumSet;

use super::Invalid;
use super::parts::{Reader, is_sha256, text};
use super::path::Path;
use crate::v1alpha1::{self as api, DatasetPolicy};

impl TryFrom<&DatasetPolicy> for Policy {
    type Error = Invalid;

    fn try_from(policy: &DatasetPolicy) -> Result<Self, Invalid> {
        let mut reader = Reader::default();
        let at = Path::Root;
        let at = at.field("spec");
        let spec = &policy.spec;
        let actions = reader.actions(&spec.validation_actions, &at.field("validationActions"));
        let pauses = at.field("pauses");
        reader.unique(&spec.pauses, |pause| pause.name.clone(), "name", &pauses);
        let requirements = at.field("requirements");
        reader.unique(
            &spec.requirements,
            |requirement| requirement.name.clone(),
            "name",
            &requirements,
        );
        let images = at.field("trust");
        let images = images.field("images");
        let read = Self {
            name: policy.metadata.name.as_deref().unwrap_or_default().into(),
            uid: policy.metadata.uid.as_deref().unwrap_or_default().into(),
            generation: policy.metadata.generation.unwrap_or_default(),
            reach: Reach {
                namespaces: reader.selector(&spec.namespace_selector, &at.field("namespaceSelector")),
                workloads: spec.workloads.into(),
            },
            actions,
            undeclared: spec.undeclared.into(),
            deny_from: spec.deny_from.as_ref().map(|time| time.0),
            accepted_declarations: reader
                .words(&spec.accepted_declarations, &at.field("acceptedDeclarations")),
            contact: text(spec.contact.as_ref()),
            pauses: (spec.pauses.iter().enumerate())
                .map(|(i, pause)| reader.pause(pause, actions, &pauses.item(i)))
                .collect(),
            requirements: (spec.requirements.iter().enumerate())
                .map(|(i, requirement)| reader.requirement(requirement, actions, &requirements.item(i)))
                .collect(),
            trust: (spec.trust.iter().flat_map(|trust| &trust.images).enumerate())
                .filter_map(|(i, image)| reader.trusted_image(image, &images.item(i)))
                .collect(),
        };
        reader.finish(read)
    }
}

/// What both kinds of entry have in common, as it is written.
struct Written<'a> {
    name: &'a str,
    matching: &'a api::Match,
    from: Option<&'a api::Instant>,
    until: Option<&'a api::Instant>,
    actions: Option<&'a Vec<api::Action>>,
}

impl Reader {
    fn actions(&mut self, actions: &[api::Action], at: &Path<'_>) -> EnumSet<Action> {
        let actions: EnumSet<Action> = self.words(actions, at);
        if actions.contains(Action::Deny) && actions.contains(Action::Warn) {
            self.problem(at, "Deny and Warn exclude each other; keep one of them");
        }
        actions
    }

    fn pause(&mut self, pause: &api::Pause, actions: EnumSet<Action>, at: &Path<'_>) -> Pause {
        let written = Written {
            name: &pause.name,
            matching: &pause.matching,
            from: pause.effective_from.as_ref(),
            until: pause.effective_until.as_ref(),
            actions: pause.validation_actions.as_ref(),
        };
        Pause {
            entry: self.entry(&written, actions, at),
            review_by: pause.review_by.map(|day| day.0),
            running: pause.running_workloads.into(),
            measure: pause.measure.map(Into::into),
            authority: text(pause.authority.as_ref()),
            reference: text(pause.reference.as_ref()),
        }
    }

    fn requirement(
        &mut self,
        requirement: &api::Requirement,
        actions: EnumSet<Action>,
        at: &Path<'_>,
    ) -> Requirement {
        let written = Written {
            name: &requirement.name,
            matching: &requirement.matching,
            from: requirement.effective_from.as_ref(),
            until: requirement.effective_until.as_ref(),
            actions: requirement.validation_actions.as_ref(),
        };
        let entry = self.entry(&written, actions, at);
        let nothing = requirement.steps.is_empty()
            && requirement.allowed_regions.is_none()
            && requirement.minimum_age.is_none()
            && requirement.excluded_data_categories.is_none()
            && requirement.legal_bases.is_none();
        if nothing {
            self.problem(
                at,
                "a requirement must ask for something: steps, allowedRegions, minimumAge, excludedDataCategories or legalBases",
            );
        }
        let steps = at.field("steps");
        self.unique(&requirement.steps, |step| step.step_type, "type", &steps);
        Requirement {
            entry,
            steps: (requirement.steps.iter().enumerate())
                .map(|(i, step)| self.step_rule(step, &steps.item(i)))
                .collect(),
            allowed_regions: (requirement.allowed_regions.as_ref())
                .map(|codes| self.regions(codes, Region::parse_people, &at.field("allowedRegions"))),
            minimum_age: self.minimum_age(requirement.minimum_age, at),
            excluded_categories: (requirement.excluded_data_categories.as_ref())
                .map(|words| self.words(words, &at.field("excludedDataCategories")))
                .unwrap_or_default(),
            legal_bases: (requirement.legal_bases.as_ref())
                .map(|bases| self.identifiers(bases, &at.field("legalBases"))),
        }
    }

    fn entry(&mut self, written: &Written<'_>, actions: EnumSet<Action>, at: &Path<'_>) -> Entry {
        self.name(written.name, false, &at.field("name"));
        let window = Window {
            from: written.from.map(|time| time.0),
            until: written.until.map(|time| time.0),
        };
        if window
            .from
            .zip(window.until)
            .is_some_and(|(from, until)| until <= from)
        {
            self.problem(
                &at.field("effectiveUntil"),
                "must be after effectiveFrom; the entry would never hold",
            );
        }
        let matching = self.matching(written.matching, &at.field("match"));
        let own = written.actions.map(|own| {
            let at = at.field("validationActions");
            let own = self.actions(own, &at);
            if strongest(own) > strongest(actions) {
                self.problem(
                    &at,
                    "stronger than those of the policy; an entry may only weaken them",
                );
            }
            own
        });
        Entry {
            name: written.name.into(),
            matching,
            window,
            actions: own.unwrap_or(actions),
        }
    }

    fn matching(&mut self, matching: &api::Match, at: &Path<'_>) -> Match {
        let read = Match {
            regions: (matching.regions.as_ref())
                .map(|codes| self.regions(codes, Region::parse_people, &at.field("regions"))),
            purposes: (matching.purposes.as_ref()).map(|words| self.purposes(words, &at.field("purposes"))),
            source_categories: (matching.source_categories.as_ref())
                .map(|words| self.words(words, &at.field("sourceCategories"))),
            data_categories: (matching.data_categories.as_ref())
                .map(|words| self.words(words, &at.field("dataCategories"))),
            data_controllers: (matching.data_controllers.as_ref())
                .map(|ids| self.identifiers(ids, &at.field("dataControllers"))),
            collection_period: (matching.collection_period.as_ref())
                .map(|period| self.period(period, &at.field("collectionPeriod"))),
            content_period: (matching.content_period.as_ref())
                .map(|period| self.period(period, &at.field("contentPeriod"))),
        };
        if *matching == api::Match::default() {
            self.problem(
                at,
                "an empty match would be about all data; give at least one of regions, purposes, sourceCategories, \
                 dataCategories, dataControllers, collectionPeriod, contentPeriod",
            );
        }
        read
    }

    fn step_rule(&mut self, step: &api::RequiredStep, at: &Path<'_>) -> StepRule {
        let rule = StepRule {
            step: step.step_type.into(),
            accepted: self.words(&step.accepted_evidence, &at.field("acceptedEvidence")),
            max_list_age_days: step.max_list_age_days,
        };
        if let Some(days) = rule.max_list_age_days {
            let at = at.field("maxListAgeDays");
            if rule.step != StepType::OptOutFilter {
                self.problem(&at, "only an OptOutFilter has a list that ages; remove it");
            } else if !(1..=3650).contains(&days) {
                self.problem(&at, "write 1 to 3650 days");
            }
        }
        rule
    }

    fn trusted_image(&mut self, image: &api::TrustedImage, at: &Path<'_>) -> Option<TrustedImage> {
        let digest = image.image.split_once('@').filter(|(name, digest)| {
            !name.is_empty() && digest.strip_prefix("sha256:").is_some_and(is_sha256)
        });
        let Some((_, digest)) = digest else {
            let what = "a trusted image is known by its digest; write name@sha256:<64 hexadecimal digits>";
            self.problem(&at.field("image"), what);
            return None;
        };
        // An empty list is what a container without one has.
        let words = |list: &Option<Vec<String>>| {
            let list = list.as_ref().filter(|list| !list.is_empty());
            list.map(|list| list.iter().map(|word| word.as_str().into()).collect())
        };
        Some(TrustedImage {
            step: image.step_type.into(),
            image: image.image.as_str().into(),
            digest: digest.into(),
            command: words(&image.command),
            args: words(&image.args),
            reads_list_at_start: image.reads_list_at_start,
        })
    }
}

fn strongest(actions: EnumSet<Action>) -> Option<Action> {
    actions.iter().max()
}
