//! What a policy's status says of it.

use jiff::Timestamp;

use super::{cut, window};
use crate::policy::{Entry, Match, Policy};
use crate::region::Region;
use crate::vocabulary::Action;

/// One sentence for each entry that is in effect or to come, capped.
#[must_use]
pub fn summary(policy: &Policy, now: Timestamp) -> String {
    let current = |entry: &Entry| entry.window.until.is_none_or(|until| now < until);
    let pauses = policy
        .pauses
        .iter()
        .filter(|pause| current(&pause.entry))
        .map(|pause| {
            let when = window(pause.entry.window.from, pause.entry.window.until);
            sentence(&format!(
                "{}: no {}",
                capital(when.trim_start()),
                about(&pause.entry.matching)
            ))
        });
    let requirements = policy
        .requirements
        .iter()
        .filter(|it| current(&it.entry))
        .map(|it| {
            let mut needs: Vec<String> = it.steps.iter().map(|rule| rule.step.to_string()).collect();
            needs.extend(
                it.allowed_regions
                    .as_ref()
                    .map(|regions| format!("people in {} only", cut(regions.written(), 6))),
            );
            needs.extend(it.minimum_age.map(|age| format!("people of {age} and over")));
            needs.extend(
                (!it.excluded_categories.is_empty())
                    .then(|| format!("no {}", cut(it.excluded_categories, 4))),
            );
            needs.extend(
                it.legal_bases
                    .as_ref()
                    .map(|bases| format!("a legal basis among {}", cut(bases.iter(), 6))),
            );
            let needs = if needs.is_empty() {
                "nothing".to_owned()
            } else {
                needs.join("; ")
            };
            sentence(&format!("{} needs {needs}", capital(&about(&it.entry.matching))))
        });
    let sentences: Vec<String> = pauses.chain(requirements).collect();
    if sentences.is_empty() {
        return "No pause and no requirement is in effect or to come.".to_owned();
    }
    let mut text = sentences
        .iter()
        .take(4)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    if sentences.len() > 4 {
        text.push_str(&format!(" And {} more.", sentences.len().saturating_sub(4)));
    }
    match policy
        .deny_from
        .filter(|from| now < *from && policy.actions.contains(Action::Deny))
    {
        Some(from) => format!("Warns until {}, then refuses. {text}", super::instant(from)),
        None => text,
    }
}

/// The regions that are paused now, as the policy writes them.
#[must_use]
pub fn paused_regions(policy: &Policy, now: Timestamp) -> Vec<Region> {
    let in_effect = policy
        .pauses
        .iter()
        .filter(|pause| pause.entry.window.contains(now));
    let written = in_effect.filter_map(|pause| pause.entry.matching.regions.as_ref());
    let mut regions: Vec<Region> = written
        .flat_map(|regions| regions.written().iter().copied())
        .collect();
    regions.sort();
    regions.dedup();
    regions
}

/// "GenerativeAITraining on UserData of people in EEA, GB, CH".
fn about(matching: &Match) -> String {
    let mut text = matching
        .purposes
        .map_or_else(|| "use".to_owned(), |purposes| purposes.to_string());
    let sources = matching
        .source_categories
        .map(|set| cut(set, 4))
        .unwrap_or_else(|| "data".to_owned());
    text.push_str(&format!(" on {sources}"));
    if let Some(categories) = matching.data_categories {
        text.push_str(&format!(" with {}", cut(categories, 4)));
    }
    if let Some(regions) = &matching.regions {
        text.push_str(&format!(
            " of people in {}",
            cut(regions.written().iter().map(|it| region(*it)), 8)
        ));
    }
    if let Some(ids) = &matching.data_controllers {
        text.push_str(&format!(" of {}", cut(ids.iter().map(|id| super::shown(id)), 3)));
    }
    if let Some(period) = matching
        .collection_period
        .and_then(|it| super::period(it.start, it.end))
    {
        text.push_str(&format!(" collected {period}"));
    }
    if let Some(period) = matching
        .content_period
        .and_then(|it| super::period(it.start, it.end))
    {
        text.push_str(&format!(" about {period}"));
    }
    text
}

fn region(region: Region) -> String {
    match region {
        Region::Group(group) => format!("{region} ({} codes)", group.countries().count()),
        _ => region.to_string(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn sentence(text: &str) -> String {
    format!("{text}.")
}
