//! When this replica takes a new certificate. Nothing here asks or writes.

use jiff::Timestamp;

use super::ca::{Leaf, Root};
use super::rotation::Times;
use super::secret::{Authorities, Requests};

/// The certificate that is served, as far as it matters for the next.
#[derive(Clone, Debug)]
pub struct Served {
    issuer: Root,
    not_before: Timestamp,
    not_after: Timestamp,
    renew: Option<String>,
}

/// What the API server trusts.
pub trait Trusts {
    /// Every entry names it now.
    fn holds(&self, root: &Root) -> bool;
    /// It has been so for long enough that all API servers know.
    fn settled(&self, root: &Root) -> bool;
}

impl Served {
    /// This one, by the signer of the moment.
    #[must_use]
    pub fn new(leaf: &Leaf, authorities: &Authorities, requests: &Requests) -> Self {
        Self {
            issuer: authorities.signer.root.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            renew: requests.renew_leaf.clone(),
        }
    }

    /// Whether another is due.
    #[must_use]
    pub fn is_due(
        &self,
        authorities: &Authorities,
        requests: &Requests,
        times: &Times,
        now: Timestamp,
        trusts: &impl Trusts,
    ) -> bool {
        let signer = &authorities.signer.root;
        let over = now < self.not_before || now >= self.not_after;
        if self.issuer != *signer {
            // Changing to a signer that is not trusted everywhere yet would fail requests; staying with one that is not
            // trusted any more fails them all the same.
            let lost = !trusts.holds(&self.issuer) && trusts.holds(signer);
            return over || lost || trusts.settled(signer);
        }
        let renew = self
            .not_after
            .checked_sub(times.leaf / 3)
            .unwrap_or(self.not_after);
        // With an authority that ends soon, a new one would be no better.
        let better = self.not_after < signer.not_after;
        over || (now >= renew && better) || requests.renew_leaf != self.renew
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::super::ca::Authority;
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Holds, and has held for long, what it lists.
    struct Sees(Vec<Root>, Vec<Root>);

    impl Trusts for Sees {
        fn holds(&self, root: &Root) -> bool {
            self.0.contains(root)
        }

        fn settled(&self, root: &Root) -> bool {
            self.1.contains(root)
        }
    }

    fn start() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn authority() -> Authority {
        Authority::make(DAY * 365, start()).unwrap()
    }

    fn served(authorities: &Authorities, now: Timestamp) -> Served {
        let names = ["a.svc".to_owned()];
        let leaf = authorities
            .signer
            .sign(&names, Times::default().leaf, now)
            .unwrap();
        Served::new(&leaf, authorities, &Requests::default())
    }

    #[track_caller]
    fn check(served: &Served, authorities: &Authorities, now: Timestamp, sees: &Sees, expected: bool) {
        let due = served.is_due(authorities, &Requests::default(), &Times::default(), now, sees);
        assert_eq!(due, expected);
    }

    #[test]
    fn it_is_renewed_when_a_third_is_left_by_the_clock_or_when_asked_for() {
        let nobody = Sees(vec![], vec![]);
        let authorities = Authorities::only(authority());
        let leaf = served(&authorities, start());
        let at = |hours: i64| start() + jiff::SignedDuration::from_hours(hours);
        check(&leaf, &authorities, at(0), &nobody, false);
        check(&leaf, &authorities, at(111), &nobody, false);
        check(&leaf, &authorities, at(112), &nobody, true);
        // A machine that was asleep for months.
        check(&leaf, &authorities, at(24 * 90), &nobody, true);
        // The clock goes back: not valid yet by it.
        check(&leaf, &authorities, at(-2), &nobody, true);

        let asked = Requests {
            renew_leaf: Some("1".to_owned()),
            ..Requests::default()
        };
        let times = Times::default();
        assert!(leaf.is_due(&authorities, &asked, &times, start(), &nobody));
        let names = ["a.svc".to_owned()];
        let next = authorities.signer.sign(&names, times.leaf, start()).unwrap();
        let next = Served::new(&next, &authorities, &asked);
        assert!(
            !next.is_due(&authorities, &asked, &times, start(), &nobody),
            "once"
        );
    }

    #[test]
    fn it_is_not_made_again_and_again_when_the_authority_ends() {
        let nobody = Sees(vec![], vec![]);
        let authorities = Authorities::only(authority());
        let late = start() + jiff::SignedDuration::from_hours(24 * 364);
        let leaf = served(&authorities, late);
        check(&leaf, &authorities, late, &nobody, false);
    }

    #[test]
    fn another_signer_is_followed_only_when_it_is_trusted() {
        let (old, new) = (authority(), authority());
        let leaf = served(&Authorities::only(old.clone()), start());
        let mut after = Authorities::only(new.clone());
        after.previous = vec![old.root.clone()];
        let (old, new) = (old.root, new.root);
        let all = vec![old.clone(), new.clone()];
        let now = start() + jiff::SignedDuration::from_hours(24);
        check(
            &leaf,
            &after,
            now,
            &Sees(vec![old.clone()], vec![old.clone()]),
            false,
        );
        check(&leaf, &after, now, &Sees(all.clone(), vec![old.clone()]), false);
        check(&leaf, &after, now, &Sees(all.clone(), all), true);
        // Somebody took the old one away.
        check(&leaf, &after, now, &Sees(vec![new], vec![]), true);
        // Nobody calls us: nothing is gained or lost.
        check(&leaf, &after, now, &Sees(vec![], vec![]), false);
        let late = start() + jiff::SignedDuration::from_hours(24 * 7);
        check(&leaf, &after, late, &Sees(vec![old], vec![]), true);
    }
}
