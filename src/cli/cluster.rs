//! `datagate check --cluster`: what is in a cluster, judged as if it were submitted now, by the cluster's policies or by
//! edited ones.
//!
//! Everything is read once and nothing of it is kept: what stays is counts, numbers, and a bounded list of what is
//! refused. Reading (`source`, `list`), who belongs to whom (`family`) and telling (`groups`, `text`, `report`) know
//! nothing of each other; `scan` puts them together.

use std::io::{self, Write};

use clap::Args;
use datagate_core::decision::Outcome;
use datagate_core::settings::Settings;
use jiff::Timestamp;

use self::groups::{Bounds, Groups};
use self::progress::Progress;
use self::report::Report;
use self::scan::Scan;
use self::source::{KubeSource, Source};
use self::told::{Scope, Told, Totals, Untold, Wanted};
use self::worlds::Edit;
use super::Done;
use super::inputs::Inputs;
use crate::live::{self, Fetch, KubeFetch};
use crate::metrics::Metrics;

mod family;
mod groups;
mod list;
mod object;
mod progress;
mod report;
mod scan;
mod source;
mod text;
mod told;
mod worlds;

#[cfg(test)]
mod tests;

/// The webhook is never asked about it, however it is installed.
const NEVER_ASKED: &str = "kube-system";

/// At most this many things that could not be read are listed.
const MAX_MISSED: usize = 100;

/// The flags that are about a cluster. Each says that it needs no FILE: clap forgives a missing --cluster if that were to
/// conflict with something that is there.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What is in a cluster")]
pub struct Flags {
    /// Judge what is in the cluster of the kubeconfig as if it were submitted now, by the cluster's policies and records. Those
    /// of --policy and --record stand in for the cluster's of the same name; the report then says what that changes.
    #[arg(long, conflicts_with_all = ["files", "namespace_labels"])]
    pub cluster: bool,
    /// All namespaces. Default: that of the kubeconfig's context.
    #[arg(short = 'A', long, requires = "cluster", conflicts_with_all = ["namespace", "files"])]
    all_namespaces: bool,
    /// One namespace.
    #[arg(
        short,
        long,
        value_name = "NAME",
        requires = "cluster",
        conflicts_with = "files"
    )]
    namespace: Option<String>,
    /// List only what has running pods.
    #[arg(long, requires = "cluster", conflicts_with = "files")]
    running: bool,
    /// Judge also what has ended: completed and failed jobs, pods that are done.
    #[arg(long, requires = "cluster", conflicts_with = "files")]
    finished: bool,
    /// Namespaces about which the webhook is never asked, besides kube-system: those that `datagate serve` is told.
    #[arg(
        long,
        value_name = "NAME",
        requires = "cluster",
        conflicts_with = "files",
        value_delimiter = ','
    )]
    excluded_namespace: Vec<String>,
}

/// What is asked for, and of whom.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The flags.
    pub flags: Flags,
    /// What decisions depend on.
    pub settings: Settings,
    /// The policies and records of an edit.
    pub edit: Option<&'a Inputs>,
    /// The moment to judge for.
    pub at: Timestamp,
    /// Whether a program reads it.
    pub json: bool,
}

/// Why nothing can be told, or not all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the cluster.
    #[error("{0}")]
    Connect(#[from] crate::serve::Error),
    /// Without these nothing can be judged.
    #[error("cannot read {what}: {why}. Whoever asks needs to list policies, records and namespaces")]
    World {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// There is no such namespace.
    #[error("the cluster has no namespace {0}")]
    NoNamespace(String),
    /// Nothing that could be read is refused, but not everything could be.
    #[error("it cannot be told whether anything would be refused; could not be read:\n{0}")]
    Untold(String),
    /// Standard output, or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is said besides results.
#[derive(Debug, Default)]
pub struct Notes {
    said: Vec<String>,
    missed: Vec<Untold>,
    more: usize,
}

/// What both reports say of the whole.
#[derive(Debug)]
pub struct Outlook<'a> {
    wanted: &'a Wanted,
    edit: &'a [Edit],
    /// Whether only what runs is listed.
    running: bool,
    notes: &'a Notes,
}

/// Reads the cluster, judges, prints.
///
/// # Errors
///
/// Whatever keeps it from telling.
pub fn run(ask: Ask<'_>, out: &mut dyn Write) -> Result<Done, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, own_namespace) = crate::serve::client().await?;
        let scope = match (&ask.flags.namespace, ask.flags.all_namespaces) {
            (_, true) => Scope::Everything,
            (Some(name), false) => Scope::Namespace(name.clone()),
            (None, false) => Scope::Namespace(own_namespace),
        };
        // A template that thousands of objects refer to is fetched once, not every two seconds.
        let config = live::Config {
            good_for: std::time::Duration::from_secs(300),
            ..live::Config::default()
        };
        let fetch = KubeFetch::new(client.clone(), config, Metrics::new().live);
        check(&ask, scope, &KubeSource::new(client), &fetch, out).await
    })
}

/// The same of any source.
async fn check<S: Source, F: Fetch>(
    ask: &Ask<'_>,
    scope: Scope,
    source: &S,
    fetch: &F,
    out: &mut dyn Write,
) -> Result<Done, Error> {
    let mut notes = Notes::default();
    let worlds = worlds::read(source, &scope, ask.settings.clone(), ask.edit, &mut notes).await?;
    let mut excluded = vec![NEVER_ASKED.to_owned()];
    excluded.extend(ask.flags.excluded_namespace.iter().cloned());
    let wanted = Wanted {
        scope,
        finished: ask.flags.finished,
        at: ask.at,
        excluded,
    };
    let progress = if ask.json {
        Progress::hidden()
    } else {
        Progress::shown()
    };
    let mut out = Patient { out, gone: false };
    let mut scan = Scan::new(source, fetch, &worlds, &wanted, &progress);
    let (mut groups, mut report) = (Groups::new(Bounds::default()), None);
    if ask.json {
        report = Some(Report::begin(&mut out, &wanted, &worlds.edit)?);
    }
    let mut tell = |told: &Told<'_>| {
        if ask.flags.running && told.running == 0 {
            return Ok(());
        }
        groups.add(told);
        match &mut report {
            Some(report) => report.result(&mut out, told),
            None => Ok(()),
        }
    };
    scan.run(&mut notes, &mut tell).await?;
    progress.end();
    let outlook = Outlook {
        wanted: &wanted,
        edit: &worlds.edit,
        running: ask.flags.running,
        notes: &notes,
    };
    match report {
        Some(report) => report.end(&mut out, &outlook, &groups, &scan.totals)?,
        None => text::write(&mut out, &outlook, &groups, &scan.totals)?,
    }
    out.flush()?;
    done(&scan.totals, &notes)
}

/// A refusal is certain, whatever else could not be read.
fn done(totals: &Totals, notes: &Notes) -> Result<Done, Error> {
    if totals.of(Outcome::Denied) > 0 {
        return Ok(Done::Refused);
    }
    if notes.count() > 0 {
        let lines: Vec<String> = notes.untold().collect();
        return Err(Error::Untold(lines.join("\n")));
    }
    Ok(Done::Fine)
}

impl Notes {
    /// Something to know.
    fn say(&mut self, note: String) {
        self.said.push(note);
    }

    /// Something that could not be read.
    fn miss(&mut self, untold: Untold) {
        if self.missed.len() < MAX_MISSED {
            self.missed.push(untold);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// How much could not be read.
    fn count(&self) -> usize {
        self.missed.len().saturating_add(self.more)
    }

    /// What could not be read, a line each.
    fn untold(&self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.missed.iter().map(ToString::to_string).chain(more)
    }
}

/// Goes on when nobody reads any more, because the exit status still tells.
struct Patient<'w> {
    out: &'w mut dyn Write,
    gone: bool,
}

impl Patient<'_> {
    fn or_gone<T>(&mut self, result: io::Result<T>, nothing: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(nothing)
            }
            result => result,
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        self.or_gone(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.or_gone(flushed, ())
    }
}
