//! When an authority takes over from another, one step at a time. Nothing here asks or writes.
//!
//! A step is taken by whichever replica sees first that it is due, and stands in the Secret, so that it does not matter
//! which of them goes on from there. Each step leaves every certificate that is served trusted:
//!
//! 1. the next authority is introduced: it is trusted, and signs nothing;
//! 2. it signs, once the API server has been seen to trust it for a while; the one before is still trusted;
//! 3. that one is forgotten when no replica can have a certificate of it any more.

use std::time::Duration;

use jiff::Timestamp;

use super::ca::{Authority, CaError, Root};
use super::secret::{Authorities, Requests};

/// No more than so many authorities that sign no more are kept because somebody asks for new ones.
const MOST_PREVIOUS: usize = 4;

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// An authority. A new one takes over when a third is left. Default 1 year.
    pub ca: Duration,
    /// A server's certificate. It is made anew when a third is left. Default 7 days.
    pub leaf: Duration,
    /// How long the webhook configuration must have named an authority before a certificate of it is served: until every
    /// API server knows. Default 30 s.
    pub settle: Duration,
    /// How long an authority that signs no more is trusted: as long as a certificate of it lasts, because a replica that
    /// cannot reach the API server does not know that another signs. Default 7 days.
    pub keep: Duration,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A next authority, that signs nothing yet.
    Introduce,
    /// The next signs.
    Promote,
    /// Those before are no longer trusted.
    Forget,
    /// The signer's time is over and there is no next: another, at once.
    Replace,
}

impl Default for Times {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            ca: Duration::from_secs(365 * DAY),
            leaf: Duration::from_secs(7 * DAY),
            settle: Duration::from_secs(30),
            keep: Duration::from_secs(7 * DAY),
        }
    }
}

impl Step {
    /// The next step, if one is due. `settled` says whether the API server has been seen to trust an authority for long
    /// enough.
    #[must_use]
    pub fn due(
        authorities: &Authorities,
        requests: &Requests,
        times: &Times,
        now: Timestamp,
        settled: impl Fn(&Root) -> bool,
    ) -> Option<Self> {
        let signer = &authorities.signer.root;
        let next = authorities.next.as_ref().map(|it| &it.root);
        if now >= signer.not_after {
            // Whoever was trusted is not any more, so there is nothing to wait for.
            let good = next.is_some_and(|it| it.is_valid(now));
            return Some(if good { Self::Promote } else { Self::Replace });
        }
        // A clock that went back is no reason to change anything.
        if now < signer.not_before {
            return None;
        }
        let previous = &authorities.previous;
        match next {
            Some(next) if now >= next.not_after => return Some(Self::Introduce),
            Some(next) if next.is_valid(now) && settled(next) => return Some(Self::Promote),
            Some(_) => {}
            None => {
                let asked = requests.rotate_ca.is_some() && previous.len() < MOST_PREVIOUS;
                if signer.is_old(now) || asked {
                    return Some(Self::Introduce);
                }
            }
        }
        let over = authorities
            .superseded
            .is_some_and(|at| at.checked_add(times.keep).is_ok_and(|end| now >= end));
        let forget = match previous.is_empty() {
            true => requests.forget_previous,
            false => (requests.forget_previous || over) && settled(signer),
        };
        forget.then_some(Self::Forget)
    }

    /// The authorities after this step.
    ///
    /// # Errors
    ///
    /// If an authority cannot be made.
    pub fn take(self, before: &Authorities, times: &Times, now: Timestamp) -> Result<Authorities, CaError> {
        let mut after = before.clone();
        match self {
            Self::Introduce => after.next = Some(Authority::make(times.ca, now)?),
            Self::Promote => {
                if let Some(next) = after.next.take() {
                    let signer = std::mem::replace(&mut after.signer, next);
                    after.previous.insert(0, signer.root);
                    after.superseded = Some(now);
                }
            }
            Self::Forget => {
                after.previous.clear();
                after.superseded = None;
            }
            Self::Replace => after = Authorities::only(Authority::make(times.ca, now)?),
        }
        after.previous.retain(|it| now < it.not_after);
        Ok(after)
    }
}

/// Authorities for a Secret that does not exist. Those that the API server trusts now stay trusted, as there may be
/// replicas with certificates of theirs.
///
/// # Errors
///
/// If an authority cannot be made.
pub fn begin(trusted: &[Root], times: &Times, now: Timestamp) -> Result<Authorities, CaError> {
    let mut authorities = Authorities::only(Authority::make(times.ca, now)?);
    authorities.previous = trusted.iter().filter(|it| it.is_valid(now)).cloned().collect();
    authorities.superseded = (!authorities.previous.is_empty()).then_some(now);
    Ok(authorities)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NO: fn(&Root) -> bool = |_| false;
    const YES: fn(&Root) -> bool = |_| true;

    fn start() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn day(count: u32) -> Timestamp {
        start().checked_add(DAY * count).unwrap()
    }

    fn fresh() -> Authorities {
        begin(&[], &Times::default(), start()).unwrap()
    }

    fn due(authorities: &Authorities, now: Timestamp, settled: fn(&Root) -> bool) -> Option<Step> {
        Step::due(authorities, &Requests::default(), &Times::default(), now, settled)
    }

    fn take(step: Step, authorities: &Authorities, now: Timestamp) -> Authorities {
        step.take(authorities, &Times::default(), now).unwrap()
    }

    fn asked() -> Requests {
        Requests {
            rotate_ca: Some("1".to_owned()),
            ..Requests::default()
        }
    }

    #[test]
    fn a_rotation_goes_step_by_step_and_keeps_everybody_trusted() {
        let first = fresh();
        assert_eq!(due(&first, day(243), YES), None);
        let old = day(244);
        assert_eq!(
            due(&first, old, NO),
            Some(Step::Introduce),
            "also if nobody trusts us yet"
        );

        let both = take(Step::Introduce, &first, old);
        assert_eq!(both.signer, first.signer, "the signer stays");
        let next = both.next.clone().unwrap();
        assert_eq!(both.roots().collect::<Vec<_>>(), [&first.signer.root, &next.root]);
        assert_eq!(due(&both, old, NO), None, "waits until it is trusted");
        let only_old = |root: &Root| *root == first.signer.root;
        let settled = Step::due(&both, &Requests::default(), &Times::default(), old, only_old);
        assert_eq!(
            settled, None,
            "that the old one is trusted says nothing of the next"
        );

        assert_eq!(due(&both, old, YES), Some(Step::Promote));
        let promoted = take(Step::Promote, &both, old);
        assert_eq!((&promoted.signer, &promoted.next), (&next, &None));
        assert_eq!(promoted.previous, std::slice::from_ref(&first.signer.root));
        assert_eq!(promoted.superseded, Some(old));
        assert_eq!(
            due(&promoted, day(250), YES),
            None,
            "a certificate of it may be served"
        );
        assert_eq!(
            due(&promoted, day(251), NO),
            None,
            "not before the signer is trusted"
        );
        assert_eq!(due(&promoted, day(251), YES), Some(Step::Forget));
        let alone = take(Step::Forget, &promoted, day(251));
        assert_eq!(alone, Authorities::only(next));
        assert_eq!(due(&alone, day(251), YES), None);
    }

    #[test]
    fn whatever_has_expired_is_replaced_at_once() {
        let first = fresh();
        assert_eq!(due(&first, day(365), NO), Some(Step::Replace));
        let replaced = take(Step::Replace, &first, day(400));
        assert_ne!(replaced.signer, first.signer);
        assert_eq!(replaced, Authorities::only(replaced.signer.clone()));
        assert_eq!(due(&replaced, day(400), NO), None);

        // A crash in the middle of a rotation, and a year of silence.
        let both = take(Step::Introduce, &first, day(300));
        assert_eq!(due(&both, day(366), NO), Some(Step::Promote));
        let promoted = take(Step::Promote, &both, day(366));
        assert_eq!(promoted.previous, [], "an expired one helps nobody");
        assert_eq!(due(&both, day(700), NO), Some(Step::Replace));
        let mut lapsed = both;
        lapsed.signer = Authority::make(Times::default().ca, day(699)).unwrap();
        assert_eq!(
            due(&lapsed, day(700), YES),
            Some(Step::Introduce),
            "the next one's time is over"
        );
    }

    #[test]
    fn a_clock_that_jumps_changes_nothing_that_it_need_not() {
        let first = fresh();
        let early = start().checked_sub(DAY).unwrap();
        assert_eq!(due(&first, early, YES), None);
        // Introduced by a clock that was a year ahead.
        let ahead = take(Step::Introduce, &first, day(300));
        assert_eq!(due(&ahead, day(1), YES), None, "the next one's time has not come");
        assert_eq!(due(&ahead, day(300), YES), Some(Step::Promote));
    }

    #[test]
    fn whoever_asks_gets_a_rotation_but_not_any_number() {
        let times = Times::default();
        let mut authorities = fresh();
        for round in 1..=4 {
            let step = Step::due(&authorities, &asked(), &times, start(), YES);
            assert_eq!(step, Some(Step::Introduce), "{round}");
            authorities = take(Step::Introduce, &authorities, start());
            authorities = take(Step::Promote, &authorities, start());
            assert_eq!(authorities.previous.len(), round);
        }
        assert_eq!(Step::due(&authorities, &asked(), &times, start(), YES), None);
        assert_eq!(
            Step::due(&authorities, &asked(), &times, day(7), YES),
            Some(Step::Forget)
        );
        assert_eq!(
            Step::due(&authorities, &asked(), &times, day(244), YES),
            Some(Step::Introduce)
        );
    }

    #[test]
    fn forgetting_can_be_asked_for() {
        let forget = Requests {
            forget_previous: true,
            ..Requests::default()
        };
        let times = Times::default();
        let due = |authorities: &Authorities, settled: fn(&Root) -> bool| {
            Step::due(authorities, &forget, &times, start(), settled)
        };
        let promoted = take(Step::Promote, &take(Step::Introduce, &fresh(), start()), start());
        assert_eq!(due(&promoted, NO), None);
        assert_eq!(due(&promoted, YES), Some(Step::Forget));
        assert_eq!(due(&fresh(), NO), Some(Step::Forget), "takes the request away");
    }

    #[test]
    fn what_is_trusted_when_the_secret_is_lost_stays_trusted() {
        let times = Times::default();
        let (lost, expired) = (
            Authority::make(times.ca, start()).unwrap(),
            Authority::make(DAY, start()).unwrap(),
        );
        let trusted = [lost.root.clone(), expired.root];
        let begun = begin(&trusted, &times, day(2)).unwrap();
        assert_eq!(begun.previous, [lost.root]);
        assert_eq!(begun.superseded, Some(day(2)));
        assert_eq!(due(&begun, day(8), YES), None);
        assert_eq!(due(&begun, day(9), YES), Some(Step::Forget));
    }
}
