//! Is the data paused, now or soon?

use super::{Case, Data, Findings, matches, regions};
use crate::dataset::Facts;
use crate::finding::{Because, Coming, Detail};
use crate::policy::{Match, Pause, Policy};
use crate::purpose::Purposes;
use crate::vocabulary::Action;

/// `RegionPaused`, `RegionUnknown`, `DataPaused`; and a notice of a pause to come.
pub fn check(case: &Case<'_>, policy: &Policy, data: &Data<'_>, findings: &mut Findings<'_>) {
    let Some(facts) = data.facts() else { return };
    for pause in &policy.pauses {
        let window = &pause.entry.window;
        let over = window.until.is_some_and(|until| until <= case.now);
        if over || !matches(&pause.entry.matching, facts, case.purposes, policy) {
            continue;
        }
        if window.contains(case.now) {
            findings.pause(pause, data.name(), data.at, detail(case, policy, pause, facts));
        } else if let Some(from) = window.from
            && pause.entry.actions.iter().any(|action| action >= Action::Warn)
        {
            let people = people(&pause.entry.matching, facts, policy);
            let purposes = purposes(case, &pause.entry.matching);
            findings.notice(
                &pause.entry,
                data.name(),
                from,
                Coming::Pause { people, purposes },
            );
        }
    }
}

/// The purposes by which a pause reaches the workload.
fn purposes(case: &Case<'_>, matching: &Match) -> Purposes {
    matching
        .purposes
        .map_or(Purposes::NONE, |wanted| wanted.common(case.purposes))
}

fn people(matching: &Match, facts: &Facts, policy: &Policy) -> Vec<crate::region::Region> {
    let (Some(wanted), Some(regions)) = (&matching.regions, regions(facts, policy)) else {
        return Vec::new();
    };
    regions.meeting(wanted.set()).collect()
}

fn detail(case: &Case<'_>, policy: &Policy, pause: &Pause, facts: &Facts) -> Detail {
    let (matching, window) = (&pause.entry.matching, &pause.entry.window);
    let purposes = purposes(case, matching);
    if let Some(wanted) = &matching.regions {
        return match regions(facts, policy) {
            Some(regions) if !regions.set().is_unknown() => Detail::RegionPaused {
                people: regions.meeting(wanted.set()).collect(),
                paused: wanted.meeting(regions.set()).collect(),
                purposes,
                from: window.from,
                until: window.until,
            },
            _ => Detail::RegionUnknown { pause: true },
        };
    }
    Detail::DataPaused {
        because: because(matching, facts),
        purposes,
        from: window.from,
        until: window.until,
    }
}

/// The most telling field by which a pause without regions matched.
fn because(matching: &Match, facts: &Facts) -> Because {
    if let Some(paused) = matching.collection_period {
        let said = facts.collection_period;
        return Because::Collected { said, paused };
    }
    if let Some(paused) = matching.content_period {
        let said = facts.content_period;
        return Because::Content { said, paused };
    }
    if let Some(wanted) = matching.data_categories {
        return Because::Categories(facts.categories.unwrap_or_default() & wanted);
    }
    if let Some(wanted) = &matching.data_controllers {
        let ids = facts
            .controllers
            .iter()
            .flatten()
            .filter(|id| wanted.contains(id));
        return Because::Controllers(ids.cloned().collect());
    }
    match matching.source_categories {
        Some(wanted) => Because::Sources(facts.sources.unwrap_or_default() & wanted),
        None => Because::Purpose,
    }
}
