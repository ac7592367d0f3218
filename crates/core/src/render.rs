//! All prose: what an engineer reads in a rejection, what an owner reads in a status. Nothing else makes sentences.
//!
//! A text has no newline and no double quote (SDKs print it as escaped JSON), names its cause, the policy and the remedy,
//! and fits in about 240 characters: lists are cut, never the remedy.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::finding::Finding;

mod answer;
mod invalid;
mod policy;
mod text;

pub use answer::{Answer, Cause, DECISION_ID, answer, decision_id, field, refusal, stale};
pub use policy::{
    Alteration, Altered, Ready, ancestry, not_accepted, paused_regions, ready, record_not_accepted, reviews,
    summary,
};

/// At most this many characters of a user's own text.
const MAX_SHOWN: usize = 60;

/// A user's text as it may be shown: without control characters and quotes, and not too long.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (c, count) in text.chars().zip(1..) {
        if count > MAX_SHOWN {
            shown.push_str("...");
            break;
        }
        shown.push(match c {
            '"' => '\'',
            // Controls move cursors; format characters reorder or hide text (U+202E, zero width).
            c if c.is_control() || is_format(c) => '?',
            c => c,
        });
    }
    shown
}

fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What a finding says, without its field and reason.
#[must_use]
pub fn message(finding: &Finding) -> String {
    text::text(
        &finding.detail,
        finding.dataset.as_deref(),
        &finding.rule(),
        finding.deny_from,
    )
}

/// Names joined by commas, at most `max` of them.
pub(crate) fn cut<I>(names: I, max: usize) -> String
where
    I: IntoIterator,
    I::Item: std::fmt::Display,
{
    let mut text = String::new();
    let mut more = 0_usize;
    for (name, count) in names.into_iter().zip(0..) {
        if count >= max {
            more = more.saturating_add(1);
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&name.to_string());
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// An instant, as a date if it is a midnight UTC.
pub(crate) fn instant(at: Timestamp) -> String {
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    if civil.time() == jiff::civil::Time::midnight() {
        civil.date().to_string()
    } else {
        format!("{}Z", civil.strftime("%Y-%m-%dT%H:%M"))
    }
}

/// " since 2024-09-18 until further notice".
pub(crate) fn window(from: Option<Timestamp>, until: Option<Timestamp>) -> String {
    let since = from
        .map(|from| format!(" since {}", instant(from)))
        .unwrap_or_default();
    let until = until.map_or_else(
        || " until further notice".to_owned(),
        |until| format!(" until {}", instant(until)),
    );
    since + &until
}

/// "2024-05-07 to 2024-08-01".
pub(crate) fn period(start: Option<Date>, end: Option<Date>) -> Option<String> {
    match (start, end) {
        (Some(start), Some(end)) => Some(format!("{start} to {end}")),
        (Some(start), None) => Some(format!("from {start} on")),
        (None, Some(end)) => Some(format!("until {end}")),
        (None, None) => None,
    }
}
