//! What a workload says of its data: the keys under `datagate.dev/`, read and joined.
//!
//! Everything found is joined: data named anywhere is used, and a purpose named anywhere is a purpose. Nothing is ever
//! parsed out of a value but a short comma-separated list; no YAML and no JSON.

use crate::path::At;
use crate::purpose::Purposes;
use crate::region::{Region, Regions};
use crate::submission::{Carrier, Key};
use crate::text::Text;
use crate::vocabulary::StepType;

/// The prefix of our labels and annotations.
pub const PREFIX: &str = "datagate.dev/";

/// At most this many items in a list.
pub const MAX_ITEMS: usize = 64;

/// At most this many bodies of data, and this many problems told, in all lists of a workload together: each is judged by
/// each policy, and a workload may have a list in each of its containers.
pub const MAX_JOINED: usize = 256;

/// At most this many bytes in a value: 64 pinned names with room to spare.
pub const MAX_BYTES: usize = 32 * 1024;

/// The keys that exist, with their environment variables.
const KEYS: &[(&str, &str)] = &[
    (PURPOSE, "DATAGATE_PURPOSE"),
    (DATASETS, "DATAGATE_DATASETS"),
    (REGIONS, "DATAGATE_REGIONS"),
    (STEPS, "DATAGATE_STEPS"),
];

/// What the data is used for.
pub const PURPOSE: &str = "datagate.dev/purpose";
/// The records of the data.
pub const DATASETS: &str = "datagate.dev/datasets";
/// Where the people of the data live.
pub const REGIONS: &str = "datagate.dev/regions";
/// Which containers are which steps.
pub const STEPS: &str = "datagate.dev/steps";
/// On a Namespace: the purposes its workloads may have.
pub const ALLOWED_PURPOSES: &str = "datagate.dev/allowed-purposes";

/// A declaration: all keys of a workload joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared<'a> {
    /// The data it uses, each once, in the order of the names.
    pub uses: Vec<Use<'a>>,
    /// Where it says that it uses none.
    pub none: Option<At>,
    /// Its purposes; empty if it names none.
    pub purposes: Purposes,
    /// The containers it names as steps.
    pub steps: Vec<NamedStep<'a>>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// One body of data.
#[derive(Clone, Debug, PartialEq)]
pub struct Use<'a> {
    /// Which.
    pub source: Source<'a>,
    /// Where it is declared.
    pub at: At,
}

/// How a body of data is named.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Source<'a> {
    /// A record, perhaps pinned to a digest of 64 hexadecimal digits.
    Record { name: &'a str, pin: Option<&'a str> },
    /// Only where its people live.
    Regions(Regions),
}

/// A container, task or job that the workload says is a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedStep<'a> {
    /// Which step.
    pub step: StepType,
    /// Its name in the workload.
    pub name: &'a str,
    /// Where it is declared.
    pub at: At,
}

/// Something in a declaration that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// What.
    pub what: Invalid,
}

/// What cannot be read in a declaration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "a variant's doc says what its fields are")]
pub enum Invalid {
    /// There is no such key.
    UnknownKey {
        key: String,
        suggestion: Option<&'static str>,
    },
    /// It is no literal (`valueFrom`).
    NotLiteral { key: &'static str },
    /// Nothing is in it.
    Empty { key: &'static str },
    /// Two commas with nothing between, or one at an end.
    EmptyItem { key: &'static str },
    /// More than `MAX_ITEMS`.
    TooMany { key: &'static str, count: usize },
    /// More than `MAX_JOINED` in all lists together.
    TooManyJoined { count: usize },
    /// More than `MAX_BYTES`.
    TooLong { key: &'static str, bytes: usize },
    /// No name that a DatasetRecord can have.
    NotAName { given: String },
    /// The part behind `@` is no digest.
    NotADigest { given: String },
    /// `none` beside names or regions.
    NoneBesideData,
    /// No purpose.
    NotAPurpose {
        given: String,
        suggestion: Option<&'static str>,
    },
    /// Not `StepType=name`.
    NotAStep {
        given: String,
        suggestion: Option<&'static str>,
    },
    /// One record pinned to two digests.
    TwoPins { name: String },
    /// No region code; told as `RegionInvalid`.
    Region { message: String },
}

/// The key for which an environment variable stands: `datagate.dev/datasets` for `DATAGATE_DATASETS`. A near miss of one
/// of ours is passed on under its own name, so that a typo is told; any other `DATAGATE_` variable is somebody's own (our
/// server has some).
#[must_use]
pub fn env_key<'a>(variable: &Text<'a>) -> Option<Text<'a>> {
    if !variable.starts_with("DATAGATE_") {
        return None;
    }
    match KEYS.iter().find(|(_, ours)| *ours == variable.as_str()) {
        Some((key, _)) => Some((*key).into()),
        None => KEYS
            .iter()
            .any(|(_, ours)| is_near(variable, ours))
            .then(|| variable.clone()),
    }
}

impl<'a> Declared<'a> {
    /// Reads and joins keys.
    #[must_use]
    pub fn read(keys: impl IntoIterator<Item = &'a Key<'a>>) -> Self {
        let mut declared = Self::default();
        for key in keys {
            declared.read_key(key);
        }
        declared.settle();
        declared
    }

    /// Whether it says anything of its data, readable or not.
    #[must_use]
    pub fn names_data(&self) -> bool {
        !self.uses.is_empty() || self.none.is_some()
    }

    /// Joins another declaration: the root's, or the namespace's defaults.
    pub fn join(&mut self, other: Self) {
        self.uses.extend(other.uses);
        self.none = self.none.or(other.none);
        self.purposes = self.purposes.union(other.purposes);
        self.steps.extend(other.steps);
        self.problems.extend(other.problems);
        self.settle();
    }

    /// Brings the parts into one order whatever the order they were written in, each once.
    fn settle(&mut self) {
        let rank = |it: &Use<'a>| match &it.source {
            Source::Record { name, pin } => (0, *name, *pin),
            Source::Regions(_) => (1, "", None),
        };
        self.uses.sort_by(|a, b| rank(a).cmp(&rank(b)));
        self.uses.dedup_by(|b, a| match (&a.source, &mut b.source) {
            (Source::Record { name, pin: None }, Source::Record { name: other, pin }) if name == other => {
                // The pinned mention says more.
                a.source = Source::Record {
                    name,
                    pin: pin.take(),
                };
                true
            }
            (a, b) => a == b,
        });
        let twice = self.uses.windows(2).filter_map(|pair| match pair {
            [
                Use {
                    source: Source::Record { name, .. },
                    ..
                },
                Use {
                    source: Source::Record { name: other, .. },
                    at,
                },
            ] if name == other => Some(Problem {
                at: *at,
                what: Invalid::TwoPins {
                    name: (*name).to_owned(),
                },
            }),
            _ => None,
        });
        let twice: Vec<_> = twice.collect();
        self.problems.extend(twice);
        if let Some(at) = self.none.filter(|_| !self.uses.is_empty()) {
            self.problems.push(Problem {
                at,
                what: Invalid::NoneBesideData,
            });
        }
        if let Some(over) = self.uses.get(MAX_JOINED) {
            let what = Invalid::TooManyJoined {
                count: self.uses.len(),
            };
            self.problems.push(Problem { at: over.at, what });
            // The rest is not judged: each policy refuses the workload for this as hard as it refuses anything.
            self.uses.truncate(MAX_JOINED);
        }
        self.problems
            .sort_by(|a, b| (&a.what, a.at).cmp(&(&b.what, b.at)));
        self.problems.dedup();
        self.bound_problems();
    }

    /// Keeps enough problems to be told; that data was left out is always one of them.
    fn bound_problems(&mut self) {
        let mut kept = 0_usize;
        self.problems.retain(|problem| {
            kept = kept.saturating_add(1);
            kept <= MAX_JOINED || matches!(problem.what, Invalid::TooManyJoined { .. })
        });
    }

    fn problem(&mut self, at: At, what: Invalid) {
        self.problems.push(Problem { at, what });
    }

    fn read_key(&mut self, key: &'a Key<'a>) {
        let Some((name, _)) = KEYS.iter().find(|(known, _)| *known == key.name.as_str()) else {
            let words = KEYS.iter().map(|(name, variable)| {
                if key.carrier == Carrier::Env {
                    *variable
                } else {
                    *name
                }
            });
            let suggestion = nearest(&key.name, words);
            return self.problem(
                key.at,
                Invalid::UnknownKey {
                    key: shorten(&key.name),
                    suggestion,
                },
            );
        };
        let Some(value) = &key.value else {
            return self.problem(key.at, Invalid::NotLiteral { key: name });
        };
        if value.len() > MAX_BYTES {
            return self.problem(
                key.at,
                Invalid::TooLong {
                    key: name,
                    bytes: value.len(),
                },
            );
        }
        if value.trim_ascii().is_empty() {
            return self.problem(key.at, Invalid::Empty { key: name });
        }
        match *name {
            PURPOSE => self.purpose(value.trim_ascii(), key.at),
            DATASETS => self.datasets(value, key.at),
            REGIONS => self.regions(value, key.at),
            _ => self.named_steps(value, key.at),
        }
    }

    fn items(&mut self, key: &'static str, value: &'a str, at: At) -> Vec<&'a str> {
        let items: Vec<&str> = value.split(',').map(str::trim_ascii).collect();
        if items.len() > MAX_ITEMS {
            self.problem(
                at,
                Invalid::TooMany {
                    key,
                    count: items.len(),
                },
            );
        }
        if items.iter().any(|item| item.is_empty()) {
            self.problem(at, Invalid::EmptyItem { key });
        }
        items
            .into_iter()
            .filter(|item| !item.is_empty())
            .take(MAX_ITEMS)
            .collect()
    }

    fn purpose(&mut self, value: &str, at: At) {
        match value.parse::<Purposes>() {
            Ok(purposes) => self.purposes = self.purposes.union(purposes),
            Err(_) => {
                let suggestion = nearest(value, Purposes::WORDS.iter().copied());
                self.problem(
                    at,
                    Invalid::NotAPurpose {
                        given: shorten(value),
                        suggestion,
                    },
                );
            }
        }
    }

    fn datasets(&mut self, value: &'a str, at: At) {
        for item in self.items(DATASETS, value, at) {
            if item == "none" {
                self.none = Some(at);
                continue;
            }
            let (name, pin) = match item.split_once('@') {
                None => (item, None),
                Some((name, pin)) => match pin.strip_prefix("sha256:").filter(|hex| is_sha256(hex)) {
                    Some(hex) => (name, Some(hex)),
                    None => {
                        self.problem(at, Invalid::NotADigest { given: shorten(item) });
                        (name, None)
                    }
                },
            };
            if is_record_name(name) {
                self.uses.push(Use {
                    source: Source::Record { name, pin },
                    at,
                });
            } else {
                self.problem(at, Invalid::NotAName { given: shorten(name) });
            }
        }
    }

    fn regions(&mut self, value: &'a str, at: At) {
        let mut regions: Vec<Region> = Vec::new();
        for item in self.items(REGIONS, value, at) {
            match Region::parse_people(item) {
                Ok(region) => regions.push(region),
                Err(error) => self.problem(
                    at,
                    Invalid::Region {
                        message: error.to_string(),
                    },
                ),
            }
        }
        if !regions.is_empty() {
            self.uses.push(Use {
                source: Source::Regions(regions.into_iter().collect()),
                at,
            });
        }
    }

    fn named_steps(&mut self, value: &'a str, at: At) {
        for item in self.items(STEPS, value, at) {
            let (step, name) = item.split_once('=').unwrap_or((item, ""));
            match (step.trim_ascii().parse::<StepType>(), name.trim_ascii()) {
                (Ok(step), name) if !name.is_empty() => self.steps.push(NamedStep { step, name, at }),
                _ => {
                    let suggestion = nearest(step, StepType::ALL.iter().map(|step| step.as_str()));
                    self.problem(
                        at,
                        Invalid::NotAStep {
                            given: shorten(item),
                            suggestion,
                        },
                    );
                }
            }
        }
    }
}

/// Whether the text can be the name of a cluster-scoped object: a DNS subdomain (RFC 1123).
fn is_record_name(name: &str) -> bool {
    let label = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(inner)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether the text is a SHA-256 digest in lower-case hexadecimal.
#[must_use]
pub fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether a word was probably meant: a typo in three letters or more, at most three typos. What all keys begin with
/// says nothing about that.
fn is_near(given: &str, word: &str) -> bool {
    let prefix = [PREFIX, "DATAGATE_"]
        .into_iter()
        .find(|it| word.starts_with(it))
        .unwrap_or_default();
    let own = word.len().saturating_sub(prefix.len());
    // Distances are quadratic in length, so nothing long is compared.
    given.len() <= 64
        && strsim::damerau_levenshtein(&given.to_lowercase(), &word.to_lowercase()) <= (own / 3).clamp(1, 3)
}

/// The word that was probably meant.
fn nearest(given: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    words
        .filter(|word| is_near(given, word))
        .min_by_key(|word| strsim::damerau_levenshtein(&given.to_lowercase(), &word.to_lowercase()))
}

/// User text cut to what a message can carry.
fn shorten(text: &str) -> String {
    crate::render::shown(text)
}
