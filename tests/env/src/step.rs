//! The image that tests and pause containers run: `bin/step.rs`, compiled once into a static binary.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::image::{File, Image, hex};
use crate::wait::stdout_of;
use crate::{Binaries, Error};

/// Its name in pod specs.
pub const IMAGE: &str = "localhost/datagate-step:1";

const SOURCE: &str = include_str!("bin/step.rs");

/// The archive of [`IMAGE`] in the cache; makes it if it is not there.
///
/// # Errors
///
/// When rustc is not on the PATH or cannot link statically, or the cache cannot be written.
pub(crate) fn archive() -> Result<PathBuf, Error> {
    let cache = Binaries::cache_dir()?;
    let digest = hex(&Sha256::digest(SOURCE));
    let name = format!("step-{}", digest.get(..16).unwrap_or(&digest));
    let place = cache.join(&name).with_extension("oci.tar");
    if place.exists() {
        return Ok(place);
    }
    fs::create_dir_all(&cache).map_err(Error::io("make", &cache))?;
    let work = tempfile::tempdir_in(&cache).map_err(Error::io("make a folder in", &cache))?;
    let (source, program) = (work.path().join("step.rs"), work.path().join("step"));
    fs::write(&source, SOURCE).map_err(Error::io("write", &source))?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args([
            "--edition=2024",
            "--crate-name=step",
            "-Copt-level=s",
            "-Cstrip=symbols",
        ])
        .args(["-Ctarget-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(&source);
    stdout_of(&mut command)?;
    let image = Image {
        name: IMAGE.to_owned(),
        user: "65532:65532".to_owned(),
        labels: Vec::new(),
        files: vec![File {
            from: program,
            to: "step".to_owned(),
        }],
    };
    let written = work.path().join("image.tar");
    image.write(&written)?;
    fs::rename(&written, &place).map_err(Error::io("write", &place))?;
    Ok(place)
}
