//! The flags of `datagate serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use datagate_core::settings::Settings;

use super::settings::{FlagError, SettingsFlags};
use super::telemetry::{Telemetry, TelemetryFlags};

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
    /// The address of /livez, /readyz, /metrics and /debug, in plain HTTP.
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
    #[command(flatten)]
    settings: SettingsFlags,
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
    #[command(flatten)]
    telemetry: TelemetryFlags,
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
    /// What it tells besides its answers.
    pub telemetry: Telemetry,
}

impl Serve {
    /// The flags, parsed.
    ///
    /// # Errors
    ///
    /// If one of them says nothing sensible.
    pub fn options(self) -> Result<ServeOptions, FlagError> {
        Ok(ServeOptions {
            listen: self.listen,
            admin_listen: self.admin_listen,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            settings: self.settings.settings()?,
            namespace: self.namespace,
            excluded_namespaces: self.excluded_namespace,
            observe: self.observe,
            webhook_name: self.webhook_name,
            drain_delay: Duration::from_secs(self.drain_delay),
            log_format: self.log_format,
            telemetry: self.telemetry.telemetry(),
        })
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
}
