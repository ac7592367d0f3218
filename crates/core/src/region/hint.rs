//! What may be meant by a text that is no region. Hints are for people; nothing is ever decided by one.

use std::fmt;

use super::names::{ALIASES, CLOUD_REGIONS, MACRO_REGIONS, RETIRED};
use super::{Country, Region, Subdivision, exact};

/// What may be meant by a text that is no region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hint {
    /// Most likely this.
    Write(Region),
    /// The name of a place where computers stand, in this country.
    Cloud(Country),
    /// Europe, in some sense.
    EuOrEea,
    /// A part of the world that is no legal regime.
    EachCountry,
}

/// The longest text that is repeated in a message, in characters.
const LONGEST: usize = 32;

/// What may be meant.
pub(super) fn of(text: &str) -> Option<Hint> {
    // Longer than any name of the tables: not worth folding.
    if text.len() > 64 {
        return None;
    }
    let plain = text.trim();
    let lower = plain.to_ascii_lowercase().replace('_', "-");
    let upper = lower.to_ascii_uppercase();
    if let Some(country) = cloud(&lower) {
        return Some(Hint::Cloud(country));
    }
    match upper.as_str() {
        "UNKNOWN" => return Some(Hint::Write(Region::Unknown)),
        "WORLD" => return Some(Hint::Write(Region::World)),
        _ => {}
    }
    if let Some(region) = exact(&upper).or_else(|| retired(&upper)) {
        return Some(Hint::Write(region));
    }
    // Names come with hyphens, full stops and articles.
    let name = lower.replace('-', " ").replace('.', "");
    let name = name.strip_prefix("the ").unwrap_or(&name);
    if let Some(country) = Country::from_alpha3(&name.to_ascii_uppercase()) {
        return Some(Hint::Write(country.into()));
    }
    if let Some((_, code)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return exact(code).map(Hint::Write);
    }
    if let Some(country) = Country::from_name(name).or_else(|| Country::from_name(&lower)) {
        return Some(Hint::Write(country.into()));
    }
    let (_, hint) = MACRO_REGIONS.iter().find(|(known, _)| *known == name)?;
    Some(*hint)
}

/// The text after "... is".
pub(super) fn what(hint: &Option<Hint>) -> impl fmt::Display {
    struct What(Option<Hint>);
    impl fmt::Display for What {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Some(Hint::Write(region)) => write!(f, "not an ISO 3166 code; write {region}"),
                Some(Hint::Cloud(country)) => {
                    write!(
                        f,
                        "a cloud region; write where the people live, for example {}",
                        country.code()
                    )
                }
                Some(Hint::EuOrEea) => f.write_str("not an ISO 3166 code; write EU or EEA, or each country"),
                Some(Hint::EachCountry) => f.write_str(
                    "not an ISO 3166 code; write each country, for example DE, or a group: EU, EEA, EFTA",
                ),
                None => f.write_str("not an ISO 3166 code; write for example DE, US-CA, EU or EEA"),
            }
        }
    }
    What(*hint)
}

/// The text as a message may repeat it: short, on one line, without double quotes, and with every character that
/// could pass for another one spelt out.
pub(super) fn printable(text: &str) -> Box<str> {
    let mut out = String::with_capacity(LONGEST + 8);
    for (i, c) in text.chars().enumerate() {
        if i == LONGEST {
            out.push_str("...");
            break;
        }
        match c {
            '"' => out.push('\''),
            ' '..='~' => out.push(c),
            // Latin letters with accents, as in names of countries.
            '\u{c0}'..='\u{24f}' => out.push(c),
            _ => out.push_str(&format!("<U+{:04X}>", u32::from(c))),
        }
    }
    out.into()
}

/// Codes that are reserved, withdrawn, or used by others instead of the standard's.
fn retired(upper: &str) -> Option<Region> {
    if let Some((_, code)) = RETIRED.iter().find(|(old, _)| *old == upper) {
        return exact(code);
    }
    let (country, rest) = upper.split_once('-')?;
    let (_, code) = RETIRED.iter().find(|(old, _)| *old == country)?;
    Subdivision::parse(&format!("{code}-{rest}")).map(Region::Subdivision)
}

/// The country of a cloud region or zone: `eu-west-1`, `eu-west-1b`, `us-central1-a`, `westeurope`.
fn cloud(lower: &str) -> Option<Country> {
    let known = |name: &str| {
        CLOUD_REGIONS
            .iter()
            .find(|(region, _)| *region == name)
            .map(|(_, code)| *code)
    };
    let zone = |name: &str| {
        let region = name.strip_suffix(|c: char| c.is_ascii_lowercase())?;
        let region = region.strip_suffix('-').unwrap_or(region);
        if region.ends_with(|c: char| c.is_ascii_digit()) {
            known(region)
        } else {
            None
        }
    };
    known(lower)
        .or_else(|| zone(lower))
        .or_else(|| known(&lower.replace(' ', "")))
        .and_then(Country::from_code)
}
