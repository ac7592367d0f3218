//! The report as people read it.

use std::io::{self, Write};

use datagate_core::decision::Outcome;

use super::groups::{Group, Groups, Key};
use super::told::{Change, Scope, Totals, Wanted};
use super::worlds::Edit;
use super::{Notes, Outlook};

/// Writes it.
///
/// # Errors
///
/// If that fails.
pub fn write(out: &mut dyn Write, outlook: &Outlook<'_>, groups: &Groups, totals: &Totals) -> io::Result<()> {
    let Outlook {
        wanted,
        edit,
        running,
        notes,
    } = outlook;
    let mut last: Option<&Key> = None;
    for (key, group) in groups.iter() {
        if !edit.is_empty() && last.is_none_or(|last| last.change != key.change) {
            writeln!(out, "{}\n", heading(key.change))?;
        }
        if last.is_none_or(|last| last.change != key.change || last.namespace != key.namespace) {
            match &*key.namespace {
                "" => writeln!(out, "Outside of namespaces")?,
                name => writeln!(out, "Namespace {name}")?,
            }
        }
        write_group(out, key, group)?;
        last = Some(key);
    }
    if groups.beyond > 0 {
        writeln!(
            out,
            "And {} in more groups, which are not listed.\n",
            groups.beyond
        )?;
    }
    summary(out, wanted, edit, *running, totals)?;
    write_notes(out, notes)
}

const fn heading(change: Change) -> &'static str {
    match change {
        Change::NewlyRefused => "== Newly refused with the edit",
        Change::NoLongerRefused => "== No longer refused with the edit",
        Change::Refused => "== Refused either way",
    }
}

fn write_group(out: &mut dyn Write, key: &Key, group: &Group) -> io::Result<()> {
    let reasons: Vec<&str> = key.reasons.iter().copied().collect();
    let pods = match group.running_pods {
        0 => String::new(),
        pods => format!(
            ", {} of them with {}",
            group.running_roots,
            count(pods, "running pod")
        ),
    };
    let roots = count(group.roots, "workload");
    writeln!(out, "  {}: {roots}{pods}", reasons.join(", "))?;
    for root in &group.listed {
        let pods = match root.running {
            0 => String::new(),
            pods => format!(", {}", count(pods, "running pod")),
        };
        writeln!(out, "    {}/{} ({}{pods})", root.kind, root.name, root.rules)?;
        for line in &root.lines {
            writeln!(out, "      * {line}")?;
        }
    }
    match group.roots.saturating_sub(group.listed.len()) {
        0 => {}
        more => writeln!(out, "    and {more} more; -o json lists all")?,
    }
    writeln!(out)
}

fn summary(
    out: &mut dyn Write,
    wanted: &Wanted,
    edit: &[Edit],
    running: bool,
    totals: &Totals,
) -> io::Result<()> {
    let place = match &wanted.scope {
        Scope::Namespace(name) => format!(" in namespace {name}"),
        Scope::Everything => String::new(),
    };
    let refused = totals.of(Outcome::Denied);
    writeln!(
        out,
        "{}{place}, judged as if submitted at {}: {refused} would be refused, {} admitted with warnings, {} admitted, {} not governed.",
        count(totals.judged(), "workload"),
        wanted.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        totals.of(Outcome::AllowedWithWarnings),
        totals.of(Outcome::Allowed),
        totals.of(Outcome::NotGoverned),
    )?;
    if refused > 0 {
        match totals.running_roots {
            0 => writeln!(out, "None of those that would be refused has running pods.")?,
            roots => writeln!(
                out,
                "Running now, of those that would be refused: {roots}, with {}.",
                count(totals.running_pods, "running pod")
            )?,
        }
        if running {
            writeln!(out, "--running: those without running pods are not listed.")?;
        }
    }
    if !edit.is_empty() {
        let names: Vec<String> = edit.iter().map(Edit::told).collect();
        writeln!(
            out,
            "The edit ({}): {} newly refused, {} no longer refused, {} refused either way.",
            names.join(", "),
            totals.newly,
            totals.no_longer,
            refused.saturating_sub(totals.newly)
        )?;
    }
    let mut left_out = Vec::new();
    if totals.finished > 0 {
        left_out.push(format!("{} that ended (--finished judges them)", totals.finished));
    }
    if totals.excluded > 0 {
        left_out.push(format!(
            "{} in namespaces about which the webhook is never asked ({})",
            totals.excluded,
            wanted.excluded.join(", ")
        ));
    }
    if !left_out.is_empty() {
        writeln!(out, "Left out: {}.", left_out.join("; "))?;
    }
    if totals.children > 0 {
        writeln!(
            out,
            "Told with their owners: {}.",
            match totals.children {
                1 => "1 child".to_owned(),
                children => format!("{children} children"),
            }
        )?;
    }
    Ok(())
}

fn write_notes(out: &mut dyn Write, notes: &Notes) -> io::Result<()> {
    for note in &notes.said {
        writeln!(out, "Note: {note}.")?;
    }
    for untold in notes.untold() {
        writeln!(out, "Could not be read: {untold}")?;
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
