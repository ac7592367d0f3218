//! The command line.
//!
//! Only here is anything printed: what was asked for to standard output, problems to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use document::Bad;

mod bounds;
pub mod certificate;
pub mod check;
pub mod cluster;
pub mod coverage;
pub mod document;
pub mod inputs;
pub mod report;
pub mod serve;
pub mod settings;
pub mod telemetry;

/// Keeps paused and opted-out data out of model training.
#[derive(Debug, Parser)]
#[command(name = "datagate", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum Command {
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
    /// Judge workloads as the webhook would, those of files or what is in a cluster.
    ///
    /// Exit status: 0 if all are admitted (warnings allowed), 1 if at least one is refused, 2 if it cannot be told.
    Check(Box<check::Check>),
    /// List the kinds of the cluster that carry pods, and whether each is judged.
    ///
    /// Exit status: 0 if all of them are, 1 if at least one is not, 2 if it cannot be told. The cluster is the one of the
    /// kubeconfig, or the one this runs in.
    Coverage(coverage::Show),
    /// Run the webhook.
    Serve(Box<serve::Serve>),
}

/// How it ended, if it did what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Well.
    Fine,
    /// At least one workload is refused.
    Refused,
    /// At least one kind that carries pods is not judged.
    NotJudged,
}

/// Why it could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that was given cannot be read.
    #[error("{}", list(.0))]
    Bad(Vec<Bad>),
    /// Something cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// The CRDs cannot be made.
    #[error(transparent)]
    Crd(#[from] datagate_api::crd::Error),
    /// What is in the cluster cannot be judged, or not all of it.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// A flag says nothing sensible.
    #[error(transparent)]
    Flag(#[from] settings::FlagError),
    /// The cluster did not say what it serves.
    #[error("cannot tell what is covered: {0}")]
    Coverage(#[from] crate::coverage::look::Error),
    /// It said so in part.
    #[error("cannot tell whether everything is covered: {}", .0.join("\n"))]
    Unread(Vec<String>),
    /// The server did not start, or ended.
    #[error(transparent)]
    Serve(#[from] crate::serve::Error),
}

impl From<Vec<Bad>> for Error {
    fn from(bad: Vec<Bad>) -> Self {
        Self::Bad(bad)
    }
}

fn list(bad: &[Bad]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = bad.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = bad.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// Runs what the command line asks for, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let stdout = || io::BufWriter::new(io::stdout().lock());
    let done = match Cli::parse().command {
        Command::Crds => crds(&mut stdout()),
        Command::Check(check) => check.run(&mut stdout(), &mut io::stderr().lock()),
        Command::Coverage(show) => show.run(&mut stdout()),
        // Standard output belongs to the decision log.
        Command::Serve(serve) => run_server(*serve),
    };
    match done {
        Ok(Done::Fine) => ExitCode::SUCCESS,
        Ok(Done::Refused | Done::NotJudged) => ExitCode::from(1),
        // Whoever reads has read enough.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // If even that cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr().lock(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn run_server(serve: serve::Serve) -> Result<Done, Error> {
    crate::serve::run(serve.options()?)?;
    Ok(Done::Fine)
}

fn crds(out: &mut dyn Write) -> Result<Done, Error> {
    for crd in datagate_api::crd::crds().map_err(datagate_api::crd::Error::from)? {
        out.write_all(datagate_api::crd::yaml(&crd)?.as_bytes())?;
    }
    out.flush()?;
    Ok(Done::Fine)
}
