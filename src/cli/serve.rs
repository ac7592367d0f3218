//! The flags of `datagate serve`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use datagate_core::settings::Settings;
use jiff::SignedDuration;

use super::certificate::{CertificateFlags, Source};
use super::settings::{FlagError, SettingsFlags};
use super::telemetry::{Telemetry, TelemetryFlags};
use crate::server::ClientFiles;

/// A watch is opened again after 55 s and taken for dead 5 s later.
const SHORTEST_STALENESS: Duration = Duration::from_secs(90);

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
    #[command(flatten)]
    certificate: CertificateFlags,
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
    /// The name of this replica's pod, as which it reports by what it decides.
    #[arg(long, value_name = "NAME", env = "DATAGATE_REPLICA")]
    replica: Option<String>,
    /// The uid of that pod, with which its report is removed.
    #[arg(long, value_name = "UID", env = "DATAGATE_REPLICA_UID", requires = "replica")]
    replica_uid: Option<String>,
    /// Refuse what is governed once the API server has not been heard for so long (90s, 10m): policies may have changed
    /// unseen. Without it decisions go on by the last ones. A watch is silent for up to a minute when nothing happens.
    #[arg(long, value_name = "DURATION", env = "DATAGATE_REFUSE_WHEN_STALE_FOR", value_parser = longer_than_a_watch)]
    refuse_when_stale_for: Option<Duration>,
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
    /// Where the certificate comes from.
    pub certificate: Source,
    /// Who may ask; none: everybody.
    pub clients: Option<ClientFiles>,
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
    /// The name of this replica's pod.
    pub replica: Option<String>,
    /// The uid of that pod.
    pub replica_uid: Option<String>,
    /// After how long a silence of the API server what is governed is refused; none: never.
    pub refuse_when_stale_for: Option<Duration>,
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
            clients: self.certificate.clients(),
            certificate: self.certificate.source(),
            settings: self.settings.settings()?,
            namespace: self.namespace,
            excluded_namespaces: self.excluded_namespace,
            observe: self.observe,
            webhook_name: self.webhook_name,
            replica: self.replica,
            replica_uid: self.replica_uid,
            refuse_when_stale_for: self.refuse_when_stale_for,
            drain_delay: Duration::from_secs(self.drain_delay),
            log_format: self.log_format,
            telemetry: self.telemetry.telemetry(),
        })
    }
}

/// A duration like 90s, 10m or 1h30m, longer than the silence of a watch that is well.
fn longer_than_a_watch(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let duration = Duration::try_from(duration).map_err(|_| "a duration cannot be negative".to_owned())?;
    match duration < SHORTEST_STALENESS {
        true => Err(format!(
            "a watch that is well can be silent for a minute: give at least {} s",
            SHORTEST_STALENESS.as_secs()
        )),
        false => Ok(duration),
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
    fn staleness_is_longer_than_the_silence_of_a_watch() {
        let given = |text: &str| {
            let flag = format!("--refuse-when-stale-for={text}");
            Program::try_parse_from(["serve", "--tls-cert=c", "--tls-key=k", &flag])
                .map(|it| {
                    it.serve
                        .options()
                        .unwrap()
                        .refuse_when_stale_for
                        .unwrap()
                        .as_secs()
                })
                .map_err(|error| error.to_string())
        };
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400)] {
            assert_eq!(given(text), Ok(seconds), "{text}");
        }
        for text in ["60s", "89s", "-10m", "10", "soon", ""] {
            assert!(
                given(text).unwrap_err().contains("--refuse-when-stale-for"),
                "{text}"
            );
        }
        assert_eq!(options(&[]).unwrap().refuse_when_stale_for, None);
    }

    #[test]
    fn a_glob_for_everything_is_refused() {
        for glob in ["*", "*/*", "**", " ", "nvidia.com/ gpu"] {
            let flag = format!("--ignored-resource={glob}");
            assert!(matches!(options(&[&flag]), Err(FlagError::Glob { .. })), "{glob}");
        }
    }
}
