//! What the platform team may set: which resources are accelerators, which accounts make which children.

use crate::glob::Glob;
use crate::workload::KnownKind;

/// The configured lists. The chart renders the same values into its CEL filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Extended resources (names with a `/`) that are no accelerators.
    pub ignored_resources: Vec<Glob>,
    /// Runtime classes that give access to accelerators.
    pub runtime_classes: Vec<Glob>,
    /// Images that operators and meshes add to pods, which do not count when a child is compared with its root.
    pub injected_images: Vec<Glob>,
    /// Accounts that make children, besides each kind's own (`workload::Edge`).
    pub controller_accounts: Vec<ControllerAccount>,
}

/// An account that makes children of one kind for owners of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerAccount {
    /// Kind of the owner.
    pub owner: KnownKind,
    /// Kind of the child.
    pub child: KnownKind,
    /// `request.userInfo.username` of the account. Listing one trusts it even in its own namespace.
    pub username: Box<str>,
}

impl Settings {
    /// Extended resources that are known not to be accelerators.
    pub const IGNORED_RESOURCES: &'static [&'static str] = &[
        "*/fuse",
        "*/kvm",
        "*/tun",
        "*/vhost-net",
        "k8s.cni.cncf.io/*",
        "networking.gke.io.networks/*",
        "rdma/*",
        "sgx.intel.com/*",
        "vpc.amazonaws.com/*",
    ];

    /// Images that operators and service meshes add to pods by default installation; mirrored ones are to be listed.
    pub const INJECTED_IMAGES: &'static [&'static str] = &[
        "*/argoproj/argoexec:*",
        "*/argoproj/argoexec@*",
        "*/istio/proxyv2:*",
        "*/kubeflow-katib/file-metrics-collector:*",
        "*/kubeflow-katib/tfevent-metrics-collector:*",
        "*/katib/file-metrics-collector:*",
        "*/katib/tfevent-metrics-collector:*",
        "*/kubeflow/training-v1/kubectl-delivery:*",
        "*/linkerd/proxy:*",
        "*/tektoncd/pipeline/cmd/*",
        "*/tektoncd/pipeline/entrypoint-*",
        "*/tektoncd/pipeline/nop-*",
        "*/tektoncd/pipeline/sidecarlogresults-*",
        "*/tektoncd/pipeline/workingdirinit-*",
        // With this shell Tekton places the scripts of steps.
        "cgr.dev/chainguard/busybox@*",
        "mpioperator/kubectl-delivery:*",
    ];

    /// Runtime classes of the accelerator vendors' installers.
    pub const RUNTIME_CLASSES: &'static [&'static str] = &["nvidia*"];
}

impl Default for Settings {
    fn default() -> Self {
        let globs = |patterns: &[&str]| patterns.iter().map(|pattern| Glob::from(*pattern)).collect();
        Self {
            ignored_resources: globs(Self::IGNORED_RESOURCES),
            runtime_classes: globs(Self::RUNTIME_CLASSES),
            injected_images: globs(Self::INJECTED_IMAGES),
            controller_accounts: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether a resource name asks for an accelerator.
    #[must_use]
    pub fn is_accelerator(&self, resource: &str) -> bool {
        resource.contains('/') && !self.ignored_resources.iter().any(|glob| glob.matches(resource))
    }

    /// Whether a runtime class gives access to accelerators.
    #[must_use]
    pub fn is_accelerated_class(&self, class: &str) -> bool {
        self.runtime_classes.iter().any(|glob| glob.matches(class))
    }
}
