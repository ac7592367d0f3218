//! Small helpers of every cluster test: poll a condition, run a command, find a free port.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Between two looks at a condition: short beside anything an API server does, long beside a look.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// The lines of a log that an error shows.
const TAIL_LINES: usize = 30;

/// Looks again and again until `look` gives a value.
///
/// `look` says with `Err` what it saw instead, and the last of these stands in the error.
///
/// # Errors
///
/// [`Error::Timeout`] when `timeout` passed without a value; `look` runs at least once.
pub fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        let state = match look() {
            Ok(value) => return Ok(value),
            Err(state) => state,
        };
        if begun.elapsed() >= timeout {
            return Err(Error::Timeout {
                what: what.to_owned(),
                after: timeout,
                state,
            });
        }
        thread::sleep(INTERVAL);
    }
}

/// A TCP port that nothing on the loopback address listens on at this moment.
///
/// Another process may take it before its user does, so whoever can should bind to port 0 instead.
///
/// # Errors
///
/// When the system has no free port or no loopback address.
pub fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::io("find a free port on", "127.0.0.1"))
}

/// Runs a command and gives its standard output.
///
/// # Errors
///
/// When it cannot be run, or ends with another status than 0; the error has all it printed.
pub fn stdout_of(command: &mut Command) -> Result<String, Error> {
    let output = command
        .output()
        .map_err(Error::io("run", command.get_program()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    Err(Error::Command {
        command: format!("{command:?}"),
        status: output.status.to_string(),
        output: format!("{}{stdout}", String::from_utf8_lossy(&output.stderr)),
    })
}

/// Whether a command that prints nothing of interest ends well.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The last lines of a log; says so when there is none.
pub(crate) fn tail_of(log: &Path) -> String {
    match fs::read(log) {
        Err(error) => format!("(no log: {error})"),
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes)),
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let last: Vec<&str> = text.lines().rev().take(TAIL_LINES).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_tells_the_last_state() {
        let mut looks = 0;
        let error = wait_until::<()>("rain", Duration::ZERO, || {
            looks += 1;
            Err(format!("look {looks}: dry"))
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "waited 0 s for rain; last seen:\nlook 1: dry"
        );
    }

    #[test]
    fn a_failed_command_tells_what_it_printed() {
        let error = stdout_of(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();
        assert!(
            error.to_string().ends_with("(exit status: 3):\nerr\nout\n"),
            "{error}"
        );
    }
}
