//! A certificate authority of our own, so that nobody has to bring one: the replicas share it in a Secret, each of them
//! signs a certificate for itself and keeps that in memory, and the webhook configuration is made to name the authority.
//!
//! What is due is decided by code that knows no cluster: `rotation` for the Secret, `leaf` for the certificate, `bundle`
//! for the webhook configuration. This module looks and does. Every replica does all of it, and what two of them do at
//! the same time only one of them gets done, because each write names the version that it changes. Whatever fails is
//! tried again; meanwhile the last good certificate is served. See docs/decisions/0015.

mod bundle;
pub mod ca;
mod leaf;
mod rotation;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::bundle::{Due, Held, Keeper};
use self::ca::{CaError, Root};
use self::leaf::{Served, Trusts};
use crate::metrics::AuthorityMetrics;
use crate::object::{self, Seen};
use crate::registration::{self, Registration, Registrations};
use crate::server::{Certs, Given};
use crate::stop::Stop;

pub use self::rotation::{Step, Times};
pub use self::secret::{Authorities, Broken, Requests};

/// The field manager, by which others see who wrote the bundle.
const MANAGER: &str = "datagate-ca";

/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Whose authority it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The namespace of the Secret: datagate's own.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The names by which the API server calls us.
    pub names: Vec<String>,
    /// The Deployment with which the Secret goes away.
    pub owner: Option<String>,
    /// The webhook configuration that must name the authority.
    pub webhook: String,
    /// How long things last.
    pub times: Times,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no answer within {PATIENCE:?}")]
    Timeout,
    #[error("{0}")]
    Client(#[from] kube::Error),
    #[error("{0}")]
    Ca(#[from] CaError),
    #[error("the Deployment {0} does not exist or is being deleted. Is datagate being uninstalled?")]
    NoOwner(String),
}

/// Pauses after failures.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

/// One replica's part.
struct Keeping {
    config: Config,
    client: Client,
    certs: Arc<Certs>,
    metrics: AuthorityMetrics,
    registrations: Registrations,
    secrets: watch::Sender<Seen<Secret>>,
    /// The Secret as it was last looked at, if it can be used.
    secret: Option<Secret>,
    /// What the last good Secret held.
    known: Option<Authorities>,
    requests: Requests,
    /// Why the Secret cannot be used.
    broken: Option<String>,
    served: Option<Served>,
    held: Held,
    keeper: Keeper,
    secret_retry: Retry,
    bundle_retry: Retry,
    failed: Option<String>,
}

/// Keeps the Secret, the certificate and the bundle until it is told to stop.
pub async fn run(
    config: Config,
    client: Client,
    certs: Arc<Certs>,
    registrations: Registrations,
    metrics: AuthorityMetrics,
    mut stop: Stop,
) {
    let api = Api::<Secret>::namespaced(client.clone(), &config.namespace);
    let (tell, secrets) = watch::channel(Seen::Unknown);
    let name = config.secret.clone();
    let watching = object::Config::default();
    let follow = object::follow(api, &name, &watching, {
        let tell = tell.clone();
        move |found: Option<Secret>| {
            tell.send_replace(found.map_or(Seen::Missing, |it| Seen::Present(Arc::new(it))));
        }
    });
    let mut keeping = Keeping {
        config,
        client,
        certs,
        metrics,
        registrations,
        secrets: tell,
        secret: None,
        known: None,
        requests: Requests::default(),
        broken: None,
        served: None,
        held: Held::default(),
        keeper: Keeper::default(),
        secret_retry: Retry::default(),
        bundle_retry: Retry::default(),
        failed: None,
    };
    tokio::select! {
        () = stop.told() => {}
        never = follow => never,
        never = keeping.keep(secrets) => never,
    }
}

impl Keeping {
    async fn keep(&mut self, mut secrets: watch::Receiver<Seen<Secret>>) -> ! {
        loop {
            let seen = secrets.borrow_and_update().clone();
            let registration = self.registrations.borrow_and_update().clone();
            self.held.note(&registration, Instant::now());
            self.read(&seen);
            self.keep_secret(&seen, &registration).await;
            self.keep_leaf();
            self.keep_bundle(&registration).await;
            let trouble = self.broken.as_ref().or(self.failed.as_ref());
            self.certs.trouble(trouble.cloned());
            tokio::select! {
                _ = secrets.changed() => {}
                // Who watches it may have ended; the clock goes on.
                Ok(()) = self.registrations.changed() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    /// Takes in what the Secret holds. A broken one changes nothing but what is told.
    fn read(&mut self, seen: &Seen<Secret>) {
        let Some(secret) = seen.present() else {
            (self.secret, self.broken) = (None, None);
            return;
        };
        if self.secret.as_ref() == Some(secret) {
            return;
        }
        match Authorities::read(secret) {
            Ok(authorities) => {
                let until = authorities.signer.root.not_after.as_second();
                self.metrics.signer_until(until);
                self.known = Some(authorities);
                self.requests = Requests::read(secret);
                self.secret = Some(Secret::clone(secret));
                self.broken = None;
            }
            Err(error) => {
                let Config {
                    namespace, secret, ..
                } = &self.config;
                self.secret = None;
                self.broken = Some(format!(
                    "the Secret {namespace}/{secret} cannot be used: {error}. Delete it: another is made, and what is \
                     trusted now stays trusted for a while"
                ));
            }
        }
    }

    /// Makes the Secret if there is none, and takes the next step in it if one is due.
    async fn keep_secret(&mut self, seen: &Seen<Secret>, registration: &registration::Seen) {
        let (at, now) = (Instant::now(), self.certs.now());
        if !self.secret_retry.is_over(at) {
            return;
        }
        let done = match (seen, self.secret.clone(), &self.known) {
            // What is trusted now must be known, so that it stays trusted.
            (Seen::Missing, _, _) if !matches!(registration, Seen::Unknown) => {
                let trusted = registration.present().map(|it| bundle::trusted(it));
                self.create(&trusted.unwrap_or_default(), now).await
            }
            (_, Some(secret), Some(known)) => {
                let times = &self.config.times;
                let settled = |root: &Root| self.held.settled(root, times.settle, at);
                match Step::due(known, &self.requests, times, now, settled) {
                    Some(step) => self.step(step, secret, now).await,
                    None => Ok(()),
                }
            }
            _ => return,
        };
        match done {
            Ok(()) => {
                self.secret_retry = Retry::default();
                self.failed = None;
            }
            Err(error) => {
                self.metrics.failures.inc();
                self.secret_retry.after(at);
                let Config {
                    namespace, secret, ..
                } = &self.config;
                self.failed = Some(format!("cannot keep the Secret {namespace}/{secret}: {error}"));
            }
        }
    }

    async fn create(&self, trusted: &[Root], now: Timestamp) -> Result<(), Error> {
        let owner = match &self.config.owner {
            Some(name) => Some(self.owner(name).await?),
            None => None,
        };
        let authorities = rotation::begin(trusted, &self.config.times, now)?;
        let secret = secret::new(&self.config.secret, owner, &authorities);
        let how = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        match within(self.api().create(&how, &secret)).await {
            Ok(secret) => {
                let serial = &authorities.signer.root.serial;
                let kept = authorities.previous.len();
                tracing::info!(secret = self.config.secret, serial, kept, "made a CA");
                self.tell(Some(secret));
                Ok(())
            }
            Err(error) if is_conflict(&error) => self.look().await,
            Err(error) => Err(error),
        }
    }

    async fn step(&self, step: Step, secret: Secret, now: Timestamp) -> Result<(), Error> {
        let Some(known) = &self.known else {
            return Ok(());
        };
        let authorities = step.take(known, &self.config.times, now)?;
        let changed = secret::changed(secret, &authorities);
        let how = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        match within(self.api().replace(&self.config.secret, &how, &changed)).await {
            Ok(secret) => {
                let signer = &authorities.signer.root.serial;
                tracing::info!(?step, signer, "took a step of the CA's rotation");
                if matches!(step, Step::Promote | Step::Replace) {
                    self.metrics.rotations.inc();
                }
                self.tell(Some(secret));
                Ok(())
            }
            Err(error) if is_conflict(&error) => self.look().await,
            Err(error) => Err(error),
        }
    }

    /// Takes a new certificate if it is time to.
    fn keep_leaf(&mut self) {
        let (at, now) = (Instant::now(), self.certs.now());
        let (Some(known), times) = (&self.known, &self.config.times) else {
            return;
        };
        let trusts = Now {
            held: &self.held,
            times,
            at,
        };
        let due = match &self.served {
            None => true,
            Some(served) => served.is_due(known, &self.requests, times, now, &trusts),
        };
        // Of a signer whose time is over nothing good can come.
        if !due || now >= known.signer.root.not_after {
            return;
        }
        let leaf = match known.signer.sign(&self.config.names, times.leaf, now) {
            Ok(leaf) => leaf,
            Err(error) => {
                self.failed = Some(format!("{error}. Check --serving-name"));
                return;
            }
        };
        let served = Served::new(&leaf, known, &self.requests);
        let given = Given {
            chain: vec![leaf.cert],
            key: leaf.key,
        };
        match self.certs.give(given) {
            Ok(()) => self.served = Some(served),
            Err(error) => self.failed = Some(format!("{error}. This is a bug: please report it")),
        }
    }

    /// Writes the bundle where it differs.
    async fn keep_bundle(&mut self, registration: &registration::Seen) {
        let at = Instant::now();
        let (Some(known), Seen::Present(registration)) = (&self.known, registration) else {
            return;
        };
        if !self.bundle_retry.is_over(at) {
            return;
        }
        let name = &self.config.webhook;
        let done = match self.keeper.due(registration, &known.bundle(), at) {
            Due::Nothing => return,
            Due::Undone(times) => {
                self.metrics.bundle_undone.inc();
                tracing::warn!(
                    name,
                    times,
                    "somebody changes the caBundle back: who else manages it? See docs/certificates.md"
                );
                return;
            }
            Due::Write(patch) => self.write(registration, patch).await,
        };
        match done {
            Ok(()) => self.bundle_retry = Retry::default(),
            Err(error) => {
                self.metrics.failures.inc();
                self.bundle_retry.after(at);
                tracing::warn!(name, %error, "cannot write the caBundle of the ValidatingWebhookConfiguration");
            }
        }
    }

    async fn write(&self, registration: &Registration, patch: serde_json::Value) -> Result<(), Error> {
        // The other watch may be ahead of this one: then another replica wrote what we do not know yet, and it would be
        // wrong to change it back.
        let now = within(self.api().get_opt(&self.config.secret)).await?;
        let version = |secret: &Option<Secret>| {
            secret
                .as_ref()
                .and_then(|it| it.metadata.resource_version.clone())
        };
        let seen = self.secrets.borrow().present().map(|it| Secret::clone(it));
        if version(&now) != version(&seen) {
            self.tell(now);
            return Ok(());
        }
        let configurations = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = &self.config.webhook;
        let written = within(configurations.patch_metadata(name, &how, &Patch::Strategic(patch))).await;
        match written {
            Ok(_) => {
                self.metrics.bundle_writes.inc();
                tracing::info!(name, uid = registration.uid, "wrote the caBundle");
                Ok(())
            }
            // It has changed or is gone: the watch tells.
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn owner(&self, name: &str) -> Result<OwnerReference, Error> {
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), &self.config.namespace);
        let found = within(deployments.get_metadata_opt(name)).await?;
        let metadata = found.map(|it| it.metadata).unwrap_or_default();
        match (metadata.uid, metadata.deletion_timestamp) {
            (Some(uid), None) => Ok(OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: name.to_owned(),
                uid,
                ..OwnerReference::default()
            }),
            _ => Err(Error::NoOwner(name.to_owned())),
        }
    }

    /// Looks at the Secret now, as the watch is behind.
    async fn look(&self) -> Result<(), Error> {
        let found = within(self.api().get_opt(&self.config.secret)).await?;
        self.tell(found);
        Ok(())
    }

    fn tell(&self, secret: Option<Secret>) {
        self.secrets
            .send_replace(secret.map_or(Seen::Missing, |it| Seen::Present(Arc::new(it))));
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.config.namespace)
    }
}

/// What is trusted at a moment.
struct Now<'k> {
    held: &'k Held,
    times: &'k Times,
    at: Instant,
}

impl Trusts for Now<'_> {
    fn holds(&self, root: &Root) -> bool {
        self.held.holds(root)
    }

    fn settled(&self, root: &Root) -> bool {
        self.held.settled(root, self.times.settle, self.at)
    }
}

impl Retry {
    fn is_over(&self, at: Instant) -> bool {
        self.not_before.is_none_or(|then| at >= then)
    }

    fn after(&mut self, at: Instant) {
        let pause = Duration::from_secs(1).saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(at + pause.min(RETRY_MAX));
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    Ok(timeout(PATIENCE, request).await.map_err(|_| Error::Timeout)??)
}

/// Another was faster, or deleted it.
fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Client(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
}
