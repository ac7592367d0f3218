//! Purposes of a workload, with their hierarchy.
//!
//! `AITraining` is not a purpose beside the others but the pair of its two kinds, as in the ODRL draft vocabulary for AI
//! (`gen-ai` inside `ai-training`). CAWG's `ai_training` excludes generative training; ours does not.

use std::fmt;
use std::str::FromStr;

use enumset::{EnumSet, EnumSetType};

/// What the data is used for.
#[derive(EnumSetType, Debug, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Training of generative models.
    GenerativeAITraining,
    /// Training of other models: classifiers, rankers, detectors.
    NonGenerativeAITraining,
    /// Measuring a model.
    Evaluation,
    /// Running a model.
    Inference,
    /// Preparing data.
    DataPreparation,
    /// Making synthetic data.
    SyntheticDataGeneration,
}

impl Purpose {
    /// The spelling in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GenerativeAITraining => "GenerativeAITraining",
            Self::NonGenerativeAITraining => "NonGenerativeAITraining",
            Self::Evaluation => "Evaluation",
            Self::Inference => "Inference",
            Self::DataPreparation => "DataPreparation",
            Self::SyntheticDataGeneration => "SyntheticDataGeneration",
        }
    }
}

/// A set of purposes. `AITraining` in text stands for both kinds of training.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Purposes(EnumSet<Purpose>);

/// A purpose that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} is not a purpose; write one of {}", Purposes::WORDS.join(", "))]
pub struct UnknownPurpose {
    /// What was written.
    pub given: String,
}

impl Purposes {
    /// Every word that names a purpose or a group of purposes.
    pub const WORDS: &'static [&'static str] = &[
        "AITraining",
        "GenerativeAITraining",
        "NonGenerativeAITraining",
        "Evaluation",
        "Inference",
        "DataPreparation",
        "SyntheticDataGeneration",
    ];

    /// No purpose at all.
    pub const NONE: Self = Self(EnumSet::empty());

    /// Every purpose: what an undeclared purpose counts as.
    pub const ALL: Self = Self(EnumSet::all());

    /// Both kinds of training.
    #[must_use]
    pub fn training() -> Self {
        Self(Purpose::GenerativeAITraining | Purpose::NonGenerativeAITraining)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether any purpose of the set is training.
    #[must_use]
    pub fn trains(self) -> bool {
        self.meets(Self::training())
    }

    /// Whether both sets have a purpose in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        !self.0.is_disjoint(other.0)
    }

    /// Whether every purpose of the set is in `other`.
    #[must_use]
    pub fn within(self, other: Self) -> bool {
        self.0.is_subset(other.0)
    }

    /// The purposes of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The purposes of both sets.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The purposes that are not in `other`.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }

    /// The words for the set, with both kinds of training written as `AITraining`.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let mut words = Vec::new();
        let mut rest = self.0;
        if Self::training().within(self) {
            words.push("AITraining");
            rest -= Self::training().0;
        }
        words.extend(rest.iter().map(Purpose::as_str));
        words
    }
}

impl From<Purpose> for Purposes {
    fn from(purpose: Purpose) -> Self {
        Self(EnumSet::only(purpose))
    }
}

impl FromIterator<Purposes> for Purposes {
    fn from_iter<I: IntoIterator<Item = Purposes>>(sets: I) -> Self {
        sets.into_iter().fold(Self::NONE, Self::union)
    }
}

impl FromStr for Purposes {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, UnknownPurpose> {
        Ok(match text {
            "AITraining" => Self::training(),
            "GenerativeAITraining" => Purpose::GenerativeAITraining.into(),
            "NonGenerativeAITraining" => Purpose::NonGenerativeAITraining.into(),
            "Evaluation" => Purpose::Evaluation.into(),
            "Inference" => Purpose::Inference.into(),
            "DataPreparation" => Purpose::DataPreparation.into(),
            "SyntheticDataGeneration" => Purpose::SyntheticDataGeneration.into(),
            _ => {
                return Err(UnknownPurpose {
                    given: text.to_owned(),
                });
            }
        })
    }
}

impl fmt::Display for Purposes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ai_training_is_both_kinds() {
        let training: Purposes = "AITraining".parse().unwrap();
        assert!(training.meets(Purpose::GenerativeAITraining.into()));
        assert!(training.meets(Purpose::NonGenerativeAITraining.into()));
        assert!(!training.meets(Purpose::Evaluation.into()));
        assert!(
            !training.within(Purpose::GenerativeAITraining.into()),
            "AITraining alone may be either kind"
        );
        assert_eq!(training.to_string(), "AITraining");
    }

    #[test]
    fn every_word_parses_and_prints_as_itself() {
        for word in Purposes::WORDS {
            assert_eq!(word.parse::<Purposes>().unwrap().to_string(), *word);
        }
    }
}
