//! A folder and the processes that run in it, which outlive neither this value nor this process.
//!
//! A shell in a process group of its own (`watchdog.sh`) makes the folder and holds the read end of a pipe.
//! Whether this process drops the value, panics, is interrupted or is killed with SIGKILL: the pipe closes,
//! and the shell ends every process and removes the folder. The ordinary stop takes the same way, so the
//! way for emergencies is used every day.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::wait::{INTERVAL, tail_of};

const SCRIPT: &str = include_str!("watchdog.sh");

/// Waits for a line before it becomes the program: were the program started at once and this process
/// killed before it told the watchdog, nobody would know of it.
const GATE: &str = r#"read -r _ && exec "$@" </dev/null"#;

/// A folder and processes that go when this value goes.
#[derive(Debug)]
pub(crate) struct Watchdog {
    dir: PathBuf,
    /// Its closing is the order to stop.
    pipe: Option<ChildStdin>,
    shell: Child,
    children: Vec<(String, Child)>,
}

impl Watchdog {
    /// Makes a folder in `parent`.
    pub(crate) fn start(parent: &Path) -> Result<Self, Error> {
        let parent = &std::path::absolute(parent).map_err(Error::io("find", parent))?;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "datagate-env-watchdog"])
            .arg(parent)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C, and of whoever kills the group of this process.
            .process_group(0)
            .spawn()
            .map_err(Error::io("run", "/bin/sh"))?;
        let pipe = shell.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(Error::io("read the name of a new folder in", parent))?;
        }
        let watchdog = Self {
            dir: PathBuf::from(line.trim_end()),
            pipe,
            shell,
            children: Vec::new(),
        };
        if watchdog.dir.as_os_str().is_empty() {
            return Err(Error::Io {
                doing: "make a folder in",
                path: parent.to_owned(),
                source: std::io::Error::other("mktemp failed"),
            });
        }
        Ok(watchdog)
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a program in a process group of its own, with its output going to `log`.
    ///
    /// `prepare` sets environment and folder; program and arguments are given apart because a gate runs first.
    pub(crate) fn spawn<A: AsRef<OsStr>>(
        &mut self,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<(), Error> {
        let out = File::create(log).map_err(Error::io("write", log))?;
        let err = out.try_clone().map_err(Error::io("write", log))?;
        let mut command = Command::new("/bin/sh");
        prepare(&mut command);
        let mut child = command
            .args(["-c", GATE, name])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(Error::io("run", program))?;
        let gate = child.stdin.take();
        let group = child.id();
        self.children.push((name.to_owned(), child));
        self.watch("group", group)?;
        if let Some(mut gate) = gate {
            gate.write_all(b"\n").map_err(Error::io("start", program))?;
        }
        Ok(())
    }

    /// Has a process that uses the programs ended before them: asked with SIGTERM, and made to after 5 s.
    pub(crate) fn watch_user(&mut self, pid: u32) -> Result<(), Error> {
        self.watch("user", pid)
    }

    fn watch(&mut self, kind: &str, pid: u32) -> Result<(), Error> {
        self.tell(&format!("{kind} {pid}"))
    }

    fn tell(&mut self, line: &str) -> Result<(), Error> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        pipe.write_all(format!("{line}\n").as_bytes())
            .map_err(Error::io("tell the watchdog of", &self.dir))
    }

    /// How the process of that name ended, if it did.
    pub(crate) fn exited(&mut self, name: &str) -> Option<ExitStatus> {
        self.child(name)?.try_wait().ok().flatten()
    }

    /// Waits for the end of the process of that name.
    pub(crate) fn wait(&mut self, name: &str) -> Result<ExitStatus, Error> {
        match self.child(name) {
            Some(child) => child.wait().map_err(Error::io("wait for", name)),
            None => Err(Error::io("wait for", name)(std::io::Error::other(
                "it was never started",
            ))),
        }
    }

    /// Waits until a program that was started here is ready; its end, or none after `timeout`, is an error that
    /// shows the end of its log.
    pub(crate) fn wait_for(
        &mut self,
        name: &str,
        log: &Path,
        what: &str,
        timeout: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let failed = |why| {
            let (component, tail) = (name.to_owned(), tail_of(log));
            Err(Error::Start { component, why, tail })
        };
        while !ready() {
            if let Some(status) = self.exited(name) {
                return failed(format!("it ended with {status}"));
            }
            if begun.elapsed() >= timeout {
                return failed(format!("waited {} s for {what}", timeout.as_secs()));
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// Has a cgroup and those below it removed after the programs. To be told before the group is made.
    pub(crate) fn remove_cgroup(&mut self, dir: &Path) -> Result<(), Error> {
        self.tell(&format!("cgroup {}", dir.display()))
    }

    /// Kills the program of that name, and collects all programs, which must end with it.
    pub(crate) fn end_all_with(&mut self, name: &str) -> Result<(), Error> {
        if let Some(child) = self.child(name) {
            child.kill().map_err(Error::io("kill", name))?;
        }
        for (name, mut child) in std::mem::take(&mut self.children) {
            child.wait().map_err(Error::io("wait for", name))?;
            // Another process may get the number.
            self.tell(&format!("ended {}", child.id()))?;
        }
        Ok(())
    }

    fn child(&mut self, name: &str) -> Option<&mut Child> {
        self.children
            .iter_mut()
            .find(|(known, _)| known == name)
            .map(|(_, child)| child)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Collecting them as they end is what lets the shell see them gone.
        while matches!(self.shell.try_wait(), Ok(None)) {
            for (_, child) in &mut self.children {
                let _ = child.try_wait();
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Nothing is left to do, unless somebody killed the shell.
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.dir.exists() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeping() -> (tempfile::TempDir, Watchdog) {
        let parent = tempfile::tempdir().unwrap();
        let mut watchdog = Watchdog::start(parent.path()).unwrap();
        let log = watchdog.dir().join("log");
        watchdog
            .spawn("sleep", Path::new("sleep"), ["1000"], &log, |_| {})
            .unwrap();
        (parent, watchdog)
    }

    #[test]
    fn dropping_it_ends_its_programs_and_removes_the_folder() {
        let (parent, mut watchdog) = sleeping();
        assert!(watchdog.exited("sleep").is_none());
        drop(watchdog);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn it_does_not_depend_on_the_shell_when_dropped() {
        let (parent, mut watchdog) = sleeping();
        watchdog.shell.kill().unwrap();
        drop(watchdog);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let error = Watchdog::start(Path::new("/dev/null")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot make a folder in /dev/null: "),
            "{error}"
        );
    }
}
