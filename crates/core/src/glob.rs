//! Names with `*`, as the settings write them: `nvidia*`, `*/kvm`.

use std::fmt;

/// A pattern in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<[Box<str>]>);

impl Glob {
    /// Whether the whole of `name` fits the pattern.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return name.is_empty();
        };
        let Some((last, middle)) = rest.split_last() else {
            return name == &**first;
        };
        let Some(mut rest) = name.strip_prefix(&**first) else {
            return false;
        };
        for part in middle {
            let Some(at) = rest.find(&**part) else {
                return false;
            };
            rest = rest.split_at(at).1.strip_prefix(&**part).unwrap_or_default();
        }
        rest.ends_with(&**last)
    }
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Self {
        Self(pattern.split('*').map(Into::into).collect())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        let matches = |pattern: &str, name: &str| Glob::from(pattern).matches(name);
        assert!(matches("nvidia*", "nvidia"));
        assert!(matches("nvidia*", "nvidia-cdi"));
        assert!(!matches("nvidia*", "my-nvidia"));
        assert!(matches("*/kvm", "devices.kubevirt.io/kvm"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*b*c", "a-c-b"));
        assert!(!matches("ab*ba", "aba"), "the ends may not overlap");
        assert!(matches("exact", "exact") && !matches("exact", "exactly"));
        assert!(matches("*", ""));
    }
}
