//! Field paths, as indexes into one small vector; only `render` makes text of them.

use std::fmt::{self, Write as _};

use crate::render::shown;
use crate::text::Text;

/// A field of a submission. `Copy`, so that findings can carry it for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At(u32);

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seg<'a> {
    /// The object itself.
    Object,
    /// Inside another object, written `CronJob/nightly`.
    Inside(&'static str, Text<'a>),
    /// `spec.template`: a field, or several with dots between them.
    Field(&'static str),
    /// `containers[3]`; without a name an item of a list inside a list, `steps[0][3]`.
    Item(&'static str, u32),
    /// `annotations[datagate.dev/datasets]`.
    Key(&'static str, Text<'a>),
}

/// The paths of one submission: each segment with its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths<'a>(Vec<(At, Seg<'a>)>);

impl Default for Paths<'_> {
    fn default() -> Self {
        Self(vec![(At(0), Seg::Object)])
    }
}

impl<'a> Paths<'a> {
    /// The submitted object itself.
    pub const ROOT: At = At(0);

    /// The path of `seg` below `parent`.
    pub fn push(&mut self, parent: At, seg: Seg<'a>) -> At {
        let at = At(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push((parent, seg));
        at
    }

    /// The segments from the object down to `at`.
    fn segments(&self, at: At) -> Vec<&Seg<'a>> {
        let mut segments = Vec::new();
        let mut next = at;
        while let Some((parent, seg)) = self.0.get(next.0 as usize) {
            segments.push(seg);
            if *parent == next || matches!(seg, Seg::Inside(..)) {
                break;
            }
            next = *parent;
        }
        segments.reverse();
        segments
    }

    /// The path as text: `spec.template.spec.containers[0]`.
    #[must_use]
    pub fn text(&self, at: At) -> String {
        let mut text = String::new();
        let mut separator = "";
        for seg in self.segments(at) {
            let _ = write!(text, "{}", Segment { seg, separator });
            separator = match seg {
                Seg::Object => "",
                Seg::Inside(..) => " ",
                _ => ".",
            };
        }
        text
    }
}

struct Segment<'s, 'a> {
    seg: &'s Seg<'a>,
    separator: &'static str,
}

impl fmt::Display for Segment<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = self.separator;
        match self.seg {
            Seg::Object => Ok(()),
            Seg::Inside(kind, name) => write!(f, "{kind}/{}", shown(name)),
            Seg::Field(name) => write!(f, "{dot}{name}"),
            Seg::Item("", index) => write!(f, "[{index}]"),
            Seg::Item(name, index) => write!(f, "{dot}{name}[{index}]"),
            Seg::Key(name, key) => write!(f, "{dot}{name}[{}]", shown(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_kubernetes() {
        let mut paths = Paths::default();
        let spec = paths.push(Paths::ROOT, Seg::Field("spec.template.spec"));
        let container = paths.push(spec, Seg::Item("initContainers", 2));
        let key = paths.push(
            Paths::ROOT,
            Seg::Key("metadata.annotations", "datagate.dev/datasets".into()),
        );
        assert_eq!(paths.text(container), "spec.template.spec.initContainers[2]");
        assert_eq!(paths.text(key), "metadata.annotations[datagate.dev/datasets]");
        let theirs = paths.push(Paths::ROOT, Seg::Key("tasks", "a \"b\"\n".into()));
        assert_eq!(paths.text(theirs), "tasks[a 'b'?]", "keys may be anybody's text");
        let step = paths.push(spec, Seg::Item("steps", 0));
        let step = paths.push(step, Seg::Item("", 3));
        assert_eq!(paths.text(step), "spec.template.spec.steps[0][3]");
        let other = paths.push(Paths::ROOT, Seg::Inside("Namespace", "ml".into()));
        let field = paths.push(other, Seg::Field("metadata"));
        assert_eq!(paths.text(field), "Namespace/ml metadata");
    }
}
