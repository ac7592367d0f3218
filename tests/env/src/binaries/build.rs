//! Builds missing programs from the pinned Go modules, one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Program;
use crate::Error;
use crate::wait::tail_of;
use crate::watchdog::Watchdog;

/// How often a long build says that it is still alive.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Builds what `missing` lists into `cache`; asks again once no other process is building.
pub(super) fn build(cache: &Path, missing: impl Fn() -> Vec<&'static Program>) -> Result<(), Error> {
    fs::create_dir_all(cache).map_err(Error::io("make", cache))?;
    let path = cache.join(".lock");
    // Never removed: a lock on a file that others may have deleted is a lock on nothing.
    let lock = File::create(&path).map_err(Error::io("write", &path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(&format!(
                "another process is building in {}; waiting for it",
                cache.display()
            ));
            lock.lock().map_err(Error::io("lock", &path))?;
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }

    let programs = missing();
    for (done, program) in programs.iter().enumerate() {
        let position = format!("{} of {}", done.saturating_add(1), programs.len());
        let rest = || {
            programs
                .iter()
                .skip(done)
                .map(|p| p.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        build_one(cache, program, &position).map_err(|error| match error {
            Error::NoGo { cache, .. } => Error::NoGo {
                programs: rest(),
                cache,
            },
            other => other,
        })?;
    }
    Ok(())
}

fn build_one(cache: &Path, program: &Program, position: &str) -> Result<(), Error> {
    let go = find_go().ok_or_else(|| Error::NoGo {
        programs: String::new(),
        cache: cache.to_owned(),
    })?;
    let Program {
        name,
        version,
        package,
        module,
        about,
    } = program;

    // In the cache, so that the finished file can be renamed; the watchdog removes it however we end.
    let mut watchdog = Watchdog::start(cache)?;
    let dir = watchdog.dir().to_owned();
    for (file, content) in [("go.mod", module.go_mod), ("go.sum", module.go_sum)] {
        let path = dir.join(file);
        fs::write(&path, content).map_err(Error::io("write", path))?;
    }
    let built = dir.join(name);
    let stamps: String = module
        .stamps
        .iter()
        .map(|(variable, value)| format!(" -X {variable}={value}"))
        .collect();
    let ldflags = format!("-s -w{stamps}");
    let mut arguments: Vec<&str> = "build -mod=readonly -trimpath -buildvcs=false -ldflags"
        .split(' ')
        .collect();
    let output = built.to_string_lossy();
    arguments.extend([ldflags.as_str(), "-o", &output, package]);

    let begun = Instant::now();
    say(&format!(
        "building {name} {version} ({position}), about {about} the first time on two cores"
    ));
    let log = dir.join("build.log");
    watchdog.spawn(name, &go, arguments, &log, |command: &mut Command| {
        // A workspace above the cache is none of ours, and unfinished work belongs where it is removed.
        command
            .current_dir(&dir)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .env("GOTMPDIR", &dir);
    })?;
    let status = with_heartbeat(name, begun, || watchdog.wait(name))?;
    let after = begun.elapsed();
    if !status.success() {
        let (status, tail) = (status.to_string(), tail_of(&log));
        return Err(Error::Build {
            program: format!("{name} {version}"),
            after,
            status,
            tail,
        });
    }
    let place = cache.join(name);
    fs::rename(&built, &place).map_err(Error::io("write", &place))?;
    say(&format!("built {name} in {} s", after.as_secs()));
    Ok(())
}

/// Says from time to time that `work` goes on.
fn with_heartbeat<T>(name: &str, begun: Instant, work: impl FnOnce() -> T) -> T {
    let (done, rest) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while rest.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                say(&format!("still building {name}, {} s", begun.elapsed().as_secs()));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn find_go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("go"))
        .find(|file| super::is_program(file))
}

/// Not `eprintln!`, which the test harness would keep to itself for the ten minutes that it is wanted.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "datagate-env: {line}");
}
