//! What can go wrong: where, what, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a program was not found or built, or a control plane did not start or do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To which file or program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// There is no place to keep built programs.
    #[error(
        "no folder to keep built programs in: set DATAGATE_ENV_CACHE to one outside the checkout (HOME and XDG_CACHE_HOME are not set either)"
    )]
    NoCache,

    /// Programs have to be built and there is no Go.
    #[error(
        "{programs} must be built and `go` is not on the PATH: install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a folder with these programs (looked in {})",
        cache.display()
    )]
    NoGo {
        /// The programs that are missing.
        programs: String,
        /// Where they were looked for.
        cache: PathBuf,
    },

    /// `go build` failed.
    #[error(
        "go build of {program} failed after {} s ({status}); check the Go version and that Go modules can be fetched. The end of its output:\n{tail}",
        after.as_secs()
    )]
    Build {
        /// The program being built.
        program: String,
        /// For how long it was built.
        after: Duration,
        /// How `go` ended.
        status: String,
        /// The end of what it printed.
        tail: String,
    },

    /// A key or certificate could not be made.
    #[error("cannot make the certificates of the control plane: {0}")]
    Pki(#[from] rcgen::Error),

    /// A part of the control plane did not start.
    #[error("{component} did not start: {why}. The end of its log:\n{tail}")]
    Start {
        /// The program that did not start.
        component: String,
        /// What was seen.
        why: String,
        /// The end of its log.
        tail: String,
    },

    /// This machine cannot run a node.
    #[error("a node cannot run here:\n  {}", reasons.join("\n  "))]
    NoNode {
        /// What is missing, each with what to do.
        reasons: Vec<String>,
    },

    /// A condition did not come true in time.
    #[error("waited {} s for {what}; last seen:\n{state}", after.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
        /// What there was instead.
        state: String,
    },

    /// A program ran and failed.
    #[error("{command} failed ({status}):\n{output}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed, standard error first.
        output: String,
    },
}

impl Error {
    /// For `map_err`: gives an I/O error its place.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.as_ref().to_owned(),
            source,
        }
    }
}
