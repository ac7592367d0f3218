//! Names of people in the decision log, replaced by a keyed hash.
//!
//! With the same key the same name gives the same pseudonym, so lines of one person can still be counted and found by
//! whoever has the key; without it nobody can try names out. The key, not the log, is then what must be guarded.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;

/// Bytes that a key has at least: as many as the hash, so that the key is not the weaker part.
pub const MIN_KEY: usize = 32;

/// Bytes of the hash that are shown. Names that collide would have to be 2^64 in number.
const SHOWN: usize = 16;

/// Replaces names.
#[derive(Clone)]
pub struct Pseudonyms {
    key: hmac::Key,
    id: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error("cannot read --pseudonymise-key {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is too short.
    #[error(
        "--pseudonymise-key {}: the key has {found} bytes, {MIN_KEY} are needed. Make one: openssl rand -hex 32",
        file.display()
    )]
    Short {
        /// The file.
        file: PathBuf,
        /// Its length, the end of line not counted.
        found: usize,
    },
}

impl Pseudonyms {
    /// With the key in a file; a newline at its end is not part of it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is shorter than [`MIN_KEY`].
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let content = fs::read(file).map_err(|source| KeyError::Read {
            file: file.to_owned(),
            source,
        })?;
        let key = content.strip_suffix(b"\n").unwrap_or(&content);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        Self::new(key).ok_or_else(|| KeyError::Short {
            file: file.to_owned(),
            found: key.len(),
        })
    }

    /// With this key, if it is long enough.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() < MIN_KEY {
            return None;
        }
        let mut new = Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            id: String::new(),
        };
        new.id = new.hash("key", "", 4);
        Some(new)
    }

    /// Names the key without telling it, so that it can be seen when it was changed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What stands for a value of this field. The field is part of it, so that an object that is called like a person does
    /// not show that.
    #[must_use]
    pub fn of(&self, field: &str, value: &str) -> String {
        format!("hmac:{}", self.hash(field, value, SHOWN))
    }

    fn hash(&self, field: &str, value: &str, bytes: usize) -> String {
        let tag = hmac::sign(&self.key, format!("{field}:{value}").as_bytes());
        let shown = tag.as_ref().iter().take(bytes);
        shown.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonyms")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
