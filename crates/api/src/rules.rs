//! The rules that the API server itself keeps, as CEL: what the types cannot say, with words that help.
//!
//! The API server bounds the cost of each rule by the bounds of the lists around it, so every one of them is measured on
//! a real server. `convert` refuses the same things again, because a CRD may be edited or old.

pub(crate) mod tighten;

use datagate_core::region::{self, Region};
use kube::core::{Message, Rule};

/// A label of the domain name system: names of entries, ids.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A name of a cluster-scoped object.
pub(crate) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Identifiers of legal bases: `A6-1-f`, `LGPD-7-IX`.
pub(crate) const IDENTIFIER: &str = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$";
/// Anything with a scheme.
pub(crate) const URI: &str = r"^[a-z][a-z0-9+.-]*:[^\s]+$";
/// An image with its digest. No backslash: it is a string of CEL too.
pub(crate) const PINNED_IMAGE: &str = "^[^@ ]+@sha256:[0-9a-f]{64}$";

/// RFC 3339 with seconds, at most nanoseconds, and an offset of less than a day.
pub(crate) const INSTANT: &str = concat!(
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?",
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);

/// What people write most often instead of a code. The hint is the core's, so both say the same.
const COMMON: [&str; 23] = [
    "UK",
    "uk",
    "el",
    "usa",
    "EL",
    "USA",
    "GBR",
    "DEU",
    "FRA",
    "CHE",
    "CAN",
    "AUS",
    "IRL",
    "Germany",
    "France",
    "Ireland",
    "Switzerland",
    "Norway",
    "Canada",
    "England",
    "Scotland",
    "California",
    "EU27",
];

/// A region is a code; `also` are words that may stand in its place.
pub(crate) fn region_code(also: &[&str]) -> Rule {
    let words = list(region::groups().map(|(code, _)| code).chain(also.iter().copied()));
    let codes = list(region::codes());
    let hints = COMMON.into_iter().filter_map(|given| {
        let code = Region::parse_people(given).err()?.hint()?;
        Some(format!("'{given}': '{code}'"))
    });
    let hints = hints.collect::<Vec<_>>().join(", ");
    let rule = format!(
        "self in {words} || (self.matches('^[A-Z]{{2}}(-[A-Z0-9]{{1,3}})?$') && self.substring(0, 2) in {codes})"
    );
    let (open, example) = match also {
        [] => (
            "self in ['Unknown', 'World'] ? 'for DatasetRecords only; write codes or a group, for example \"DE\", \"EEA\"' : ",
            "\"EU\", \"EEA\"",
        ),
        _ => ("", "\"EEA\", \"Unknown\""),
    };
    let message = format!(
        concat!(
            "'\"' + self + '\" is ' + (",
            "self in {{{hints}}} ? 'not an ISO 3166 code; write \"' + {{{hints}}}[self] + '\"' : ",
            "{open}",
            "self in ['Europe', 'EUROPE', 'europe'] ? 'not an ISO 3166 code; write \"EU\" or \"EEA\"' : ",
            "self.matches('^[a-z]{{2}}(-[a-z0-9]{{1,3}})?$|^(eu|eea|efta)$') ? ",
            "'not an ISO 3166 code; codes are in capitals: write \"' + self.upperAscii() + '\"' : ",
            "self.matches('^[a-z]+-[a-z-]*[0-9]|^[a-z]*(north|south|east|west|central)[a-z]*[0-9]*$') ? ",
            "'a cloud region; write where the people live, for example \"IE\"' : ",
            "'not an ISO 3166 code; write for example \"DE\", \"US-CA\", {example}')",
        ),
        hints = hints,
        open = open,
        example = example,
    );
    Rule::new(rule).message(Message::Expression(message))
}

/// An end that is not after its start.
pub(crate) fn until_after_from() -> Rule {
    Rule::new(
        "!has(self.effectiveFrom) || !has(self.effectiveUntil) || self.effectiveFrom < self.effectiveUntil",
    )
    .message("effectiveUntil must be after effectiveFrom; the entry would never hold")
    .field_path(".effectiveUntil")
}

/// The end of time is written by saying nothing; the last days of the year 9999 are beyond what programs can hold.
pub(crate) fn not_for_ever() -> Rule {
    Rule::new("self < timestamp('9999-01-01T00:00:00Z')")
        .message("too far away; leave the field out to say that there is no end")
}

/// `Deny` with `Warn`.
pub(crate) fn not_deny_with_warn() -> Rule {
    Rule::new("!has(self.validationActions) || !('Deny' in self.validationActions && 'Warn' in self.validationActions)")
        .message("Deny and Warn exclude each other, since a refusal says it all; keep one of them")
        .field_path(".validationActions")
}

/// The actions of an entry are at most as strong as those of the policy.
pub(crate) fn only_weaker(entries: &str) -> Rule {
    let stronger = "has(e.validationActions) && \
                    (('Deny' in e.validationActions && !('Deny' in self.validationActions)) || \
                    ('Warn' in e.validationActions && !('Deny' in self.validationActions) && !('Warn' in self.validationActions)))";
    Rule::new(format!("!has(self.{entries}) || !self.{entries}.exists(e, {stronger})"))
        .message(Message::Expression(format!(
            "'validationActions of ' + self.{entries}.map(e, {stronger}, e.name)[0] + \
             ' are stronger than those of the policy; an entry may only weaken them (Deny, then Warn, then Audit)'"
        )))
        .field_path(format!(".{entries}"))
}

/// Regions are the heart of a record.
pub(crate) fn regions_unless_absent() -> Rule {
    Rule::new("self.personalData == 'Absent' || (has(self.dataSubjects) && has(self.dataSubjects.regions))")
        .message(
            "say where the people live: dataSubjects.regions, or [\"Unknown\"]; only personalData: Absent goes without",
        )
        .reason(kube::core::Reason::FieldValueRequired)
        .field_path(".dataSubjects")
}

/// A list of strings in CEL.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(|word| format!("'{word}'")).collect();
    format!("[{}]", words.join(", "))
}
