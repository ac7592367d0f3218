//! kubectl, helm and the few things that every cluster test does with them.

use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Component, ControlPlane};
use crate::wait::{stdout_of, wait_until};
use crate::{Error, wait};

/// Long enough for a controller on a busy machine, short enough for somebody who waits for a failed test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps the user's settings, caches and proxies away from a program.
pub(super) fn isolate<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", dir.join("home"))
        .env("TMPDIR", dir.join("tmp"))
}

/// A client program, as administrator of the control plane in `dir`.
pub(super) fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    isolate(&mut command, dir).env("KUBECONFIG", dir.join("kubeconfig"));
    command
}

impl ControlPlane {
    /// kubectl as administrator, with nothing of the user's settings or caches.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = command(self.binaries.kubectl(), &self.dir);
        command.args(arguments);
        command
    }

    /// kubectl as another user. A service account (`system:serviceaccount:NAMESPACE:NAME`) is given its
    /// groups by the API server if `groups` is empty.
    pub fn kubectl_as<A: AsRef<OsStr>>(
        &self,
        user: &str,
        groups: &[&str],
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.kubectl([format!("--as={user}")]);
        command
            .args(groups.iter().map(|group| format!("--as-group={group}")))
            .args(arguments);
        command
    }

    /// helm as administrator, with nothing of the user's settings or caches.
    pub fn helm<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = command(self.binaries.helm(), &self.dir);
        command.args(arguments);
        command
    }

    /// Runs `kubectl apply` on these documents; whether it was accepted stands in the output.
    ///
    /// # Errors
    ///
    /// When kubectl cannot be run.
    pub fn apply(&self, yaml: &str) -> Result<Output, Error> {
        let mut command = self.kubectl(["apply", "--filename=-"]);
        self.with_input(&mut command, yaml)?
            .output()
            .map_err(Error::io("run", self.binaries.kubectl()))
    }

    /// Runs a command on this input.
    ///
    /// From a file, because whoever fills a pipe must read the answer at the same time.
    ///
    /// # Errors
    ///
    /// When the input cannot be put into a temporary file.
    pub fn with_input<'a>(&self, command: &'a mut Command, input: &str) -> Result<&'a mut Command, Error> {
        let write = || {
            let mut file = tempfile::tempfile_in(&self.dir)?;
            file.write_all(input.as_bytes())?;
            file.rewind()?;
            Ok(file)
        };
        let file = write().map_err(Error::io("write to", &self.dir))?;
        Ok(command.stdin(file))
    }

    /// Runs `kubectl get ... -o json`.
    ///
    /// # Errors
    ///
    /// When kubectl fails, for example because there is no such object.
    pub fn get<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Value, Error> {
        let mut command = self.kubectl(["get", "--output=json"]);
        let answer = stdout_of(command.args(arguments))?;
        serde_json::from_str(&answer)
            .map_err(|error| Error::io("read the answer of", self.binaries.kubectl())(error.into()))
    }

    /// Makes a namespace and waits for its service account, without which no pod can be made in it.
    ///
    /// # Errors
    ///
    /// When there is one of that name, or the service account does not come.
    pub fn create_namespace(&self, name: &str) -> Result<(), Error> {
        stdout_of(&mut self.kubectl(["create", "namespace", name]))?;
        if !self.has_controllers {
            return Ok(());
        }
        let what = format!("the service account of namespace {name}");
        self.wait_until(&what, PATIENCE, || {
            self.get(["serviceaccount", "default", "--namespace", name]).ok()
        })
        .map(drop)
    }

    /// Makes a Service by which the API server reaches `127.0.0.1`, at the port that `clientConfig.service`
    /// gives; so a webhook of this process is registered as one in a cluster would be.
    ///
    /// The API server asks for `NAME.NAMESPACE.svc` and offers only HTTP/1.1, as in production. With
    /// `clientConfig.url` and a loopback address it would offer HTTP/2 too. No root and no hosts file is needed.
    ///
    /// # Errors
    ///
    /// When the namespace does not exist or the Service does.
    pub fn create_local_service(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        let mut command = self.kubectl(["create", "--filename=-"]);
        stdout_of(self.with_input(&mut command, &service.to_string())?).map(drop)
    }

    /// Looks again and again until `look` gives a value.
    ///
    /// # Errors
    ///
    /// When `timeout` passed; the error shows the workloads, the last events and the ends of the logs.
    pub fn wait_until<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, Error> {
        wait_until(what, timeout, || look().ok_or_else(String::new)).map_err(|error| match error {
            Error::Timeout { what, after, .. } => Error::Timeout {
                what,
                after,
                state: self.state(),
            },
            other => other,
        })
    }

    /// What somebody wants to see when a test fails: workloads, events and the ends of the logs.
    #[must_use]
    pub fn state(&self) -> String {
        let show = |arguments: &[&str]| {
            stdout_of(&mut self.kubectl(arguments)).unwrap_or_else(|error| error.to_string())
        };
        let workloads = show(&["get", "cronjobs,jobs,pods", "--all-namespaces"]);
        let events = show(&[
            "get",
            "events",
            "--all-namespaces",
            "--sort-by=.metadata.creationTimestamp",
        ]);
        let logs = [Component::ApiServer, Component::ControllerManager]
            .map(|component| format!("--- {}\n{}\n", component.name(), self.log_tail(component)));
        format!(
            "--- workloads\n{workloads}--- events\n{}\n{}",
            wait::tail(&events),
            logs.concat()
        )
    }
}
