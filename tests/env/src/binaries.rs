//! Where the programs of the control plane are: given, cached from an earlier build, or built now.

mod build;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Error;

const KUBERNETES: &str = "v1.37.1";
const ETCD: &str = "v3.7.3";
const HELM: &str = "v4.3.1";

/// The programs of a control plane and its two command line tools, as files that exist.
#[derive(Debug, Clone)]
pub struct Binaries {
    files: [PathBuf; 5],
}

/// The programs of Kubernetes that only a node needs, as files that exist.
#[derive(Debug, Clone)]
pub struct NodeBinaries {
    files: [PathBuf; 3],
}

/// One program and how it is made.
#[derive(Debug, Clone, Copy)]
struct Program {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    module: &'static Module,
    /// How long the first build takes on two cores, for people who wait for it.
    about: &'static str,
}

/// A Go module of this crate that pins the versions of a program and of all that it is made of.
#[derive(Debug)]
struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
    /// What the linker stamps, or a program does not know its own version.
    stamps: &'static [(&'static str, &'static str)],
}

static KUBERNETES_MODULE: Module = Module {
    go_mod: include_str!("../go/kubernetes/go.mod"),
    go_sum: include_str!("../go/kubernetes/go.sum"),
    stamps: &[
        ("k8s.io/component-base/version.gitVersion", KUBERNETES),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "37"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        (
            "k8s.io/component-base/version.gitCommit",
            "f78e722310e50bcaca9276be22276d9e91d91308",
        ),
        ("k8s.io/component-base/version.buildDate", "2026-10-01T00:00:00Z"),
        ("k8s.io/client-go/pkg/version.gitVersion", KUBERNETES),
        ("k8s.io/client-go/pkg/version.gitMajor", "1"),
        ("k8s.io/client-go/pkg/version.gitMinor", "37"),
        ("k8s.io/client-go/pkg/version.gitTreeState", "clean"),
        (
            "k8s.io/client-go/pkg/version.gitCommit",
            "f78e722310e50bcaca9276be22276d9e91d91308",
        ),
        ("k8s.io/client-go/pkg/version.buildDate", "2026-10-01T00:00:00Z"),
    ],
};

static ETCD_MODULE: Module = Module {
    go_mod: include_str!("../go/etcd/go.mod"),
    go_sum: include_str!("../go/etcd/go.sum"),
    stamps: &[],
};

static HELM_MODULE: Module = Module {
    go_mod: include_str!("../go/helm/go.mod"),
    go_sum: include_str!("../go/helm/go.sum"),
    stamps: &[("helm.sh/helm/v4/internal/version.version", HELM)],
};

/// In the order of building: the quick one first, so that a broken setup shows itself soon.
static PROGRAMS: [Program; 5] = [
    Program {
        name: "etcd",
        version: ETCD,
        package: "go.etcd.io/etcd/server/v3",
        module: &ETCD_MODULE,
        about: "1 minute",
    },
    Program {
        name: "kube-apiserver",
        version: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        module: &KUBERNETES_MODULE,
        about: "6 minutes",
    },
    Program {
        name: "kube-controller-manager",
        version: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        module: &KUBERNETES_MODULE,
        about: "2 minutes",
    },
    Program {
        name: "kubectl",
        version: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kubectl",
        module: &KUBERNETES_MODULE,
        about: "half a minute",
    },
    Program {
        name: "helm",
        version: HELM,
        package: "helm.sh/helm/v4/cmd/helm",
        module: &HELM_MODULE,
        about: "3 minutes",
    },
];

/// What a node needs beside the control plane; the container runtime is the system's.
static NODE_PROGRAMS: [Program; 3] = [
    Program {
        name: "kubelet",
        version: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kubelet",
        module: &KUBERNETES_MODULE,
        about: "1 minute",
    },
    Program {
        name: "kube-proxy",
        version: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-proxy",
        module: &KUBERNETES_MODULE,
        about: "half a minute",
    },
    Program {
        name: "kube-scheduler",
        version: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-scheduler",
        module: &KUBERNETES_MODULE,
        about: "half a minute",
    },
];

impl Binaries {
    /// Finds each program in `$KUBEBUILDER_ASSETS`, else in the cache, else builds it into the cache.
    ///
    /// A build needs Go, takes about ten minutes once on two cores and tells of its progress on standard
    /// error. Of several processes that miss programs one builds and the others wait for it.
    ///
    /// # Errors
    ///
    /// When a program must be built and there is no Go, or the build fails, or the cache cannot be written.
    pub fn find_or_build() -> Result<Self, Error> {
        let files = find_or_build(&PROGRAMS)?;
        Ok(Self { files })
    }

    /// Where built programs are kept: `$DATAGATE_ENV_CACHE`, or a folder named after the versions in the
    /// user's cache folder.
    ///
    /// # Errors
    ///
    /// When no variable says where that is.
    pub fn cache_dir() -> Result<PathBuf, Error> {
        cache_dir_of(set)
    }

    /// The etcd server.
    #[must_use]
    pub fn etcd(&self) -> &Path {
        let [file, _, _, _, _] = &self.files;
        file
    }

    /// The API server.
    #[must_use]
    pub fn kube_apiserver(&self) -> &Path {
        let [_, file, _, _, _] = &self.files;
        file
    }

    /// The controller manager.
    #[must_use]
    pub fn kube_controller_manager(&self) -> &Path {
        let [_, _, file, _, _] = &self.files;
        file
    }

    /// kubectl.
    #[must_use]
    pub fn kubectl(&self) -> &Path {
        let [_, _, _, file, _] = &self.files;
        file
    }

    /// helm.
    #[must_use]
    pub fn helm(&self) -> &Path {
        let [_, _, _, _, file] = &self.files;
        file
    }

    /// All programs.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}

impl NodeBinaries {
    /// Finds or builds each as [`Binaries::find_or_build`] does.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn find_or_build() -> Result<Self, Error> {
        let files = find_or_build(&NODE_PROGRAMS)?;
        Ok(Self { files })
    }

    /// The kubelet.
    #[must_use]
    pub fn kubelet(&self) -> &Path {
        let [file, _, _] = &self.files;
        file
    }

    /// kube-proxy.
    #[must_use]
    pub fn kube_proxy(&self) -> &Path {
        let [_, file, _] = &self.files;
        file
    }

    /// The scheduler.
    #[must_use]
    pub fn kube_scheduler(&self) -> &Path {
        let [_, _, file] = &self.files;
        file
    }

    /// All programs.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}

fn find_or_build<const N: usize>(programs: &'static [Program; N]) -> Result<[PathBuf; N], Error> {
    // Absolute, because the programs are started in a folder of their own.
    let assets = set("KUBEBUILDER_ASSETS")
        .map(PathBuf::from)
        .map(absolute)
        .transpose()?;
    let cache = absolute(Binaries::cache_dir()?)?;
    find_or_build_in(programs, assets.as_deref(), &cache)
}

fn find_or_build_in<const N: usize>(
    programs: &'static [Program; N],
    assets: Option<&Path>,
    cache: &Path,
) -> Result<[PathBuf; N], Error> {
    let find = |program: &Program| {
        let given = assets
            .map(|folder| folder.join(program.name))
            .filter(|file| is_program(file));
        given.unwrap_or_else(|| cache.join(program.name))
    };
    let files = programs.each_ref().map(find);
    let missing = || -> Vec<&'static Program> {
        programs
            .iter()
            .zip(&files)
            .filter(|(_, file)| !is_program(file))
            .map(|(program, _)| program)
            .collect()
    };
    if !missing().is_empty() {
        build::build(cache, missing)?;
    }
    Ok(files)
}

fn absolute(path: PathBuf) -> Result<PathBuf, Error> {
    std::path::absolute(&path).map_err(Error::io("find", path))
}

/// A variable that is set and not empty.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn cache_dir_of(set: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    if let Some(folder) = set("DATAGATE_ENV_CACHE") {
        return Ok(folder.into());
    }
    let user = match set("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(set("HOME").ok_or(Error::NoCache)?).join(".cache"),
    };
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let key = format!("kubernetes-{KUBERNETES}-etcd-{ETCD}-helm-{HELM}-{os}-{arch}");
    Ok(user.join("datagate/env").join(key))
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_modules_have_the_versions_that_name_the_cache() {
        for (module, package, version) in [
            (&KUBERNETES_MODULE, "k8s.io/kubernetes", KUBERNETES),
            (&ETCD_MODULE, "go.etcd.io/etcd/server/v3", ETCD),
            (&HELM_MODULE, "helm.sh/helm/v4", HELM),
        ] {
            let required = format!("{package} {version}");
            assert!(
                module.go_mod.contains(&required),
                "{required} is not in its go.mod"
            );
            assert!(
                module.go_sum.contains(&required),
                "{required} is not in its go.sum"
            );
        }
    }

    #[test]
    fn the_accessors_follow_the_list() {
        let found = Binaries {
            files: PROGRAMS.each_ref().map(|program| PathBuf::from(program.name)),
        };
        let named = [
            found.etcd(),
            found.kube_apiserver(),
            found.kube_controller_manager(),
            found.kubectl(),
            found.helm(),
        ];
        assert_eq!(
            named.map(|file| file.to_str().unwrap()),
            PROGRAMS.each_ref().map(|program| program.name)
        );

        let found = NodeBinaries {
            files: NODE_PROGRAMS
                .each_ref()
                .map(|program| PathBuf::from(program.name)),
        };
        let named = [found.kubelet(), found.kube_proxy(), found.kube_scheduler()];
        assert_eq!(
            named.map(|file| file.to_str().unwrap()),
            NODE_PROGRAMS.each_ref().map(|program| program.name)
        );
    }

    #[test]
    fn the_cache_is_the_one_named_or_the_users() {
        let with = |pairs: &'static [(&str, &str)]| {
            cache_dir_of(move |name| {
                pairs
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value.into())
            })
        };
        assert_eq!(
            with(&[("HOME", "/h"), ("DATAGATE_ENV_CACHE", "/c")]).unwrap(),
            Path::new("/c")
        );
        assert!(
            with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")])
                .unwrap()
                .starts_with("/x/datagate/env")
        );
        assert!(
            with(&[("HOME", "/h")])
                .unwrap()
                .starts_with("/h/.cache/datagate/env")
        );
        assert!(matches!(with(&[]), Err(Error::NoCache)));
    }

    #[test]
    fn given_programs_come_before_cached_ones() {
        let (assets, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for program in &PROGRAMS {
            program_at(&cache.path().join(program.name));
        }
        program_at(&assets.path().join("kubectl"));
        fs::write(assets.path().join("etcd"), "not executable").unwrap();

        let files = find_or_build_in(&PROGRAMS, Some(assets.path()), cache.path()).unwrap();
        let found = Binaries { files };
        assert_eq!(found.kubectl(), assets.path().join("kubectl"));
        assert_eq!(found.etcd(), cache.path().join("etcd"));
    }

    fn program_at(path: &Path) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
