//! The closed lists of words, each with its counterpart in the core. A word of one that is missing in the other does
//! not compile.

use datagate_core::{purpose, vocabulary as core};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares an enum of the API that mirrors one of the core.
macro_rules! mirror {
    ($(#[$meta:meta])* $name:ident { $($word:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[allow(missing_docs, reason = "the words speak for themselves; their meaning is told in the core and in each field")]
        pub enum $name { $($word),+ }

        impl From<$name> for core::$name {
            fn from(word: $name) -> Self {
                match word { $($name::$word => Self::$word),+ }
            }
        }

        impl From<core::$name> for $name {
            fn from(word: core::$name) -> Self {
                match word { $(core::$name::$word => Self::$word),+ }
            }
        }
    };
}

mirror! {
    /// What happens to a finding.
    Action { Deny, Warn, Audit }
}
mirror! {
    /// What happens to a governed workload that declares no data.
    Undeclared { Deny, Warn, Ignore }
}
mirror! {
    /// Which workloads are governed.
    WorkloadScope { TrainingKinds, Accelerated, All }
}
mirror! {
    /// A way to declare data.
    DeclarationKind { Records, Regions, None }
}
mirror! {
    /// What a pause does to workloads that run already.
    RunningWorkloads { BlockNewPods, LetFinish }
}
mirror! {
    /// What kind of act a pause rests on.
    Measure { VoluntaryPause, Undertaking, Order, InternalDecision }
}
mirror! {
    /// Where a dataset came from.
    SourceCategory { PublicDataset, LicensedPrivateDataset, OtherPrivateDataset, WebScraped, UserData, Synthetic, Other }
}
mirror! {
    /// What kind of data is in a dataset.
    DataCategory {
        PublicPosts, PrivateMessages, Email, AssistantInteractions, Profile, EmploymentHistory, Photos, Video, Voice,
        Location, Contacts, Health, Biometric, Financial, BrowsingHistory, PurchaseHistory, SourceCode, Other,
    }
}
mirror! {
    /// A preparation of data before training.
    StepType {
        OptOutFilter, OptInFilter, RegionFilter, AgeFilter, SensitiveDataFilter, Redaction, Pseudonymisation,
        Anonymisation,
    }
}
mirror! {
    /// What shows that a step was done.
    Evidence { Declared, TrustedImage, Catalogued }
}
mirror! {
    /// Whether a dataset holds personal data.
    PersonalData { Present, Absent, NoAssertion }
}

/// What data is used for. `AITraining` is both kinds of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "as above")]
pub enum Purpose {
    AITraining,
    GenerativeAITraining,
    NonGenerativeAITraining,
    Evaluation,
    Inference,
    DataPreparation,
    SyntheticDataGeneration,
}

impl From<Purpose> for purpose::Purposes {
    fn from(word: Purpose) -> Self {
        match word {
            Purpose::AITraining => Self::training(),
            Purpose::GenerativeAITraining => purpose::Purpose::GenerativeAITraining.into(),
            Purpose::NonGenerativeAITraining => purpose::Purpose::NonGenerativeAITraining.into(),
            Purpose::Evaluation => purpose::Purpose::Evaluation.into(),
            Purpose::Inference => purpose::Purpose::Inference.into(),
            Purpose::DataPreparation => purpose::Purpose::DataPreparation.into(),
            Purpose::SyntheticDataGeneration => purpose::Purpose::SyntheticDataGeneration.into(),
        }
    }
}
