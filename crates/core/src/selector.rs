//! Kubernetes label selectors.

use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// A `metav1.LabelSelector`; every requirement must hold, and none selects everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selector {
    /// The requirements, `matchLabels` among them as `In` with one value.
    pub requirements: Box<[LabelRequirement]>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: Box<str>,
    /// What must hold of its value.
    pub operator: Operator,
}

/// The operators of `metav1.LabelSelectorRequirement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// There, with one of the values.
    In(Box<[Box<str>]>),
    /// Not there, or with another value.
    NotIn(Box<[Box<str>]>),
    /// There.
    Exists,
    /// Not there.
    DoesNotExist,
}

impl Selector {
    /// Whether the labels satisfy every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_follow_kubernetes() {
        let labels: Labels = [("team".into(), "ml".into())].into();
        let one = |key: &str, operator| Selector {
            requirements: [LabelRequirement {
                key: key.into(),
                operator,
            }]
            .into(),
        };
        assert!(Selector::default().matches(&labels));
        assert!(one("team", Operator::In(["ml".into()].into())).matches(&labels));
        assert!(!one("team", Operator::NotIn(["ml".into()].into())).matches(&labels));
        assert!(
            one("env", Operator::NotIn(["ml".into()].into())).matches(&labels),
            "an absent label is not in the values"
        );
        assert!(one("team", Operator::Exists).matches(&labels));
        assert!(one("env", Operator::DoesNotExist).matches(&labels));
        assert!(!one("env", Operator::In(["ml".into()].into())).matches(&labels));
    }
}
