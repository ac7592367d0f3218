//! The flags of `datagate serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use datagate_core::glob::Glob;
use datagate_core::settings::{ControllerAccount, Settings};
use datagate_core::workload::{Edge, KnownKind};

/// Run the webhook.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// The webhook's address: POST /validate over TLS.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "DATAGATE_LISTEN",
        default_value = "0.0.0.0:9443"
    )]
    listen: SocketAddr,
    /// The address of /livez, /readyz and /metrics, in plain HTTP.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "DATAGATE_ADMIN_LISTEN",
        default_value = "0.0.0.0:8080"
    )]
    admin_listen: SocketAddr,
    /// The certificate with its chain, as PEM; read again whenever it changes.
    #[arg(long, value_name = "FILE", env = "DATAGATE_TLS_CERT")]
    tls_cert: PathBuf,
    /// Its private key, as PEM.
    #[arg(long, value_name = "FILE", env = "DATAGATE_TLS_KEY")]
    tls_key: PathBuf,
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
    /// Namespaces about which the webhook is never asked, besides kube-system and our own.
    #[arg(
        long,
        value_name = "NAME",
        env = "DATAGATE_EXCLUDED_NAMESPACE",
        value_delimiter = ','
    )]
    excluded_namespace: Vec<String>,
    /// The namespace datagate itself runs in.
    #[arg(long, value_name = "NAME", env = "DATAGATE_NAMESPACE")]
    namespace: Option<String>,
    /// Refuse nothing; log and count what would have been refused.
    #[arg(long, env = "DATAGATE_OBSERVE")]
    observe: bool,
    /// The name of the ValidatingWebhookConfiguration, for the status of policies.
    #[arg(
        long,
        value_name = "NAME",
        env = "DATAGATE_WEBHOOK_NAME",
        default_value = "datagate"
    )]
    webhook_name: String,
    /// For how many seconds requests are still answered after SIGTERM, until all API servers know; a second signal ends
    /// at once.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "DATAGATE_DRAIN_DELAY",
        default_value_t = 10
    )]
    drain_delay: u64,
    /// How log lines are written.
    #[arg(long, value_enum, env = "DATAGATE_LOG_FORMAT", default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What the server is told, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// The webhook's address.
    pub listen: SocketAddr,
    /// The admin port's address.
    pub admin_listen: SocketAddr,
    /// The certificate's file.
    pub tls_cert: PathBuf,
    /// The private key's file.
    pub tls_key: PathBuf,
    /// What decisions depend on.
    pub settings: Settings,
    /// Namespaces about which the webhook is never asked.
    pub excluded_namespaces: Vec<String>,
    /// The namespace datagate itself runs in.
    pub namespace: Option<String>,
    /// Whether nothing is refused.
    pub observe: bool,
    /// The name of the webhook configuration.
    pub webhook_name: String,
    /// For how long requests are still answered after SIGTERM.
    pub drain_delay: Duration,
    /// How log lines are written.
    pub log_format: LogFormat,
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

impl Serve {
    /// The flags, parsed.
    ///
    /// # Errors
    ///
    /// If one of them says nothing sensible.
    pub fn options(self) -> Result<ServeOptions, FlagError> {
        let built_in = Settings::default();
        let or = |flag, given: Option<Vec<String>>, built_in| match given {
            Some(given) => globs(flag, given),
            None => Ok(built_in),
        };
        let accounts = self.controller_account.iter().filter(|text| !text.is_empty());
        Ok(ServeOptions {
            listen: self.listen,
            admin_listen: self.admin_listen,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            settings: Settings {
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
            },
            namespace: self.namespace,
            excluded_namespaces: self.excluded_namespace,
            observe: self.observe,
            webhook_name: self.webhook_name,
            drain_delay: Duration::from_secs(self.drain_delay),
            log_format: self.log_format,
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
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        serve: Serve,
    }

    fn options(flags: &[&str]) -> Result<ServeOptions, FlagError> {
        let needed = ["serve", "--tls-cert=c", "--tls-key=k"];
        Program::parse_from(needed.iter().chain(flags)).serve.options()
    }

    #[test]
    fn what_is_not_said_is_built_in() {
        let options = options(&[]).unwrap();
        assert_eq!(options.settings, Settings::default());
        assert_eq!(options.listen.port(), 9443);
        assert!(!options.observe && options.log_format == LogFormat::Json);
    }

    #[test]
    fn lists_replace_the_built_in_ones() {
        let options = options(&[
            "--ignored-resource=a/*,b/c",
            "--ignored-resource=d/*",
            "--runtime-class=",
        ])
        .unwrap();
        let settings = options.settings;
        assert_eq!(settings.ignored_resources.len(), 3);
        assert!(!settings.is_accelerator("b/c") && settings.is_accelerator("devices.kubevirt.io/kvm"));
        assert!(
            !settings.is_accelerated_class("nvidia"),
            "an empty item is an empty list"
        );
    }

    #[test]
    fn a_glob_for_everything_is_refused() {
        for glob in ["*", "*/*", "**", " ", "nvidia.com/ gpu"] {
            let flag = format!("--ignored-resource={glob}");
            assert!(matches!(options(&[&flag]), Err(FlagError::Glob { .. })), "{glob}");
        }
    }

    #[test]
    fn accounts_name_an_edge_that_exists() {
        let good = options(&["--controller-account=Job/Pod=system:kube-controller-manager"]).unwrap();
        assert_eq!(
            &*good.settings.controller_accounts[0].username,
            "system:kube-controller-manager"
        );
        for bad in ["Job/Pod", "Job=x", "Job/Pod=", "Jobs/Pod=x"] {
            assert!(
                options(&[&format!("--controller-account={bad}")]).is_err(),
                "{bad}"
            );
        }
    }
}
