//! Deletions that wait until it is certain that they are meant.
//!
//! Deleting a CRD deletes all its objects, with the same events as when somebody deletes them one by one, while lists
//! still answer. Then nobody has lifted a pause. So whoever is gone from the API stays in force until the CRD has been
//! looked at *after* its disappearance was seen: a CRD that is there and not being deleted confirms it. See
//! docs/decisions/0004.

use std::collections::BTreeSet;
use std::time::Duration;

use super::crd::Presence;

/// After this long a CRD that was gone, or could not be looked at, is looked at again.
pub const RECHECK: Duration = Duration::from_secs(2);

/// The deletions of one kind.
#[derive(Debug, Default)]
pub struct Gate {
    /// Gone since the last look began.
    waiting: BTreeSet<Box<str>>,
    /// Gone before the look that is under way, so that its answer is about them.
    asked: BTreeSet<Box<str>>,
    asking: bool,
    /// What the last look said, if it did not confirm.
    held: bool,
}

impl Gate {
    /// Notes that an object is gone.
    pub fn gone(&mut self, name: &str) {
        if !self.asked.contains(name) {
            self.waiting.insert(name.into());
        }
    }

    /// Notes that an object is there.
    pub fn there(&mut self, name: &str) {
        self.waiting.remove(name);
        self.asked.remove(name);
    }

    /// When the CRD should be looked at next, if a look is due that is not under way.
    pub fn question(&mut self) -> Option<Duration> {
        if self.asking || self.waiting.is_empty() {
            return None;
        }
        self.asking = true;
        self.asked = std::mem::take(&mut self.waiting);
        Some(if self.held { RECHECK } else { Duration::ZERO })
    }

    /// What a look has shown; gives the objects that are to be forgotten.
    pub fn answer(&mut self, presence: Presence) -> BTreeSet<Box<str>> {
        self.asking = false;
        let asked = std::mem::take(&mut self.asked);
        self.held = presence != Presence::There;
        match presence {
            Presence::There => asked,
            Presence::Gone | Presence::Unknown => {
                self.waiting.extend(asked);
                BTreeSet::new()
            }
        }
    }

    /// How many deletions wait.
    pub fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.asked.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_look_confirms_only_what_was_gone_before_it() {
        let mut gate = Gate::default();
        assert_eq!(gate.question(), None);
        gate.gone("a");
        assert_eq!(gate.question(), Some(Duration::ZERO));
        gate.gone("b");
        assert_eq!(gate.question(), None, "one look at a time");
        assert_eq!(gate.answer(Presence::There), ["a".into()].into());
        assert_eq!(gate.question(), Some(Duration::ZERO));
        assert_eq!(gate.answer(Presence::There), ["b".into()].into());
        assert_eq!(gate.len(), 0);
    }

    #[test]
    fn without_a_crd_everything_is_held_and_asked_again() {
        let mut gate = Gate::default();
        gate.gone("a");
        gate.gone("b");
        gate.question().unwrap();
        assert_eq!(gate.answer(Presence::Gone), BTreeSet::new());
        assert_eq!(gate.question(), Some(RECHECK));
        assert_eq!(gate.answer(Presence::Unknown), BTreeSet::new());
        assert_eq!(gate.question(), Some(RECHECK));
        gate.there("b");
        assert_eq!(gate.answer(Presence::There), ["a".into()].into());
        assert_eq!(gate.question(), None);
    }
}
