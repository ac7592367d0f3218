//! The flags that decisions depend on: the same for the webhook and for `datagate check`.

use clap::Args;
use datagate_core::glob::Glob;
use datagate_core::settings::{ControllerAccount, Settings};
use datagate_core::workload::{Edge, KnownKind};

/// What the platform team may set.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsFlags {
    /// Extended resources that are no accelerators, in place of the built-in list.
    #[arg(
        long,
        value_name = "GLOB",
        env = "DATAGATE_IGNORED_RESOURCE",
        value_delimiter = ','
    )]
    ignored_resource: Option<Vec<String>>,
    /// Runtime classes that give access to accelerators, in place of the built-in list.
    #[arg(
        long,
        value_name = "GLOB",
        env = "DATAGATE_RUNTIME_CLASS",
        value_delimiter = ','
    )]
    runtime_class: Option<Vec<String>>,
    /// An account that makes children of a kind, besides the built-in ones: Job/Pod=system:kube-controller-manager.
    #[arg(
        long,
        value_name = "OWNERKIND/CHILDKIND=USERNAME",
        env = "DATAGATE_CONTROLLER_ACCOUNT",
        value_delimiter = ','
    )]
    controller_account: Vec<String>,
    /// Images that the platform adds to pods, which do not count when a pod is compared with its owner.
    #[arg(
        long,
        value_name = "GLOB",
        env = "DATAGATE_INJECTED_IMAGE",
        value_delimiter = ','
    )]
    injected_image: Vec<String>,
}

/// A flag that says nothing sensible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// It would match everything.
    #[error("--{flag}: {given:?} is no pattern; it needs a letter or a digit, and no spaces")]
    Glob {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: String,
    },
    /// It is not built as it should be.
    #[error("--controller-account: {0:?} is not OWNERKIND/CHILDKIND=USERNAME")]
    Account(String),
    /// No such child is made.
    #[error("--controller-account: no {owner} makes a {child}; known: {known}")]
    Edge {
        /// The owner's kind.
        owner: String,
        /// The child's kind.
        child: String,
        /// What there is.
        known: String,
    },
}

impl SettingsFlags {
    /// The flags, parsed.
    ///
    /// # Errors
    ///
    /// If one of them says nothing sensible.
    pub fn settings(self) -> Result<Settings, FlagError> {
        let built_in = Settings::default();
        let or = |flag, given: Option<Vec<String>>, built_in| match given {
            Some(given) => globs(flag, given),
            None => Ok(built_in),
        };
        let accounts = self.controller_account.iter().filter(|text| !text.is_empty());
        Ok(Settings {
            ignored_resources: or(
                "ignored-resource",
                self.ignored_resource,
                built_in.ignored_resources,
            )?,
            runtime_classes: or("runtime-class", self.runtime_class, built_in.runtime_classes)?,
            injected_images: {
                let more = globs("injected-image", self.injected_image)?;
                built_in.injected_images.into_iter().chain(more).collect()
            },
            controller_accounts: accounts.map(|text| account(text)).collect::<Result<_, _>>()?,
        })
    }
}

/// An empty item is what an empty list looks like on a command line.
fn globs(flag: &'static str, given: Vec<String>) -> Result<Vec<Glob>, FlagError> {
    let glob = |given: String| {
        let sensible =
            given.chars().any(|c| c.is_ascii_alphanumeric()) && !given.contains(char::is_whitespace);
        if sensible {
            Ok(Glob::from(given.as_str()))
        } else {
            Err(FlagError::Glob { flag, given })
        }
    };
    given
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(glob)
        .collect()
}

fn account(text: &str) -> Result<ControllerAccount, FlagError> {
    let wrong = || FlagError::Account(text.to_owned());
    let (kinds, username) = text.split_once('=').ok_or_else(wrong)?;
    let (owner, child) = kinds.split_once('/').ok_or_else(wrong)?;
    if username.is_empty() || username.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let kinds = (KnownKind::named(owner), KnownKind::named(child));
    let makes = |owner: KnownKind, child: KnownKind| {
        let edges = child.creators();
        let owner = owner.info();
        edges
            .into_iter()
            .any(|edge| (edge.group, edge.kind) == (owner.group, owner.kind))
    };
    let (Some(owner_kind), Some(child_kind)) = kinds else {
        return Err(no_edge(owner, child));
    };
    if !makes(owner_kind, child_kind) {
        return Err(no_edge(owner, child));
    }
    Ok(ControllerAccount {
        owner: owner_kind,
        child: child_kind,
        username: username.into(),
    })
}

fn no_edge(owner: &str, child: &str) -> FlagError {
    let edges = KnownKind::ALL.iter().flat_map(|kind| {
        let child = kind.info().kind;
        kind.creators().map(move |edge| (*edge, child))
    });
    let of_group = |edge: &Edge| match edge.group {
        "" | "apps" | "batch" => String::new(),
        group => format!(".{group}"),
    };
    let known: Vec<String> = edges
        .map(|(edge, child)| format!("{}{}/{child}", edge.kind, of_group(&edge)))
        .collect();
    FlagError::Edge {
        owner: owner.to_owned(),
        child: child.to_owned(),
        known: known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account_of(text: &str) -> Result<Settings, FlagError> {
        let flags = SettingsFlags {
            controller_account: vec![text.to_owned()],
            ..SettingsFlags::default()
        };
        flags.settings()
    }

    #[test]
    fn accounts_name_an_edge_that_exists() {
        let good = account_of("Job/Pod=system:kube-controller-manager").unwrap();
        assert_eq!(
            &*good.controller_accounts[0].username,
            "system:kube-controller-manager"
        );
        account_of("JobSet.jobset.x-k8s.io/Job=system:serviceaccount:ops:jobset").unwrap();
        for bad in [
            "Job/Pod",
            "Job=x",
            "Job/Pod=",
            "Jobs/Pod=x",
            "Job.example.com/Pod=x",
        ] {
            assert!(account_of(bad).is_err(), "{bad}");
        }
    }
}
