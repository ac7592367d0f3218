//! The serving certificate: taken into use again whenever its files change, or given by an authority of our own.
//!
//! The files are read and compared every second rather than watched: the kubelet swaps a whole Secret by renaming
//! a symlink above them, which a watch on the files does not see. A pair is used only if it would work; if not,
//! the last good one stays. So a half-written or mismatched Secret costs an alert and not an admission.

mod clients;
mod pair;

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{Instant, sleep};

use self::pair::{Bytes, Pair};
use super::readiness::Health;
use crate::metrics::Metrics;

pub use self::clients::ClientFiles;
pub(super) use self::clients::Clients;
pub use self::pair::{CertError, Given};

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertFiles {
    /// PEM: the server's certificate first, then those that lead to the CA.
    pub cert: PathBuf,
    /// PEM: its private key, in PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// Tells what time it is.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The certificate that is served, and where the next one will come from.
pub struct Certs {
    /// None: the certificate is given.
    files: Option<CertFiles>,
    clock: WallClock,
    metrics: Arc<Metrics>,
    provider: Arc<CryptoProvider>,
    current: ArcSwapOption<Serving>,
    /// Why there is no better certificate than the current one, if so.
    trouble: Mutex<Option<String>>,
}

/// What a look at the files came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// They hold what is being served.
    Unchanged,
    /// They held something new, which is served from now on.
    Swapped,
}

struct Serving {
    pair: Pair,
    /// None: it was given.
    bytes: Option<Bytes>,
    since: Instant,
}

impl Certs {
    /// Nothing is read yet: call [`Certs::reload`] to learn at the start whether the files can be used.
    #[must_use]
    pub fn new(files: CertFiles, clock: WallClock, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::of(Some(files), clock, metrics)
    }

    /// No certificate until one is given with [`Certs::give`].
    #[must_use]
    pub fn given(clock: WallClock, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::of(None, clock, metrics)
    }

    fn of(files: Option<CertFiles>, clock: WallClock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            files,
            clock,
            metrics,
            provider: Arc::new(aws_lc_rs::default_provider()),
            current: ArcSwapOption::empty(),
            trouble: Mutex::default(),
        })
    }

    /// Reads the files, and serves what they hold if it is new and would work. This blocks on the disk.
    pub fn reload(&self) -> Result<Reload, CertError> {
        let Some(files) = &self.files else {
            return Ok(Reload::Unchanged);
        };
        let result = self.replace(files);
        match &result {
            Ok(_) => self.trouble(None),
            Err(error) => self.trouble(Some(format!("its files cannot be used: {error}"))),
        }
        result
    }

    /// Serves this certificate from now on. It takes no connection away.
    ///
    /// # Errors
    ///
    /// If the key cannot be used, or is not the certificate's.
    pub fn give(&self, leaf: Given) -> Result<(), rustls::Error> {
        let pair = Pair::of(leaf, &self.provider)?;
        self.serve(pair, None);
        Ok(())
    }

    /// Notes why there is no better certificate than the current one, or that all is well.
    pub fn trouble(&self, now: Option<String>) {
        if now.is_some() {
            // Counted at every attempt, so that an alert on the rate holds as long as the trouble does; told only once.
            self.metrics.server.reload_failures.inc();
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = now.as_ref().filter(|it| trouble.as_ref() != Some(*it)) {
            tracing::warn!(error = text, "the certificate cannot be renewed");
        }
        *trouble = now;
    }

    /// What is served: the certificates, the server's own first.
    #[must_use]
    pub fn served(&self) -> Option<Arc<CertifiedKey>> {
        self.current
            .load()
            .as_ref()
            .map(|serving| serving.pair.key.clone())
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Looks at the files for ever, `every` so often.
    pub async fn watch(self: Arc<Self>, every: Duration) -> Infallible {
        loop {
            sleep(every).await;
            self.refresh().await;
        }
    }

    /// [`Certs::reload`], off the threads that answer requests.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let this = self.clone();
        // What went wrong has been logged and counted; a panic in there is logged by the runtime's hook.
        let _ = tokio::task::spawn_blocking(move || this.reload()).await;
    }

    /// What readiness says of the certificate.
    #[must_use]
    pub fn health(&self) -> Health {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(serving) = self.current.load_full() else {
            return Health::failing(trouble.unwrap_or_else(|| "not read yet".to_owned()));
        };
        let (pair, now) = (&serving.pair, (self.clock)());
        let mut text = format!("serial {}, valid until {}", pair.serial, pair.not_after);
        if let Some(trouble) = trouble {
            text.push_str("; ");
            text.push_str(&trouble);
        }
        let age = serving.since.elapsed();
        if now < pair.not_before || now > pair.not_after {
            return Health::failing(format!("not valid at {now}: {text}")).seen(age);
        }
        Health::ok(text).seen(age)
    }

    /// The algorithms keys are checked against, and that the server speaks.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }

    fn replace(&self, files: &CertFiles) -> Result<Reload, CertError> {
        let current = self.current.load();
        let known = current.as_ref().and_then(|serving| serving.bytes.as_ref());
        let Some(bytes) = Bytes::read(files, known)? else {
            return Ok(Reload::Unchanged);
        };
        let pair = Pair::parse(files, &bytes, &self.provider, (self.clock)())?;
        self.serve(pair, Some(bytes));
        Ok(Reload::Swapped)
    }

    fn serve(&self, pair: Pair, bytes: Option<Bytes>) {
        tracing::info!(serial = pair.serial, not_after = %pair.not_after, "a certificate was taken into use");
        self.metrics.server.not_after.set(pair.not_after.as_second());
        self.metrics.server.reloads.inc();
        self.current.store(Some(Arc::new(Serving {
            pair,
            bytes,
            since: Instant::now(),
        })));
    }
}

impl ResolvesServerCert for Certs {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The name asked for does not matter: there is one certificate, and the client checks its names.
        self.served()
    }
}

impl fmt::Debug for Certs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certs")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
