//! A connection's I/O with its time limits: for a head to come, for the next request, for what we write to be
//! taken, and for the close.
//!
//! They are ours rather than hyper's, because hyper has one time for two things: its `header_read_timeout` also
//! ends a kept connection that is idle. Short, it closes what the API server keeps for 90 seconds, just when that
//! may be writing a review into it; long, it lets half a head stand open for as long. It also makes a timer per
//! request, where here one per connection is moved only when it fires.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::link::{Link, Phase};

/// How long each wait on the other side may last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub head: Duration,
    pub idle: Duration,
    pub write: Duration,
    pub linger: Duration,
}

/// I/O with its limits.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    io: T,
    link: Arc<Link>,
    times: Times,
    writing: Alarm,
    /// Since when the other side has taken nothing.
    stalled: Option<Instant>,
    closing: Closing,
}

#[derive(Clone, Copy, Debug)]
enum Closing {
    /// Not yet, or our side is being closed.
    Ours,
    /// Ours is closed; what still comes is read and forgotten until then.
    Theirs(Instant),
}

/// One timer, armed lazily: it may fire too early and is then moved, which is cheaper than moving it whenever the
/// time it stands for changes.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Times {
    /// Until when a connection may stay as it is.
    pub(super) fn until(&self, phase: Phase, since: Instant) -> Option<Instant> {
        match phase {
            Phase::Fresh | Phase::Head => Some(since + self.head),
            Phase::Idle => Some(since + self.idle),
            // The body's time is kept by who reads it, as it needs to answer.
            Phase::Busy => None,
        }
    }
}

impl<T> Guarded<T> {
    pub(super) fn new(io: T, link: Arc<Link>, times: Times) -> Self {
        Self {
            io,
            link,
            times,
            writing: Alarm::default(),
            stalled: None,
            closing: Closing::Ours,
        }
    }

    /// Passes on what a write came to, unless nothing has been taken for too long.
    fn written<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if self.writing.passed(since + self.times.write, cx) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client takes no answer",
            )));
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.link.heard();
        }
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.written(cx, result)
    }

    /// Closes our side and then, where an answer went out before the request had been read, waits for the client
    /// to close its own: closing a socket with unread input resets it, and the reset overtakes the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let until = match this.closing {
            Closing::Theirs(until) => until,
            Closing::Ours => {
                let result = Pin::new(&mut this.io).poll_shutdown(cx);
                ready!(this.written(cx, result))?;
                if !this.link.lingers() {
                    return Poll::Ready(Ok(()));
                }
                let until = Instant::now() + this.times.linger;
                this.closing = Closing::Theirs(until);
                until
            }
        };
        let mut space = [0_u8; 8 * 1024];
        loop {
            let mut sink = ReadBuf::new(&mut space);
            match Pin::new(&mut this.io).poll_read(cx, &mut sink) {
                Poll::Ready(Ok(())) if !sink.filled().is_empty() => {
                    // Somebody who never stops sending must not keep us here.
                    if Instant::now() >= until {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if this.writing.passed(until, cx) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Alarm {
    /// Whether `deadline` has passed; if not, the task is woken at the latest then.
    pub(super) fn passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            if Instant::now() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
