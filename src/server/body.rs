//! Reading a request's body within bounds: of size, of time, and of what all requests hold together.
//!
//! Memory is reserved as bytes arrive and never on the word of a `Content-Length`: else a few dozen heads that
//! announce large bodies would use up what all requests share, at no cost to whoever sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, timeout_at};

/// How much is reserved at least for a body that comes in pieces.
const STEP: usize = 64 * 1024;

/// How much of a body that is too large is read all the same: its uid stands within the first few hundred
/// bytes, and a refusal that carries it is shown to the user in our words.
const PREFIX: usize = 16 * 1024;

/// What the bodies of all requests may hold together.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    gauge: Gauge,
}

/// A request's part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: usize,
}

/// What was read of a body.
#[derive(Debug)]
pub(super) struct Gathered {
    /// All of it, or what had come before the trouble.
    pub bytes: Bytes,
    /// Why it is not all of it.
    pub trouble: Option<Trouble>,
    /// Held as long as the bytes are in use.
    pub share: Share,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    TooLarge,
    Slow,
    Broken,
    OverBudget,
}

impl Budget {
    pub(super) fn new(limit: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            gauge,
        })
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: self.clone(),
            held: 0,
        }
    }
}

impl Share {
    /// Makes this share at least as large as `bytes`, if the budget has it.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.held);
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.budget.limit {
            self.budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.held += more;
        self.budget.gauge.inc_by(signed(more));
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
        self.budget.gauge.dec_by(signed(self.held));
    }
}

/// Reads `body` until its end, `limit`, or `until`.
pub(super) async fn gather(mut body: Body, limit: usize, budget: &Arc<Budget>, until: Instant) -> Gathered {
    let mut share = budget.share();
    let hint = body.size_hint();
    let announced = hint.exact().and_then(|n| usize::try_from(n).ok());
    let too_large = usize::try_from(hint.lower()).map_or(true, |n| n > limit);
    let limit = if too_large { PREFIX } else { limit };
    let mut whole = Vec::new();
    let trouble = loop {
        let mut chunk = match timeout_at(until, body.frame()).await {
            Err(_) => break Some(Trouble::Slow),
            Ok(None) => break too_large.then_some(Trouble::TooLarge),
            Ok(Some(Err(_))) => break Some(Trouble::Broken),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
        };
        // What most requests are: one chunk, which is used where it lies.
        if whole.is_empty() && announced == Some(chunk.len()) && !too_large {
            let trouble = (!share.grow_to(chunk.len())).then_some(Trouble::OverBudget);
            return Gathered {
                bytes: chunk,
                trouble,
                share,
            };
        }
        let wanted = whole.len().saturating_add(chunk.len());
        if wanted > whole.capacity() {
            let doubled = wanted.max(STEP).max(whole.capacity().saturating_mul(2));
            let room = doubled
                .min(announced.unwrap_or(limit))
                .min(limit)
                .max(wanted.min(limit));
            if !share.grow_to(room) {
                break Some(Trouble::OverBudget);
            }
            whole.reserve_exact(room.saturating_sub(whole.len()));
        }
        chunk.truncate(limit.saturating_sub(whole.len()));
        whole.extend_from_slice(&chunk);
        if wanted > limit {
            break Some(Trouble::TooLarge);
        }
    };
    Gathered {
        bytes: whole.into(),
        trouble,
        share,
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures::stream;

    use super::*;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|n| Ok::<_, Infallible>(Bytes::from(vec![b'x'; *n])))
            .collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn read(body: Body, limit: usize, budget: &Arc<Budget>) -> Gathered {
        gather(body, limit, budget, Instant::now() + Duration::from_secs(10)).await
    }

    #[tokio::test(start_paused = true)]
    async fn sizes_at_and_over_the_limit() {
        let budget = Budget::new(10_000_000, Gauge::default());
        for (sizes, limit, len, trouble) in [
            (&[][..], 100, 0, None),
            (&[100][..], 100, 100, None),
            (&[99, 1][..], 100, 100, None),
            (&[99, 2][..], 100, 100, Some(Trouble::TooLarge)),
            (&[101][..], 100, 100, Some(Trouble::TooLarge)),
            (&[60_000, 60_000, 60_000][..], 180_000, 180_000, None),
            (
                &[60_000, 60_000, 60_001][..],
                180_000,
                180_000,
                Some(Trouble::TooLarge),
            ),
        ] {
            let got = read(chunks(sizes), limit, &budget).await;
            assert_eq!(
                (got.bytes.len(), got.trouble),
                (len, trouble),
                "{sizes:?} of {limit}"
            );
            assert!(got.share.held >= got.bytes.len());
            drop(got);
            assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_announced_too_large_is_read_only_for_its_uid() {
        let budget = Budget::new(10_000_000, Gauge::default());
        let got = read(Body::from(vec![b'x'; 100_000]), 50_000, &budget).await;
        assert_eq!((got.bytes.len(), got.trouble), (PREFIX, Some(Trouble::TooLarge)));
        let got = read(Body::from(vec![b'x'; 60]), 50, &budget).await;
        assert_eq!((got.bytes.len(), got.trouble), (60, Some(Trouble::TooLarge)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_shared_and_given_back() {
        let gauge = Gauge::default();
        let budget = Budget::new(200_000, gauge.clone());
        let first = read(Body::from(vec![b'x'; 150_000]), 1_000_000, &budget).await;
        assert_eq!((first.trouble, gauge.get()), (None, 150_000));
        let second = read(Body::from(vec![b'x'; 50_001]), 1_000_000, &budget).await;
        assert_eq!(second.trouble, Some(Trouble::OverBudget));
        let pieces = read(chunks(&[10_000; 7]), 1_000_000, &budget).await;
        assert_eq!(
            (pieces.trouble, pieces.bytes.len()),
            (Some(Trouble::OverBudget), 0)
        );
        drop((first, second, pieces));
        assert_eq!((budget.used.load(Ordering::Relaxed), gauge.get()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_given_up_with_what_had_come() {
        let budget = Budget::new(200_000, Gauge::default());
        let stalled = stream::unfold(true, |first| async move {
            if !first {
                std::future::pending::<()>().await;
            }
            Some((Ok::<_, Infallible>(Bytes::from_static(b"{\"uid\"")), false))
        });
        let got = read(Body::from_stream(stalled), 1_000, &budget).await;
        assert_eq!(
            (&got.bytes[..], got.trouble),
            (&b"{\"uid\""[..], Some(Trouble::Slow))
        );
    }
}
