//! One line on a terminal, so that nobody wonders whether a large cluster is still being read.

use datagate_core::workload::KnownKind;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::list::resource;

/// The line.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// On standard error, if that is a terminal.
    #[must_use]
    pub fn shown() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    /// Nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let style = indicatif::ProgressStyle::with_template("{pos} objects read in {elapsed}; {msg}");
        let bar = ProgressBar::with_draw_target(None, target);
        Self {
            // The template is fixed; should it ever be wrong, the usual line does as well.
            bar: match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            },
        }
    }

    /// A page has been read and judged.
    pub fn page(&self, kind: KnownKind, objects: usize, remaining: Option<u64>) {
        self.bar.inc(objects as u64);
        let more = remaining.map_or(String::new(), |more| format!(", {more} more"));
        self.bar.set_message(format!("{}{more}", resource(kind)));
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
