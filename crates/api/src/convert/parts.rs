//! What policies and records have in common, and the list of problems found on the way.

use std::collections::HashSet;

use datagate_core::policy;
use datagate_core::purpose::Purposes;
use datagate_core::region::{Region, RegionError, Regions};
use datagate_core::selector::{LabelRequirement, Operator, Selector};
use enumset::{EnumSet, EnumSetType};

use super::path::Path;
use super::{Invalid, Problem};
use crate::v1alpha1::{LabelSelector, Period, Purpose, SelectorOperator};

/// Reads an object and remembers what is wrong with it. What cannot be read is given a value that is never used,
/// because [`Reader::finish`] gives nothing out then.
#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    /// What was read, unless something was wrong.
    pub(super) fn finish<T>(self, read: T) -> Result<T, Invalid> {
        if self.problems.is_empty() {
            Ok(read)
        } else {
            Err(Invalid {
                problems: self.problems,
            })
        }
    }

    pub(super) fn problem(&mut self, at: &Path<'_>, what: impl Into<Box<str>>) {
        self.problems.push(Problem {
            field: at.to_string().into(),
            what: what.into(),
        });
    }

    /// A list that is given must say something.
    pub(super) fn filled<T>(&mut self, list: &[T], at: &Path<'_>) {
        if list.is_empty() {
            self.problem(
                at,
                "the list is empty; give at least one item or leave the field out",
            );
        }
    }

    pub(super) fn words<A, C>(&mut self, words: &[A], at: &Path<'_>) -> EnumSet<C>
    where
        A: Copy + Into<C>,
        C: EnumSetType,
    {
        self.filled(words, at);
        words.iter().map(|word| (*word).into()).collect()
    }

    pub(super) fn purposes(&mut self, words: &[Purpose], at: &Path<'_>) -> Purposes {
        self.filled(words, at);
        words.iter().map(|word| Purposes::from(*word)).collect()
    }

    /// Regions, each read by `parse`.
    pub(super) fn regions<T: AsRef<str>>(
        &mut self,
        codes: &[T],
        parse: fn(&str) -> Result<Region, RegionError>,
        at: &Path<'_>,
    ) -> Regions {
        self.filled(codes, at);
        let mut regions = Vec::with_capacity(codes.len());
        for (i, code) in codes.iter().enumerate() {
            match parse(code.as_ref()) {
                Ok(region) => regions.push(region),
                Err(error) => self.problem(&at.item(i), error.to_string()),
            }
        }
        regions.into_iter().collect()
    }

    pub(super) fn period(&mut self, period: &Period, at: &Path<'_>) -> policy::Period {
        let (start, end) = (period.start.map(|day| day.0), period.end.map(|day| day.0));
        match (start, end) {
            (None, None) => self.problem(at, "a period needs a start, an end or both"),
            (Some(start), Some(end)) if end < start => {
                self.problem(
                    &at.field("end"),
                    format!("the end {end} is before the start {start}"),
                );
            }
            _ => {}
        }
        policy::Period { start, end }
    }

    /// Identifiers: not empty, and of characters that no message needs to escape.
    pub(super) fn identifiers(&mut self, texts: &[String], at: &Path<'_>) -> Box<[Box<str>]> {
        self.filled(texts, at);
        for (i, text) in texts.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if text.is_empty() || !text.chars().all(plain) {
                self.problem(
                    &at.item(i),
                    "write letters, digits, hyphens, underscores and full stops",
                );
            }
        }
        texts.iter().map(|text| text.as_str().into()).collect()
    }

    /// A name of lower-case letters, digits and hyphens; with `dots` also of full stops.
    pub(super) fn name(&mut self, name: &str, dots: bool, at: &Path<'_>) {
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !part.is_empty() && part.chars().all(plain) && !part.starts_with('-') && !part.ends_with('-')
        };
        let fits = if dots {
            name.len() <= 253 && name.split('.').all(part)
        } else {
            name.len() <= 63 && part(name)
        };
        if !fits {
            self.problem(at, "not a name; write lower-case letters, digits and hyphens");
        }
    }

    /// Each key once.
    pub(super) fn unique<T, K: std::hash::Hash + Eq>(
        &mut self,
        items: &[T],
        key: impl Fn(&T) -> K,
        field: &str,
        at: &Path<'_>,
    ) {
        let mut seen = HashSet::new();
        for (i, item) in items.iter().enumerate() {
            if !seen.insert(key(item)) {
                self.problem(&at.item(i).field(field), "given twice; keep one of them");
            }
        }
    }

    pub(super) fn sha256(&mut self, hex: &str, at: &Path<'_>) {
        if !is_sha256(hex) {
            self.problem(at, "not a SHA-256 digest; write 64 lower-case hexadecimal digits");
        }
    }

    pub(super) fn minimum_age(&mut self, age: Option<u8>, at: &Path<'_>) -> Option<u8> {
        if age.is_some_and(|age| age > 150) {
            self.problem(&at.field("minimumAge"), "an age in years is 0 to 150");
        }
        age
    }

    pub(super) fn selector(&mut self, selector: &LabelSelector, at: &Path<'_>) -> Selector {
        let mut requirements = Vec::new();
        for (key, value) in &selector.match_labels {
            let operator = Operator::In([value.as_str().into()].into());
            requirements.push(LabelRequirement {
                key: key.as_str().into(),
                operator,
            });
        }
        let expressions = at.field("matchExpressions");
        for (i, expression) in selector.match_expressions.iter().enumerate() {
            let at = expressions.item(i);
            let at = at.field("values");
            let values: Box<[Box<str>]> = expression
                .values
                .iter()
                .map(|value| value.as_str().into())
                .collect();
            let operator = match expression.operator {
                SelectorOperator::In | SelectorOperator::NotIn if values.is_empty() => {
                    self.problem(&at, "In and NotIn need values");
                    continue;
                }
                SelectorOperator::Exists | SelectorOperator::DoesNotExist if !values.is_empty() => {
                    self.problem(&at, "Exists and DoesNotExist take no values");
                    continue;
                }
                SelectorOperator::In => Operator::In(values),
                SelectorOperator::NotIn => Operator::NotIn(values),
                SelectorOperator::Exists => Operator::Exists,
                SelectorOperator::DoesNotExist => Operator::DoesNotExist,
            };
            requirements.push(LabelRequirement {
                key: expression.key.as_str().into(),
                operator,
            });
        }
        Selector {
            requirements: requirements.into(),
        }
    }
}

/// 64 lower-case hexadecimal digits.
pub(super) fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A text that is given and not empty.
pub(super) fn text(text: Option<&String>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty())
        .map(|text| text.as_str().into())
}
