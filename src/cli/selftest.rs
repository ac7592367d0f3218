//! `datagate selftest`: whether an installation refuses what it must.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::{Done, Error};
use crate::{selftest, serve};

/// The flags of `datagate selftest`.
#[derive(Args, Clone, Debug)]
pub struct Selftest {
    /// The name of the policy that it makes, and of the namespace.
    #[arg(
        long,
        value_name = "NAME",
        env = "DATAGATE_NAME",
        default_value = "datagate-selftest"
    )]
    name: String,
    /// Submit the jobs in this namespace, which exists, instead of making one.
    #[arg(long, value_name = "NAME", env = "DATAGATE_IN_NAMESPACE")]
    in_namespace: Option<String>,
    /// The server runs with --observe, so nothing must be refused.
    #[arg(long, env = "DATAGATE_OBSERVE")]
    observe: bool,
    /// For how many seconds it waits for the policy and for the webhook.
    #[arg(long, value_name = "SECONDS", env = "DATAGATE_TIMEOUT", default_value_t = 120)]
    timeout: u64,
}

impl Selftest {
    /// Runs it, and prints each step as it is done.
    ///
    /// # Errors
    ///
    /// If it cannot be told whether the installation works.
    pub fn run(self, out: &mut dyn Write) -> Result<Done, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(serve::Error::Start)?;
        let options = selftest::Options {
            name: self.name,
            namespace: self.in_namespace,
            observe: self.observe,
            patience: Duration::from_secs(self.timeout),
        };
        let mut written = Ok(());
        let outcome = runtime.block_on(async {
            let (client, _) = serve::client().await?;
            let (stop, _) = serve::signals().map_err(serve::Error::Start)?;
            // What cannot be printed must not keep it from removing what it made.
            let mut say = |text: &str| {
                if written.is_ok() {
                    written = writeln!(out, "{text}").and_then(|()| out.flush());
                }
            };
            Ok::<_, Error>(selftest::run(client, &options, stop, &mut say).await)
        })?;
        written?;
        match outcome {
            Ok(()) => {
                writeln!(out, "passed: this installation does what it must")?;
                out.flush()?;
                Ok(Done::Fine)
            }
            Err(selftest::Error::Wrong(what)) => {
                writeln!(out, "FAILED: {what}")?;
                out.flush()?;
                Ok(Done::Failed)
            }
            Err(error) => Err(error.into()),
        }
    }
}
