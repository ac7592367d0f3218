//! Whether a node can run on this machine, and if not, what to do about it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::PATH;

/// Programs of the system, and the Debian package of each.
const PROGRAMS: [(&str, &str); 9] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
];

/// Where distributions put the CNI plugins.
const CNI_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// The plugins that the pod network is made of.
const CNI_PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];

/// Capabilities by their bit: namespaces and mounts need the one, interfaces the other.
const CAPABILITIES: [(&str, u32); 2] = [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21)];

/// Why no node can run here, each reason with what to do; none if it can.
pub(super) fn obstacles() -> Vec<String> {
    if env::consts::OS != "linux" {
        return vec![format!("this is {}, and a kubelet needs Linux", env::consts::OS)];
    }
    let mut reasons = Vec::new();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    reasons.extend(rights(&status));
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .copied()
        .collect();
    reasons.extend(packages(&missing));
    if cni_folder().is_none() {
        reasons.push(format!(
            "no {} in {}: install the package containernetworking-plugins (Debian, Ubuntu)",
            CNI_PLUGINS.join(", "),
            CNI_FOLDERS.join(", ")
        ));
    }
    if reasons.is_empty() {
        reasons.extend(trial());
    }
    reasons
}

/// What keeps a process from the namespaces of a node although it has the rights: a sandbox's filter of system calls, for
/// example.
fn trial() -> Option<String> {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--mount",
        "--net",
        "--pid",
        "--ipc",
        "--uts",
        "--cgroup",
        "--fork",
        "--mount-proc",
    ]);
    let tried = unshare.args(["mount", "-t", "tmpfs", "tmpfs", "/run"]).output();
    let told = match tried {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!("namespaces cannot be made here: {told}"))
}

/// The folder with the CNI plugins.
pub(super) fn cni_folder() -> Option<&'static Path> {
    CNI_FOLDERS
        .iter()
        .map(Path::new)
        .find(|folder| CNI_PLUGINS.iter().all(|plugin| folder.join(plugin).exists()))
}

/// What the status of a process says it lacks.
fn rights(status: &str) -> Option<String> {
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(_, bit)| held.checked_shr(*bit).unwrap_or_default() & 1 == 0)
        .map(|(name, _)| *name)
        .collect();
    (!missing.is_empty()).then(|| format!("no {}: run as root", missing.join(", ")))
}

fn packages(missing: &[(&str, &str)]) -> Option<String> {
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "no {}: install {} (Debian, Ubuntu: packages of these names; no service has to run)",
            programs.join(", "),
            packages.join(", ")
        )
    })
}

fn is_there(program: &str) -> bool {
    env::split_paths(PATH).any(|folder: PathBuf| folder.join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_without_capabilities_is_not_enough() {
        assert_eq!(rights("Uid:\t0\nCapEff:\t000001fffeffffff\n"), None);
        assert_eq!(
            rights("CapEff:\t0000000000001000\n").unwrap(),
            "no CAP_SYS_ADMIN: run as root"
        );
        assert_eq!(
            rights("").unwrap(),
            "no CAP_NET_ADMIN, CAP_SYS_ADMIN: run as root"
        );
    }

    #[test]
    fn a_package_is_named_once() {
        assert_eq!(packages(&[]), None);
        let said = packages(&[
            ("containerd", "containerd"),
            ("ctr", "containerd"),
            ("nft", "nftables"),
        ]);
        assert!(
            said.as_deref().is_some_and(
                |said| said.starts_with("no containerd, ctr, nft: install containerd, nftables (")
            ),
            "{said:?}"
        );
    }
}
