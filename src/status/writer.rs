//! Writes statuses while this replica is elected.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use datagate_api::v1alpha1::{DatasetPolicy, DatasetRecord, PolicyStatus, RecordStatus};
use datagate_core::world::RecordSlot;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::compute::{Survey, next_change, policy_status, record_status};
use super::facts::{Facts, Webhook};
use super::known::Known;
use super::replicas::{self, Replicas, Standing};
use super::{Config, Inputs, report};
use crate::index::{Catalogued, Snapshot, Snapshots, Stored, Version};
use crate::metrics::StatusMetrics;
use crate::registration::Registrations;
use crate::server::WallClock;
use crate::stop::Stop;

/// The field manager, by which others see who wrote a field.
const MANAGER: &str = "datagate";

/// Writes at a time: few, as nobody waits for them.
const AT_A_TIME: usize = 8;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(3);

/// For one page of a list.
const LIST_PATIENCE: Duration = Duration::from_secs(30);

/// After this long what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// A page of a list.
const PAGE: u32 = 500;

/// Waits to be elected and writes while it lasts.
pub(super) async fn run(
    config: &Config,
    client: Client,
    inputs: &Inputs,
    clock: WallClock,
    mut leading: watch::Receiver<Option<Instant>>,
    metrics: StatusMetrics,
    mut stop: Stop,
) {
    loop {
        tokio::select! {
            () = stop.told() => return,
            led = leading.wait_for(Option::is_some) => if led.is_err() { return },
        }
        let own = report::name(&config.lease, &config.replica);
        let (seen, replicas) = watch::channel(Replicas::new(own, config.lease_duration));
        let mut writer = Writer {
            config,
            client: client.clone(),
            clock: clock.clone(),
            leading: leading.clone(),
            metrics: metrics.clone(),
            known: HashMap::new(),
            facts: Facts {
                webhook: Webhook::NotLookedFor,
                observe: config.observe,
                standing: Standing::Unknown,
            },
            registrations: inputs.registrations.clone(),
            replicas,
            since: Instant::now(),
        };
        tokio::select! {
            () = stop.told() => return,
            _ = leading.wait_for(Option::is_none) => {}
            () = replicas::follow(config, client.clone(), &seen) => {}
            () = writer.work(inputs.snapshots.clone()) => {}
        }
        metrics.platform.leads_no_more();
    }
}

type Key = (Catalogued, Box<str>);

/// One term of office.
struct Writer<'a> {
    config: &'a Config,
    client: Client,
    clock: WallClock,
    leading: watch::Receiver<Option<Instant>>,
    metrics: StatusMetrics,
    known: HashMap<Key, Known>,
    facts: Facts,
    registrations: Registrations,
    replicas: watch::Receiver<Replicas>,
    /// When the term began.
    since: Instant,
}

/// A status to be written.
struct Write {
    key: Key,
    uid: Box<str>,
    status: Value,
    then: Known,
}

/// What the loop woke up for.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    policies: bool,
    records: bool,
}

impl Writer<'_> {
    /// Ends only if there will be no more snapshots.
    async fn work(&mut self, mut snapshots: Snapshots) {
        let mut due = Due {
            policies: true,
            records: true,
        };
        let mut resync = Instant::now();
        let mut retry: Option<Instant> = None;
        let mut boundary: Option<Timestamp> = None;
        let mut grace = Some(self.grace());
        // A replica that has just started is about to be ready. Saying that it is not would only make noise.
        let ready = self.replicas.wait_for(|it| it.is_ready(Instant::now()));
        let _ = timeout(PATIENCE, ready).await;
        loop {
            if Instant::now() >= resync {
                match self.load().await {
                    Ok(()) => resync = Instant::now() + self.config.resync,
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the statuses as they are: trying again");
                        sleep(RETRY).await;
                        continue;
                    }
                }
                due = Due {
                    policies: true,
                    records: true,
                };
            }
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = &snapshot {
                due.policies |= self.look(snapshot);
                let now = (self.clock)();
                due.policies |= boundary.is_some_and(|at| at <= now);
                if due.policies {
                    let policies = snapshot
                        .world
                        .policies()
                        .filter_map(|slot| slot.policy.as_deref());
                    boundary = policies.filter_map(|policy| next_change(policy, now)).min();
                }
                let writes = self.writes(snapshot, due, now);
                retry = (!self.write(writes).await).then(|| Instant::now() + RETRY);
            }
            due = Due::default();
            let look = Instant::now() + self.config.look;
            let boundary_in =
                boundary.and_then(|at| Duration::try_from(at.duration_since((self.clock)())).ok());
            let at_boundary = boundary_in.map(|after| Instant::now() + after.min(self.config.look));
            let report_ends = self.replicas.borrow().next_end(Instant::now());
            let wake = [Some(look), Some(resync), retry, at_boundary, report_ends, grace];
            let wake = wake.into_iter().flatten().min().unwrap_or(look);
            tokio::select! {
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    due = Due { policies: true, records: true };
                    sleep(self.config.debounce).await;
                }
                Ok(()) = self.registrations.changed() => {}
                Ok(()) = self.replicas.changed() => {}
                () = sleep_until(wake) => {
                    if retry.is_some_and(|at| at <= Instant::now()) {
                        due = Due { policies: true, records: true };
                    }
                    due.policies |= grace.take_if(|at| *at <= Instant::now()).is_some();
                }
            }
        }
    }

    /// Looks at what is not in the snapshot; says whether any policy may be shown differently.
    fn look(&mut self, snapshot: &Snapshot) -> bool {
        let webhook = Webhook::of(self.config, &self.registrations.borrow_and_update());
        let replicas = self.replicas.borrow_and_update();
        let standing = replicas.standing(&snapshot.sightings, Instant::now());
        drop(replicas);
        self.metrics.platform.standing(&standing);
        let new = Facts {
            webhook,
            observe: self.config.observe,
            standing,
        };
        let differs = new != self.facts;
        self.facts = new;
        differs
    }

    /// Until when the reports of the replicas may still be on their way to a leader that has just been elected. What is
    /// shown as ready stays so meanwhile.
    fn grace(&self) -> Instant {
        self.since + self.config.lease_duration
    }

    /// Reads all statuses as they are.
    async fn load(&mut self) -> Result<(), Error> {
        let mut known = HashMap::new();
        let client = &self.client;
        let conditions = |status: &PolicyStatus| status.conditions.clone();
        load::<DatasetPolicy, _>(client, Catalogued::Policy, conditions, &mut known).await?;
        let conditions = |status: &RecordStatus| status.conditions.clone();
        load::<DatasetRecord, _>(client, Catalogued::Record, conditions, &mut known).await?;
        self.known = known;
        Ok(())
    }

    /// The statuses that differ from what the objects have.
    fn writes(&mut self, snapshot: &Snapshot, due: Due, now: Timestamp) -> Vec<Write> {
        let mut writes = Vec::new();
        if due.policies {
            let survey = Survey::of(&snapshot.world, &self.config.excluded_namespaces);
            let mut not_ready: BTreeMap<String, usize> = BTreeMap::new();
            for slot in snapshot.world.policies() {
                let key = (Catalogued::Policy, slot.name.clone());
                let read = slot.policy.as_ref().map(|it| (&*it.uid, it.generation));
                let Some((uid, generation)) = version(snapshot, &key, read) else {
                    continue;
                };
                let coverage = survey.coverage(&slot.name);
                let status = policy_status(slot, generation, &coverage, &self.facts, now);
                let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
                if let Some(ready) = ready.filter(|it| it.status != "True") {
                    let count = not_ready.entry(ready.reason.clone()).or_default();
                    *count = count.saturating_add(1);
                    let was_ready = |known: &Known| *known.uid == *uid && known.was_ready(generation);
                    let late = ["ReplicasBehind", "NoReplicaReady", "ReplicasUnknown"];
                    if Instant::now() < self.grace()
                        && late.contains(&&*ready.reason)
                        && self.known.get(&key).is_some_and(was_ready)
                    {
                        continue;
                    }
                }
                writes.extend(self.differs(key, uid, status, |status| &mut status.conditions));
            }
            self.metrics.platform.not_ready(not_ready);
        }
        if due.records {
            for (name, slot) in snapshot.world.records() {
                let key = (Catalogued::Record, name.into());
                let read = match slot {
                    RecordSlot::Ready(it) => Some((&*it.record.uid, it.record.generation)),
                    RecordSlot::Unreadable(_) => None,
                };
                let Some((uid, generation)) = version(snapshot, &key, read) else {
                    continue;
                };
                let status = record_status(slot, generation, now);
                writes.extend(self.differs(key, uid, status, |status| &mut status.conditions));
            }
            let world = &snapshot.world;
            let policies: std::collections::HashSet<&str> = world.policies().map(|it| &*it.name).collect();
            self.known.retain(|(kind, name), _| match kind {
                Catalogued::Policy => policies.contains(&**name),
                Catalogued::Record => world.record(name).is_some(),
            });
        }
        writes
    }

    fn differs<S: Serialize>(
        &self,
        key: Key,
        uid: &str,
        mut status: S,
        conditions: fn(&mut S) -> &mut Vec<Condition>,
    ) -> Option<Write> {
        let known = self.known.get(&key).filter(|known| *known.uid == *uid);
        if let Some(known) = known {
            known.carry_over(conditions(&mut status));
        }
        let conditions = conditions(&mut status).clone();
        let then = Known::new(uid, &status, &conditions);
        if known == Some(&then) {
            return None;
        }
        Some(Write {
            key,
            uid: uid.into(),
            status: serde_json::to_value(&status).ok()?,
            then,
        })
    }

    /// Writes; says whether all went well.
    async fn write(&mut self, writes: Vec<Write>) -> bool {
        let client = &self.client;
        let leading = &self.leading;
        let done: Vec<_> = stream::iter(writes)
            .map(async |write| {
                // Whoever was asleep for a while may have lost the lease without having noticed.
                let enough = Instant::now() + PATIENCE;
                if leading.borrow().is_none_or(|until| until < enough) {
                    return (write, Err(Error::NotLeading));
                }
                let sent = match write.key.0 {
                    Catalogued::Policy => timeout(PATIENCE, send::<DatasetPolicy>(client, &write)).await,
                    Catalogued::Record => timeout(PATIENCE, send::<DatasetRecord>(client, &write)).await,
                };
                let sent = sent.unwrap_or(Err(Error::Timeout(PATIENCE)));
                (write, sent)
            })
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        let mut well = true;
        for (write, sent) in done {
            match sent {
                Ok(()) => {
                    self.metrics.writes.inc();
                    self.known.insert(write.key, write.then);
                }
                // It is gone, or another one has its name: the index will tell.
                Err(Error::Client(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                    self.known.remove(&write.key);
                }
                Err(error) => {
                    well = false;
                    self.metrics.write_failures.inc();
                    tracing::warn!(kind = ?write.key.0, name = &*write.key.1, %error, "cannot write status: trying again");
                }
            }
        }
        well
    }
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("another replica may be writing by now")]
    NotLeading,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Client(#[from] kube::Error),
}

/// The newest version of an object: its own, unless that cannot be read.
fn version<'s>(snapshot: &'s Snapshot, key: &Key, read: Option<(&'s str, i64)>) -> Option<(&'s str, i64)> {
    let unreadable = |it: &'s Version| (&*it.uid, it.generation);
    snapshot.unreadable.get(key).map(unreadable).or(read)
}

/// With server-side apply: a field that is not sent any more goes, and fields of others are left alone. With the uid,
/// so that an object made anew does not get the status of its predecessor.
async fn send<K>(client: &Client, write: &Write) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    let objects = Api::<Stored<K>>::all(client.clone());
    let name = &write.key.1;
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": write.uid},
        "status": write.status,
    });
    let how = PatchParams::apply(MANAGER).force();
    objects.patch_status(name, &how, &Patch::Apply(patch)).await?;
    Ok(())
}

/// Reads the statuses of a kind, page by page. One that cannot be read is none.
async fn load<K, S>(
    client: &Client,
    kind: Catalogued,
    conditions: fn(&S) -> Vec<Condition>,
    into: &mut HashMap<Key, Known>,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    S: DeserializeOwned + Serialize + Default,
{
    let objects = Api::<Stored<K>>::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = timeout(LIST_PATIENCE, objects.list(&page)).await;
        let list = list.map_err(|_| Error::Timeout(LIST_PATIENCE))??;
        for object in list.items {
            let (Some(name), Some(uid)) = (object.metadata.name, object.metadata.uid) else {
                continue;
            };
            if let Ok(status) = serde_json::from_value::<S>(object.status) {
                let known = Known::new(&uid, &status, &conditions(&status));
                into.insert((kind, name.into()), known);
            }
        }
        match list.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(()),
        }
    }
}
