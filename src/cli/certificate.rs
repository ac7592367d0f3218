//! The flags on certificates: our own, and those of who asks us.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::authority::Times;
use crate::server::{CertFiles, ClientFiles};

/// Where the serving certificate comes from, and which clients may ask.
#[derive(Args, Clone, Debug)]
pub struct CertificateFlags {
    /// The certificate with its chain, as PEM; read again whenever it changes. With it goes --tls-key; without the two
    /// --ca-secret is needed.
    #[arg(
        long,
        value_name = "FILE",
        env = "DATAGATE_TLS_CERT",
        required_unless_present = "ca_secret",
        requires = "tls_key",
        conflicts_with = "ca_secret"
    )]
    tls_cert: Option<PathBuf>,
    /// Its private key, as PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "DATAGATE_TLS_KEY",
        required_unless_present = "ca_secret",
        requires = "tls_cert",
        conflicts_with = "ca_secret"
    )]
    tls_key: Option<PathBuf>,
    /// Instead of the two files: the Secret in --namespace in which datagate keeps a CA of its own. It makes the Secret,
    /// signs its certificates with it, and writes the CA into the webhook configuration.
    #[arg(
        long,
        value_name = "NAME",
        env = "DATAGATE_CA_SECRET",
        requires = "serving_name"
    )]
    ca_secret: Option<String>,
    /// A name by which the API server calls datagate, for the certificate: `SERVICE.NAMESPACE.svc`.
    #[arg(
        long,
        value_name = "DNS",
        env = "DATAGATE_SERVING_NAME",
        value_delimiter = ',',
        requires = "ca_secret"
    )]
    serving_name: Vec<String>,
    /// The Deployment of datagate in --namespace, that the CA's Secret goes away with.
    #[arg(
        long,
        value_name = "NAME",
        env = "DATAGATE_OWNER_DEPLOYMENT",
        requires = "ca_secret"
    )]
    owner_deployment: Option<String>,
    /// The CAs of clients, as PEM; read again whenever it changes. Who shows no certificate of theirs may not ask.
    #[arg(long, value_name = "FILE", env = "DATAGATE_CLIENT_CA")]
    client_ca: Option<PathBuf>,
    /// The common name or DNS name that a client's certificate must have.
    #[arg(
        long,
        value_name = "NAME",
        env = "DATAGATE_CLIENT_NAME",
        value_delimiter = ',',
        requires = "client_ca"
    )]
    client_name: Vec<String>,
    /// For tests: how many seconds a CA must have stood in the webhook configuration to be used.
    #[arg(long, value_name = "SECONDS", env = "DATAGATE_CA_SETTLE", hide = true)]
    ca_settle: Option<u64>,
    /// For tests: for how many seconds a CA that signs no more is trusted.
    #[arg(long, value_name = "SECONDS", env = "DATAGATE_CA_KEEP", hide = true)]
    ca_keep: Option<u64>,
    /// For tests: for how many seconds a CA is made.
    #[arg(long, value_name = "SECONDS", env = "DATAGATE_CA_LIFE", hide = true)]
    ca_life: Option<u64>,
    /// For tests: for how many seconds a certificate is made.
    #[arg(long, value_name = "SECONDS", env = "DATAGATE_LEAF_LIFE", hide = true)]
    leaf_life: Option<u64>,
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files.
    Files(CertFiles),
    /// A CA of our own.
    Own(OwnCa),
}

/// A CA of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCa {
    /// Its Secret.
    pub secret: String,
    /// The names of the certificates.
    pub names: Vec<String>,
    /// The Deployment it goes away with.
    pub owner: Option<String>,
    /// How long things last.
    pub times: Times,
}

impl CertificateFlags {
    /// Who may ask; none: everybody.
    pub(super) fn clients(&self) -> Option<ClientFiles> {
        Some(ClientFiles {
            ca: self.client_ca.clone()?,
            names: self.client_name.clone(),
        })
    }

    /// Where the certificate comes from.
    pub(super) fn source(self) -> Source {
        let Some(secret) = self.ca_secret else {
            // They are there, or the flags would not have been accepted.
            return Source::Files(CertFiles {
                cert: self.tls_cert.unwrap_or_default(),
                key: self.tls_key.unwrap_or_default(),
            });
        };
        let usual = Times::default();
        let or = |seconds: Option<u64>, usual| seconds.map_or(usual, Duration::from_secs);
        Source::Own(OwnCa {
            secret,
            names: self.serving_name,
            owner: self.owner_deployment,
            times: Times {
                ca: or(self.ca_life, usual.ca),
                leaf: or(self.leaf_life, usual.leaf),
                settle: or(self.ca_settle, usual.settle),
                keep: or(self.ca_keep, usual.keep),
            },
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        flags: CertificateFlags,
    }

    fn parse(flags: &[&str]) -> Result<CertificateFlags, String> {
        let parsed = Program::try_parse_from(std::iter::once(&"serve").chain(flags));
        parsed.map(|it| it.flags).map_err(|it| it.to_string())
    }

    #[test]
    fn a_certificate_comes_from_files_or_from_a_ca_of_our_own() {
        let files = parse(&["--tls-cert=c", "--tls-key=k"]).unwrap();
        assert_eq!(files.clients(), None);
        let expected = CertFiles {
            cert: "c".into(),
            key: "k".into(),
        };
        assert_eq!(files.source(), Source::Files(expected));
        let own = parse(&[
            "--ca-secret=s",
            "--serving-name=a.b.svc,c",
            "--owner-deployment=d",
            "--ca-settle=1",
        ]);
        let times = Times {
            settle: Duration::from_secs(1),
            ..Times::default()
        };
        let expected = OwnCa {
            secret: "s".to_owned(),
            names: vec!["a.b.svc".to_owned(), "c".to_owned()],
            owner: Some("d".to_owned()),
            times,
        };
        assert_eq!(own.unwrap().source(), Source::Own(expected));
    }

    #[test]
    fn half_a_choice_is_refused() {
        for (flags, why) in [
            (&[][..], "required"),
            (&["--tls-cert=c"], "--tls-key"),
            (&["--ca-secret=s"], "--serving-name"),
            (
                &["--ca-secret=s", "--serving-name=a", "--tls-cert=c", "--tls-key=k"],
                "cannot be used with",
            ),
            (&["--tls-cert=c", "--tls-key=k", "--client-name=n"], "--client-ca"),
        ] {
            let error = parse(flags).unwrap_err();
            assert!(error.contains(why), "{flags:?}: {error}");
        }
    }

    #[test]
    fn clients_are_named() {
        let flags = parse(&[
            "--tls-cert=c",
            "--tls-key=k",
            "--client-ca=f",
            "--client-name=a",
            "--client-name=b",
        ]);
        let expected = ClientFiles {
            ca: "f".into(),
            names: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(flags.unwrap().clients(), Some(expected));
    }
}
