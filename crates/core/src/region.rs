//! Regions: where the *people a body of data is about* live. Never where data is stored or a node runs.
//!
//! A region is a code of ISO 3166-1 alpha-2, a subdivision of ISO 3166-2, or one of the groups `EU`, `EEA` and
//! `EFTA`. Groups are read as legal regimes: the EU's data protection law applies in the outermost regions that have a
//! code of their own (Réunion), and not in overseas countries (New Caledonia). A record may also say `Unknown` or
//! `World`, which meet every region.
//!
//! What is no code is refused with what to write instead: a rule for `UK` that matched nobody would be worse than none.

mod bits;
mod country;
mod hint;
mod list;
mod names;
mod set;

use std::fmt;
use std::str::FromStr;

pub use country::Country;
pub use hint::Hint;
pub use list::Regions;
pub use set::RegionSet;

use bits::Bits;
use country::bits_of;

/// One region as it is written.
///
/// The order is that of the written codes, so that lists read well: `CH`, `EEA`, `GB`, `US`, `US-IL`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// A country or territory: `DE`, `GB`, `XK`.
    Country(Country),
    /// A part of a country: `US-CA`, `GB-SCT`.
    Subdivision(Subdivision),
    /// Countries under one legal regime.
    Group(Group),
    /// It is not known where the people live. Only on records.
    Unknown,
    /// People from anywhere. Only on records.
    World,
}

/// A part of a country: its code in ISO 3166-2. The country is checked, the rest by its form only, because
/// subdivisions change every year and a wrong one still meets its country.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subdivision {
    country: Country,
    /// One to three capitals or digits; zero where there is none.
    suffix: [u8; 3],
}

/// Countries under one legal regime.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Group {
    /// The European Union with the outermost regions and territories where its law applies directly: 34 codes.
    Eu,
    /// The European Economic Area: the European Union, Iceland, Liechtenstein and Norway: 37 codes.
    Eea,
    /// The European Free Trade Association: Iceland, Liechtenstein, Norway and Switzerland.
    Efta,
}

/// Why a text is no region.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegionError {
    /// Nothing is written.
    #[error("a region is empty; write an ISO 3166 code, for example DE")]
    Empty,
    /// It is no code.
    #[error("{given} is {}", hint::what(.hint))]
    NotACode {
        /// What is written, made fit to print.
        given: Box<str>,
        /// What may be meant.
        hint: Option<Hint>,
    },
    /// `Unknown` or `World` where only codes count.
    #[error("{0} is for DatasetRecords only; write ISO 3166 codes or a group, for example DE or EEA")]
    RecordsOnly(Region),
}

impl Region {
    /// Reads a region of a policy or of a workload, where `Unknown` and `World` say nothing.
    pub fn parse_people(text: &str) -> Result<Self, RegionError> {
        match text.parse() {
            Ok(region @ (Self::Unknown | Self::World)) => Err(RegionError::RecordsOnly(region)),
            // A hint must not lead to the next error.
            Err(RegionError::NotACode {
                given,
                hint: Some(Hint::Write(Self::Unknown | Self::World)),
            }) => Err(RegionError::NotACode {
                given,
                hint: Some(Hint::EachCountry),
            }),
            other => other,
        }
    }

    /// The codes as a sort key and as text: at most seven bytes, filled with zeros.
    fn text(self) -> [u8; 7] {
        let mut text = [0; 7];
        let (head, tail) = match self {
            Self::Country(country) => (country.code(), [0; 3]),
            Self::Subdivision(part) => (part.country.code(), part.suffix),
            Self::Group(group) => (group.code(), [0; 3]),
            Self::Unknown => ("Unknown", [0; 3]),
            Self::World => ("World", [0; 3]),
        };
        let hyphen = matches!(self, Self::Subdivision(_)).then_some(b'-');
        let bytes = head
            .bytes()
            .chain(hyphen)
            .chain(tail.into_iter().filter(|byte| *byte != 0));
        for (place, byte) in text.iter_mut().zip(bytes) {
            *place = byte;
        }
        text
    }
}

impl Subdivision {
    /// The country it is a part of.
    pub fn country(self) -> Country {
        self.country
    }

    fn parse(text: &str) -> Option<Self> {
        let (country, rest) = text.split_once('-')?;
        let suffix = match *rest.as_bytes() {
            [a] => [a, 0, 0],
            [a, b] => [a, b, 0],
            [a, b, c] => [a, b, c],
            _ => return None,
        };
        let fits = rest
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let country = Country::from_code(country)?;
        fits.then_some(Self { country, suffix })
    }

    /// The country's row above the suffix: sorts by country.
    fn packed(self) -> u32 {
        let [a, b, c] = self.suffix;
        u32::from_be_bytes([self.country.row(), a, b, c])
    }

    fn unpacked(packed: u32) -> Option<Self> {
        let [row, a, b, c] = packed.to_be_bytes();
        Some(Self {
            country: Country::from_row(usize::from(row))?,
            suffix: [a, b, c],
        })
    }
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 3] = [Self::Eu, Self::Eea, Self::Efta];

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Eu => "EU",
            Self::Eea => "EEA",
            Self::Efta => "EFTA",
        }
    }

    /// Its countries, in the order of their codes.
    pub fn countries(self) -> impl Iterator<Item = Country> {
        self.bits().countries()
    }

    fn bits(self) -> Bits {
        const EU: Bits = bits_of(&EU_CODES);
        const EEA: Bits = bits_of(&EEA_CODES);
        const EFTA: Bits = bits_of(&EFTA_CODES);
        match self {
            Self::Eu => EU,
            Self::Eea => EEA,
            Self::Efta => EFTA,
        }
    }
}

impl RegionError {
    /// The code to write instead, where there is exactly one.
    pub fn hint(&self) -> Option<Region> {
        match self {
            Self::NotACode {
                hint: Some(Hint::Write(region)),
                ..
            } => Some(*region),
            _ => None,
        }
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        match exact(text) {
            Some(region) => Ok(region),
            None if text.trim().is_empty() => Err(RegionError::Empty),
            None => Err(RegionError::NotACode {
                given: hint::printable(text),
                hint: hint::of(text),
            }),
        }
    }
}

impl Ord for Region {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text().cmp(&other.text())
    }
}

impl PartialOrd for Region {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let written = text.split(|byte| *byte == 0).next().unwrap_or_default();
        f.pad(std::str::from_utf8(written).unwrap_or_default())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Region::Subdivision(*self), f)
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Country> for Region {
    fn from(country: Country) -> Self {
        Self::Country(country)
    }
}

impl From<Group> for Region {
    fn from(group: Group) -> Self {
        Self::Group(group)
    }
}

/// The two-letter codes of all countries, sorted.
pub fn codes() -> impl Iterator<Item = &'static str> {
    Country::all().map(Country::code)
}

/// The groups with their codes.
pub fn groups() -> impl Iterator<Item = (&'static str, Group)> {
    Group::ALL.into_iter().map(|group| (group.code(), group))
}

/// What is written, letter for letter: no trimming, no folding, so that two texts never mean one region.
fn exact(text: &str) -> Option<Region> {
    match text {
        "Unknown" => Some(Region::Unknown),
        "World" => Some(Region::World),
        "EU" => Some(Region::Group(Group::Eu)),
        "EEA" => Some(Region::Group(Group::Eea)),
        "EFTA" => Some(Region::Group(Group::Efta)),
        _ => Country::from_code(text)
            .map(Region::Country)
            .or_else(|| Subdivision::parse(text).map(Region::Subdivision)),
    }
}

#[rustfmt::skip]
const EU_CODES: [&str; 34] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    // Parts of Finland and France with a code of their own where the law of the Union applies directly.
    "AX", "GF", "GP", "MF", "MQ", "RE", "YT",
];

#[rustfmt::skip]
const EEA_CODES: [&str; 37] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    "AX", "GF", "GP", "MF", "MQ", "RE", "YT",
    "IS", "LI", "NO",
];

const EFTA_CODES: [&str; 4] = ["CH", "IS", "LI", "NO"];

#[cfg(test)]
mod tests;
