//! Whether an installation does what it is there for: a policy of its own, and training jobs that must be refused and
//! admitted by it.
//!
//! The jobs are dry runs, so nothing ever runs. What is made is removed, however it ends.

use std::future::Future;
use std::time::Duration;

use datagate_api::v1alpha1::DatasetPolicy;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Between two looks at something that takes its time.
const PAUSE: Duration = Duration::from_millis(500);

/// Whom the refusals of the policy name.
const CONTACT: &str = "whoever ran datagate selftest";

/// The label by which a selftest knows what it made.
const MADE_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "datagate-selftest");

/// What is tested.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the policy, and of the namespace if it makes one.
    pub name: String,
    /// A namespace that exists, without other policies.
    pub namespace: Option<String>,
    /// Whether the server refuses nothing (`--observe`).
    pub observe: bool,
    /// How long it waits for the policy and for the webhook.
    pub patience: Duration,
}

/// Why the test is not passed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installation does not do what it must.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be told: no rights, no answer.
    #[error("cannot {what}: {error}")]
    Unable {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: Box<kube::Error>,
    },
    /// Something of the name that it wants is there, and is not its own.
    #[error(
        "{kind} {name} exists and was made by nobody's selftest, so it is left alone. Choose another --name"
    )]
    Taken {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// It was told to stop.
    #[error("stopped by a signal before the end")]
    Stopped,
    /// It holds an object of its own that is none. A bug.
    #[error("an object of the test is not what it should be, please report it: {0}")]
    Object(#[from] serde_json::Error),
}

/// The test, with what it made so far.
struct Test<'a> {
    client: Client,
    options: &'a Options,
    say: &'a mut dyn FnMut(&str),
}

/// Makes a policy, waits until it is in force, submits jobs, removes what it made. `say` is told each step; `stop` ends
/// it early.
///
/// # Errors
///
/// If the installation does not do what it must, or that cannot be told.
pub async fn run(
    client: Client,
    options: &Options,
    stop: impl Future<Output = ()>,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let mut test = Test { client, options, say };
    let outcome = tokio::select! {
        outcome = test.pass() => outcome,
        () = stop => Err(Error::Stopped),
    };
    let removed = test.remove().await;
    outcome.and(removed)
}

impl Test<'_> {
    /// Where the jobs are submitted.
    fn namespace(&self) -> &str {
        self.options.namespace.as_deref().unwrap_or(&self.options.name)
    }

    fn policies(&self) -> Api<DatasetPolicy> {
        Api::all(self.client.clone())
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), self.namespace())
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    async fn pass(&mut self) -> Result<(), Error> {
        // Of an earlier run that was killed.
        self.remove().await?;
        let deadline = Instant::now() + self.options.patience;
        let name = self.options.name.clone();
        if self.options.namespace.is_none() {
            let namespace = object(json!({"metadata": {"name": name, "labels": labels()}}))?;
            self.create(
                &self.namespaces(),
                &namespace,
                &format!("make namespace {name}"),
                deadline,
            )
            .await?;
            (self.say)(&format!("made namespace {name}"));
        }
        let policy = policy(&name, self.namespace())?;
        self.create(
            &self.policies(),
            &policy,
            &format!("make DatasetPolicy {name}"),
            deadline,
        )
        .await?;
        let namespace = self.namespace();
        let made = format!("made DatasetPolicy {name} for namespace {namespace}");
        (self.say)(&made);
        self.ready(deadline).await?;
        if self.options.observe {
            for (what, job) in [
                ("paused", paused()),
                ("undeclared", undeclared()),
                ("compliant", compliant()),
            ] {
                self.admitted(what, job).await?;
            }
            return Ok(());
        }
        self.refused(
            "paused",
            paused(),
            deadline,
            &["RegionPaused", "AQ", &format!("{name}/selftest"), CONTACT],
        )
        .await?;
        self.refused("undeclared", undeclared(), deadline, &["DataUndeclared"])
            .await?;
        self.admitted("compliant", compliant()).await
    }

    /// Creates an object; one of that name may still be going away.
    async fn create<K>(&self, api: &Api<K>, new: &K, what: &str, deadline: Instant) -> Result<(), Error>
    where
        K: Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
    {
        loop {
            match api.create(&PostParams::default(), new).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_already_exists() && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(unable(what, error)),
            }
        }
    }

    /// Waits until the policy is in force.
    async fn ready(&mut self, deadline: Instant) -> Result<(), Error> {
        let name = &self.options.name;
        let mut last = "datagate has not looked at it".to_owned();
        loop {
            let policy = self.policies().get(name).await;
            let policy = policy.map_err(|error| unable(format!("read DatasetPolicy {name}"), error))?;
            let conditions = policy.status.map(|it| it.conditions).unwrap_or_default();
            if let Some(ready) = conditions.iter().find(|it| it.type_ == "Ready") {
                let current = ready.observed_generation == policy.metadata.generation;
                // In this mode nothing is ever refused, and the status says so.
                let observing = self.options.observe && ready.reason == "ObserveMode";
                if current && (ready.status == "True" || observing) {
                    (self.say)(&format!("DatasetPolicy {name} is in force: {}", ready.reason));
                    return Ok(());
                }
                last = format!("{}: {}", ready.reason, ready.message);
            }
            if Instant::now() >= deadline {
                return Err(Error::Wrong(format!(
                    "DatasetPolicy {name} is not Ready after {} s: {last}",
                    self.options.patience.as_secs()
                )));
            }
            sleep(PAUSE).await;
        }
    }

    /// Submits a job until it is refused as it must be: an API server may learn late that there is a webhook.
    async fn refused(
        &mut self,
        what: &str,
        job: Value,
        deadline: Instant,
        words: &[&str],
    ) -> Result<(), Error> {
        loop {
            let answer = self.submit(what, job.clone()).await?;
            let wrong = match &answer {
                None => "it was admitted".to_owned(),
                Some(status) => match words.iter().find(|word| !status.message.contains(**word)) {
                    None if status.code == 422 => {
                        let first =
                            findings(status).find(|it| words.first().is_some_and(|word| it.contains(word)));
                        let first = first.unwrap_or(&status.message).trim();
                        (self.say)(&format!("the {what} job was refused: {first}"));
                        return Ok(());
                    }
                    None => format!(
                        "it was refused with code {}, not 422: {}",
                        status.code, status.message
                    ),
                    Some(word) => format!("the refusal does not say {word}: {}", status.message),
                },
            };
            if Instant::now() >= deadline {
                return Err(Error::Wrong(format!(
                    "the {what} job must be refused, but {wrong}"
                )));
            }
            sleep(PAUSE).await;
        }
    }

    async fn admitted(&mut self, what: &str, job: Value) -> Result<(), Error> {
        match self.submit(what, job).await? {
            None => {
                (self.say)(&format!("the {what} job was admitted"));
                Ok(())
            }
            Some(status) if self.is_of_others(&status) => {
                let line = findings(&status).next().unwrap_or(&status.message).to_owned();
                (self.say)(&format!(
                    "the {what} job was refused, but not by the policy of this test: {line}"
                ));
                Ok(())
            }
            Some(status) => Err(Error::Wrong(format!(
                "the {what} job must be admitted, but it was refused: {}",
                status.message
            ))),
        }
    }

    /// Whether a refusal is that of another policy or another webhook, which governs this namespace too.
    fn is_of_others(&self, status: &Status) -> bool {
        let name = &self.options.name;
        let some = findings(status).next().is_some();
        let ours = findings(status).any(|finding| finding.contains(name));
        let of_datagate = status.message.contains(".datagate.dev\"");
        status.code < 500 && !ours && (!of_datagate || some)
    }

    /// Submits a job as a dry run; gives the refusal.
    async fn submit(&self, what: &str, job: Value) -> Result<Option<Box<Status>>, Error> {
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match self.jobs().create(&dry_run, &object(job)?).await {
            Ok(_) => Ok(None),
            // What RBAC says is about us, not about the job.
            Err(kube::Error::Api(status))
                if status.code == 403 && status.message.contains("cannot create resource") =>
            {
                Err(unable(format!("submit the {what} job"), kube::Error::Api(status)))
            }
            Err(kube::Error::Api(status)) => Ok(Some(status)),
            Err(error) => Err(unable(format!("submit the {what} job"), error)),
        }
    }

    /// Removes what was made, and waits for nothing.
    async fn remove(&mut self) -> Result<(), Error> {
        let name = self.options.name.clone();
        let policy = remove_own(&self.policies(), "DatasetPolicy", &name).await;
        let namespace = match &self.options.namespace {
            Some(_) => Ok(false),
            None => remove_own(&self.namespaces(), "namespace", &name).await,
        };
        if policy? {
            (self.say)(&format!("removed DatasetPolicy {name}"));
        }
        if namespace? {
            (self.say)(&format!("removed namespace {name}"));
        }
        Ok(())
    }
}

/// What datagate found, each as a line of its own.
fn findings(status: &Status) -> impl Iterator<Item = &str> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.field != "help")
        .map(|cause| cause.message.as_str())
}

/// Deletes what a selftest made, and nothing else: `--name` may be that of a policy in force. Says whether there was any.
async fn remove_own<K>(api: &Api<K>, kind: &'static str, name: &str) -> Result<bool, Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let what = || format!("remove {kind} {name}, which this test made: do it by hand");
    let found = api.get_metadata_opt(name).await;
    let Some(found) = found.map_err(|error| unable(what(), error))? else {
        return Ok(false);
    };
    let metadata = found.metadata;
    // On its way out already, whoever made it.
    if metadata.deletion_timestamp.is_some() {
        return Ok(false);
    }
    let maker = metadata.labels.as_ref().and_then(|it| it.get(MADE_BY.0));
    if maker.is_none_or(|it| it != MADE_BY.1) {
        let name = name.to_owned();
        return Err(Error::Taken { kind, name });
    }
    let this = Preconditions {
        uid: metadata.uid,
        resource_version: None,
    };
    match api
        .delete(name, &DeleteParams::default().preconditions(this))
        .await
    {
        Ok(_) => Ok(true),
        // A namespace that is going already says conflict.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(unable(what(), error)),
    }
}

fn unable(what: impl Into<String>, error: kube::Error) -> Error {
    let (what, error) = (what.into(), Box::new(error));
    Error::Unable { what, error }
}

fn object<K: DeserializeOwned>(value: Value) -> Result<K, serde_json::Error> {
    serde_json::from_value(value)
}

fn labels() -> Value {
    json!({MADE_BY.0: MADE_BY.1})
}

/// Nobody lives in Antarctica, so nothing else is paused by this.
fn policy(name: &str, namespace: &str) -> Result<DatasetPolicy, serde_json::Error> {
    object(json!({
        "apiVersion": "datagate.dev/v1alpha1",
        "kind": "DatasetPolicy",
        "metadata": {"name": name, "labels": labels()},
        "spec": {
            "validationActions": ["Deny"],
            "undeclared": "Deny",
            "workloads": "Accelerated",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "acceptedDeclarations": ["Regions"],
            "contact": CONTACT,
            "pauses": [{"name": "selftest", "match": {"regions": ["AQ"]}}],
        },
    }))
}

/// A job that asks for an accelerator, as far as Kubernetes can tell.
fn job(annotations: &Value) -> Value {
    json!({
        "metadata": {"name": "train", "annotations": annotations, "labels": labels()},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "train",
                "image": "datagate.dev/never-pulled",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"limits": {"datagate.dev/accelerator": "1"}},
            }],
        }}},
    })
}

fn undeclared() -> Value {
    job(&json!({}))
}

fn paused() -> Value {
    job(&json!({"datagate.dev/purpose": "GenerativeAITraining", "datagate.dev/regions": "AQ"}))
}

fn compliant() -> Value {
    job(&json!({"datagate.dev/purpose": "GenerativeAITraining", "datagate.dev/regions": "US"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_policy_is_one() {
        let policy = policy("datagate-selftest", "ns").unwrap();
        assert_eq!(policy.spec.pauses.len(), 1);
        assert_eq!(policy.spec.contact.as_deref(), Some(CONTACT));
    }

    #[test]
    fn its_jobs_are_jobs() {
        for job in [undeclared(), paused(), compliant()] {
            let job: Job = object(job).unwrap();
            assert!(job.spec.is_some());
        }
    }
}
