//! kubectl, helm and the few things that every cluster test does with them.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::wait::{stdout_of, tail_of, wait_until};
use crate::{Binaries, Error, wait};

/// Long enough for a controller on a busy machine, short enough for somebody who waits for a failed test.
const PATIENCE: Duration = Duration::from_secs(60);

/// An administrator of one cluster: its kubeconfig, kubectl and helm, in the folder of that cluster.
///
/// [`ControlPlane`](crate::ControlPlane) and [`NodeCluster`](crate::NodeCluster) are used as one.
#[derive(Debug, Clone)]
pub struct Client {
    dir: PathBuf,
    kubeconfig: PathBuf,
    api_url: String,
    kubectl: PathBuf,
    helm: PathBuf,
    has_controllers: bool,
    /// The programs whose logs are shown when a test fails.
    shown: &'static [&'static str],
}

/// With the places of what only root runs: a node needs it, and nothing else minds.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Keeps the user's settings, caches and proxies away from a program.
pub(crate) fn isolate<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", dir.join("home"))
        .env("TMPDIR", dir.join("tmp"))
}

/// A client program, as administrator of the control plane in `dir`.
pub(crate) fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    isolate(&mut command, dir).env("KUBECONFIG", dir.join("kubeconfig"));
    command
}

/// Where the program of that name writes its output.
pub(crate) fn log_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).with_extension("log")
}

impl Client {
    /// Makes the folders that the programs need, and `bin` with links to kubectl and helm.
    pub(crate) fn create(
        dir: &Path,
        api_url: &str,
        binaries: &Binaries,
        has_controllers: bool,
        shown: &'static [&'static str],
    ) -> Result<Self, Error> {
        for folder in ["home", "tmp", "bin"] {
            let path = dir.join(folder);
            fs::create_dir(&path).map_err(Error::io("make", path))?;
        }
        for (name, program) in [("kubectl", binaries.kubectl()), ("helm", binaries.helm())] {
            let link = dir.join("bin").join(name);
            let program = fs::canonicalize(program).map_err(Error::io("find", program))?;
            symlink(program, &link).map_err(Error::io("link", link))?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            kubeconfig: dir.join("kubeconfig"),
            api_url: api_url.to_owned(),
            kubectl: binaries.kubectl().to_owned(),
            helm: binaries.helm().to_owned(),
            has_controllers,
            shown,
        })
    }

    /// The kubeconfig of an administrator (`system:masters`).
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address of the API server.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The folder of this cluster, removed with it; tests may put files there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder with kubectl and helm, to be put first on a PATH.
    #[must_use]
    pub fn bin_dir(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// kubectl as administrator, with nothing of the user's settings or caches.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = command(&self.kubectl, &self.dir);
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
        let mut command = command(&self.helm, &self.dir);
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
            .map_err(Error::io("run", &self.kubectl))
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
            .map_err(|error| Error::io("read the answer of", &self.kubectl)(error.into()))
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
        let logs: String = self
            .shown
            .iter()
            .map(|name| format!("--- {name}\n{}\n", tail_of(&log_of(&self.dir, name))))
            .collect();
        format!(
            "--- workloads\n{workloads}--- events\n{}\n{logs}",
            wait::tail(&events)
        )
    }
}
