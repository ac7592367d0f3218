//! The words for a declaration that cannot be read: what is wrong with it, and what to write instead.

use super::shown;
use crate::declaration::Invalid;
use crate::purpose::Purposes;

/// What is wrong with a declaration.
pub(super) fn cause(invalid: &Invalid) -> String {
    match invalid {
        Invalid::UnknownKey { key, .. } => format!("unknown key {key}"),
        Invalid::NotLiteral { key } => format!("{key} comes from elsewhere (valueFrom)"),
        Invalid::Empty { key } => format!("{key} is empty"),
        Invalid::EmptyItem { key } => format!("{key} has an empty item"),
        Invalid::TooMany { key, count } => format!("{key} has {count} items"),
        Invalid::TooManyJoined { count } => {
            format!("{count} bodies of data are declared in all lists together")
        }
        Invalid::TooLong { key, bytes } => format!("{key} has {bytes} bytes"),
        Invalid::NotAName { given } => format!("{given} is no record name"),
        Invalid::NotADigest { given } => format!("{given} is not name@sha256:64 hex digits"),
        Invalid::NoneBesideData => "none stands beside data".to_owned(),
        Invalid::NotAPurpose { given, .. } => format!("{given} is not a purpose"),
        Invalid::NotAStep { given, .. } => format!("{given} is not StepType=container"),
        Invalid::TwoPins { name } => format!("{} is pinned to two digests", shown(name)),
        Invalid::Region { message } => message.clone(),
    }
}

/// What to write instead.
pub(super) fn correction(invalid: &Invalid) -> String {
    match invalid {
        Invalid::UnknownKey {
            suggestion: Some(word),
            ..
        }
        | Invalid::NotAPurpose {
            suggestion: Some(word),
            ..
        } => {
            format!("Did you mean {word}?")
        }
        Invalid::UnknownKey { .. } => "Known: purpose, datasets, regions, steps".to_owned(),
        Invalid::NotAPurpose { .. } => format!("Write one of {}", Purposes::WORDS.join(", ")),
        Invalid::NotAStep {
            suggestion: Some(word),
            ..
        } => format!("Did you mean {word}=CONTAINER?"),
        Invalid::NotAStep { .. } => "Write for example OptOutFilter=opt-out".to_owned(),
        Invalid::NotLiteral { .. } => "Write the value out".to_owned(),
        Invalid::Empty { .. } => "Write record names, or none".to_owned(),
        Invalid::EmptyItem { .. } => "Remove the extra comma".to_owned(),
        Invalid::TooMany { .. } => format!(
            "At most {} are allowed: catalogue them as one record",
            crate::declaration::MAX_ITEMS
        ),
        Invalid::TooManyJoined { .. } => {
            format!(
                "At most {} are allowed: catalogue them as fewer records",
                crate::declaration::MAX_JOINED
            )
        }
        Invalid::TooLong { .. } => format!("At most {} are allowed", crate::declaration::MAX_BYTES),
        Invalid::NotAName { .. } => "Write names as kubectl get dsr shows them".to_owned(),
        Invalid::NotADigest { .. } => "Write the digest the record shows, or leave it out".to_owned(),
        Invalid::NoneBesideData => "Remove none, or the data".to_owned(),
        Invalid::TwoPins { .. } => "Keep the digest that is used".to_owned(),
        Invalid::Region { .. } => String::new(),
    }
}
