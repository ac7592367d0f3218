//! Paths of fields: linked upwards on the stack, and text only if something is wrong.

use std::fmt;

/// A place in an object.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// The object.
    Root,
    /// A field of what is at another place.
    Field(&'a Path<'a>, &'a str),
    /// An item of the list at another place.
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(super) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
