//! The machine that a node is: namespaces and control groups of its own, and the process that holds them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Error;
use crate::client::{PATH, isolate, log_of};
use crate::watchdog::Watchdog;

const INIT: &str = include_str!("init.sh");

/// The name of the process that holds the namespaces.
pub(super) const INIT_NAME: &str = "init";

/// Where control groups are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The group below the node's own that its programs are in, where groups are of the second version.
const PROGRAMS_GROUP: &str = "programs";

/// What the kubelet wants of groups of the second version.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];

/// The namespaces of a node while it runs.
#[derive(Debug)]
pub(super) struct Machine {
    pid: u32,
    groups: Vec<Group>,
}

/// A control group of the node's own.
#[derive(Debug, Clone)]
struct Group {
    /// `None` for the second version.
    controller: Option<String>,
    dir: PathBuf,
}

impl Machine {
    /// Starts the namespaces and waits until they are furnished.
    pub(super) fn start(watchdog: &mut Watchdog, timeout: Duration) -> Result<Self, Error> {
        let dir = watchdog.dir().to_owned();
        let groups = make_groups(watchdog)?;
        let lines: String = groups.iter().map(Group::line).collect();
        for (name, content) in [("init.sh", INIT), ("cgroups", &lines)] {
            let path = dir.join(name);
            fs::write(&path, content).map_err(Error::io("write", path))?;
        }
        let file = dir.join("init.pid");
        let _ = fs::remove_file(&file);

        let script = dir.join("init.sh");
        let arguments: [&OsStr; 14] = [
            "--mount".as_ref(),
            "--propagation".as_ref(),
            "private".as_ref(),
            "--net".as_ref(),
            "--pid".as_ref(),
            "--ipc".as_ref(),
            "--uts".as_ref(),
            "--fork".as_ref(),
            "--kill-child".as_ref(),
            "--".as_ref(),
            "/bin/sh".as_ref(),
            script.as_os_str(),
            dir.as_os_str(),
            "enter".as_ref(),
        ];
        let log = log_of(&dir, INIT_NAME);
        watchdog.spawn(INIT_NAME, Path::new("unshare"), arguments, &log, |command| {
            isolate(command, &dir);
        })?;
        let mut pid = None;
        watchdog.wait_for(INIT_NAME, &log, "its mounts", timeout, || {
            pid = fs::read_to_string(&file)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            pid.is_some()
        })?;
        let pid = pid.unwrap_or_default();
        Ok(Self { pid, groups })
    }

    /// The number of its first process, as the host sees it.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// A program inside the node that is no part of it: it is not in the node's control groups.
    pub(super) fn inside(&self, dir: &Path, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        isolate(&mut command, dir).args(self.enter()).arg(program);
        command
    }

    /// The arguments of nsenter, before a program and its arguments.
    pub(super) fn enter(&self) -> Vec<String> {
        let mut arguments = vec![format!("--target={}", self.pid)];
        arguments
            .extend(["--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--"].map(str::to_owned));
        arguments
    }

    /// A shell script that becomes its arguments inside the node and in its control groups.
    pub(super) fn enter_script(&self) -> String {
        let join: String = self
            .groups
            .iter()
            .map(|group| format!("echo 0 >'{}/cgroup.procs' && ", group.joined().display()))
            .collect();
        format!("{join}exec nsenter {} \"$@\"", self.enter().join(" "))
    }
}

impl Group {
    /// As init.sh reads it: version, folder, and the controller or the group to join.
    fn line(&self) -> String {
        let dir = self.dir.display();
        match &self.controller {
            Some(controller) => format!("v1 {dir} {controller}\n"),
            None => format!("v2 {dir} {PROGRAMS_GROUP}\n"),
        }
    }

    /// The group that programs join.
    fn joined(&self) -> PathBuf {
        match &self.controller {
            Some(_) => self.dir.clone(),
            None => self.dir.join(PROGRAMS_GROUP),
        }
    }
}

/// Makes a control group in each hierarchy, named after the folder of the cluster.
fn make_groups(watchdog: &mut Watchdog) -> Result<Vec<Group>, Error> {
    let name = watchdog.dir().file_name().unwrap_or_default().to_owned();
    let own = fs::read_to_string("/proc/self/cgroup").map_err(Error::io("read", "/proc/self/cgroup"))?;
    let mut groups = Vec::new();
    for (controller, below) in hierarchies(&own, Path::new(CGROUPS)) {
        let dir = below.join(&name);
        watchdog.remove_cgroup(&dir)?;
        fs::create_dir_all(&dir).map_err(Error::io("make the control group", &dir))?;
        match controller.as_deref() {
            // A group of the first version takes no process before it has processors and memory.
            Some("cpuset") => {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let copied = fs::read_to_string(below.join(file))
                        .and_then(|value| fs::write(dir.join(file), value.trim()));
                    copied.map_err(Error::io("copy cpuset.cpus and cpuset.mems to", &dir))?;
                }
            }
            Some(_) => {}
            None => hand_down(&below, &dir)?,
        }
        groups.push(Group { controller, dir });
    }
    Ok(groups)
}

/// The hierarchies that are mounted and where our groups go: below our own, or at the top of the second version, whose
/// groups must not hold processes and hand controllers down.
fn hierarchies(own: &str, mounted: &Path) -> Vec<(Option<String>, PathBuf)> {
    let old = own.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controller, path) = rest.split_once(':')?;
        // Of several at one place the place has all their names, or a link for each.
        let folder = mounted.join(controller.trim_start_matches("name="));
        let here = !controller.is_empty() && folder.is_dir();
        here.then(|| {
            (
                Some(controller.to_owned()),
                folder.join(path.trim_start_matches('/')),
            )
        })
    });
    let old: Vec<_> = old.collect();
    if !old.is_empty() {
        return old;
    }
    vec![(None, mounted.to_owned())]
}

/// Lets a group of the second version have the controllers that a kubelet needs.
fn hand_down(parent: &Path, dir: &Path) -> Result<(), Error> {
    for controller in CONTROLLERS {
        // What this kernel does not have, or the host has handed down already, is refused or no news.
        let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    let programs = dir.join(PROGRAMS_GROUP);
    fs::create_dir_all(&programs).map_err(Error::io("make the control group", &programs))?;
    let file = dir.join("cgroup.controllers");
    let has = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    let missing: Vec<_> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|wanted| !has.split_whitespace().any(|found| found == *wanted))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reasons = vec![format!(
        "the control group {} does not get the controllers {}: move the processes in {} to a group below it, or run on the host \
         itself instead of in a container",
        dir.display(),
        missing.join(", "),
        parent.display()
    )];
    Err(Error::NoNode { reasons })
}

/// The file in the folder of the cluster that runs its arguments inside the node, also after it was lost.
pub(super) fn write_wrapper(dir: &Path, place: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;

    let script = format!(
        "#!/bin/sh\n# Runs a program inside the node: on-node ctr --namespace k8s.io images list\n\
         PATH={PATH}\nexec nsenter --target=\"$(cat '{}')\" --mount --net --pid --ipc --uts --cgroup -- \"$@\"\n",
        dir.join("init.pid").display()
    );
    fs::write(place, script).map_err(Error::io("write", place))?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).map_err(Error::io("write", place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_go_below_our_own_and_on_top_of_the_second_version() {
        let mounted = tempfile::tempdir().unwrap();
        let at = |path: &str| mounted.path().join(path);
        let own = "3:memory:/job/7\n2:cpu,cpuacct:/\n1:name=systemd:/x\n0::/ours\n";
        assert_eq!(
            hierarchies(own, mounted.path()),
            [(None, mounted.path().to_owned())]
        );
        for folder in ["memory", "systemd"] {
            fs::create_dir(at(folder)).unwrap();
        }
        assert_eq!(
            hierarchies(own, mounted.path()),
            [
                (Some("memory".to_owned()), at("memory/job/7")),
                (Some("name=systemd".to_owned()), at("systemd/x"))
            ]
        );
    }
}
