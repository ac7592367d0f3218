//! `datagate coverage`: which kinds of a cluster carry pods, and whether each of them is judged.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{Done, Error};
use crate::coverage::look::{Where, look};
use crate::coverage::{Coverage, Entry, Judged};
use crate::serve;

use self::report::CoverageReport;

mod report;

/// The flags of `datagate coverage`.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// What is printed: a table, or a CoverageReport.
    #[arg(short, long, value_enum, default_value_t = Output::Text, env = "DATAGATE_OUTPUT")]
    output: Output,
}

/// How the outcome is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// A CoverageReport.
    Json,
}

/// A part of the table.
const PARTS: [(&str, &[Judged]); 3] = [
    (
        "NOT JUDGED",
        &[Judged::NotCovered, Judged::VersionNotRead, Judged::NoRule],
    ),
    ("CANNOT TELL", &[Judged::CannotTell]),
    ("JUDGED", &[Judged::Yes]),
];

impl Show {
    /// Asks the cluster, prints.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from telling, in part too.
    pub fn run(self, out: &mut dyn Write) -> Result<Done, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(serve::Error::Start)?;
        let coverage = runtime.block_on(async {
            let (client, _) = serve::client().await?;
            let cluster = look(&client, &Where::All).await?;
            Ok::<_, Error>(Coverage::of(cluster))
        })?;
        match self.output {
            Output::Text => text(out, &coverage)?,
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, &CoverageReport::new(Timestamp::now(), &coverage))
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        out.flush()?;
        match coverage {
            found if found.not_judged().next().is_some() => Ok(Done::NotJudged),
            found if !found.unread.is_empty() => Err(Error::Unread(found.unread)),
            _ => Ok(Done::Fine),
        }
    }
}

fn text(out: &mut dyn Write, coverage: &Coverage) -> io::Result<()> {
    for (title, verdicts) in PARTS {
        let entries = coverage.entries.iter().filter(|it| verdicts.contains(&it.judged));
        let rows: Vec<[String; 5]> = entries.map(row).collect();
        if !rows.is_empty() {
            writeln!(out, "{title}")?;
            table(out, &rows)?;
            writeln!(out)?;
        }
    }
    if !coverage.unseen.is_empty() {
        writeln!(out, "CANNOT LOOK INTO")?;
        for group in &coverage.unseen {
            writeln!(out, "  {group}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}", summary(coverage))
}

fn row(entry: &Entry) -> [String; 5] {
    let kind = &entry.kind;
    let name = match kind.group.as_str() {
        "" => kind.plural.clone(),
        group => format!("{}.{group}", kind.plural),
    };
    let place = match kind.seen.places.as_slice() {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} (+{})", more.len()),
    };
    let why = match entry.judged {
        judged if judged.is_not() => format!("{}: {}", judged.as_str(), entry.why),
        _ => entry.why.clone(),
    };
    [kind.kind.clone(), name, kind.versions.join(","), place, why]
}

/// Columns as wide as they must be; the last one as long as it is.
fn table(out: &mut dyn Write, rows: &[[String; 5]]) -> io::Result<()> {
    let head = ["KIND", "RESOURCE", "VERSIONS", "CONTAINERS", "WHY"].map(str::to_owned);
    let told = rows.iter().any(|[.., why]| !why.is_empty());
    let mut widths = [0_usize; 5];
    for row in std::iter::once(&head).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths).take(if told { 5 } else { 4 }) {
            line.push_str(&format!("  {cell:width$}"));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn summary(coverage: &Coverage) -> String {
    let count = |verdicts: &[Judged]| {
        let all = coverage.entries.iter();
        all.filter(|it| verdicts.contains(&it.judged)).count()
    };
    let [not, cannot, yes] = PARTS.map(|(_, verdicts)| count(verdicts));
    let all = not.saturating_add(cannot).saturating_add(yes);
    let (kinds, carry) = if all == 1 {
        ("kind", "carries")
    } else {
        ("kinds", "carry")
    };
    let unread = match coverage.unread.len() {
        0 => String::new(),
        some => format!(" Not read: {some}."),
    };
    format!(
        "{all} {kinds} {carry} pods or may: {yes} judged, {not} not judged, {cannot} cannot be told.{unread}"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::coverage::{Asked, Cluster, Kind, Seen};

    fn kind(group: &str, kind: &str, plural: &str, places: &[&str]) -> Kind {
        Kind {
            group: group.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: true,
            versions: vec!["v1".to_owned()],
            seen: Seen {
                places: places.iter().map(|it| (*it).to_owned()).collect(),
                open: vec!["spec".to_owned()],
                cut: false,
            },
        }
    }

    fn coverage() -> Coverage {
        Coverage::of(Cluster {
            kinds: vec![
                kind("batch", "Job", "jobs", &["spec.template.spec.containers"]),
                kind("example.com", "Opaque", "opaques", &[]),
                kind(
                    "example.com",
                    "Training",
                    "trainings",
                    &["spec.a.containers", "spec.b.containers"],
                ),
            ],
            asked: Asked::NotLookedFor,
            unread: vec![],
            unseen: vec!["apps.example.com v1: its API server does not answer".to_owned()],
        })
    }

    #[test]
    fn what_is_not_judged_stands_first() {
        let mut out = Vec::new();
        text(&mut out, &coverage()).unwrap();
        let expected = "\
NOT JUDGED
  KIND      RESOURCE               VERSIONS  CONTAINERS              WHY
  Training  trainings.example.com  v1        spec.a.containers (+1)  NotCovered: datagate does not know this kind: its \
pods are judged, each by itself, but not the object

CANNOT TELL
  KIND    RESOURCE             VERSIONS  CONTAINERS  WHY
  Opaque  opaques.example.com  v1        -           its schema allows anything at spec, pods too

JUDGED
  KIND  RESOURCE    VERSIONS  CONTAINERS
  Job   jobs.batch  v1        spec.template.spec.containers

CANNOT LOOK INTO
  apps.example.com v1: its API server does not answer

3 kinds carry pods or may: 1 judged, 1 not judged, 1 cannot be told.
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_report_says_the_same() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let report = serde_json::to_value(CoverageReport::new(at, &coverage())).unwrap();
        let expected = serde_json::json!({
            "apiVersion": "datagate.dev/v1alpha1",
            "kind": "CoverageReport",
            "at": "2026-01-01T00:00:00Z",
            "kinds": [
                {
                    "group": "example.com", "kind": "Training", "resource": "trainings", "versions": ["v1"],
                    "containers": ["spec.a.containers", "spec.b.containers"], "open": ["spec"], "judged": "NotCovered",
                    "message": "datagate does not know this kind: its pods are judged, each by itself, but not the object",
                },
                {
                    "group": "example.com", "kind": "Opaque", "resource": "opaques", "versions": ["v1"],
                    "containers": [], "open": ["spec"], "judged": "CannotTell",
                    "message": "its schema allows anything at spec, pods too",
                },
                {
                    "group": "batch", "kind": "Job", "resource": "jobs", "versions": ["v1"],
                    "containers": ["spec.template.spec.containers"], "open": ["spec"], "judged": "Yes",
                },
            ],
            "unread": [],
            "unseen": ["apps.example.com v1: its API server does not answer"],
            "summary": {"CannotTell": 1, "NoRule": 0, "NotCovered": 1, "VersionNotRead": 0, "Yes": 1},
        });
        assert_eq!(report, expected);
    }
}
