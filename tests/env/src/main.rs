//! `datagate-env`: builds the control plane's programs, says where they are, makes a certificate, or runs a command in one.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use clap::{Parser, Subcommand};
use datagate_env::{Binaries, ControlPlane, Error, Options, ServerCert};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a command that got the same Ctrl-C as we may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A real Kubernetes control plane, without a node, in a folder that goes with it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Find the programs, build those that are missing, and print where they are.
    Build,
    /// Print the folder that built programs are kept in.
    Path,
    /// Write a certificate for a server (`tls.crt`, `tls.key`) and its authority (`ca.crt`) into a folder.
    Cert {
        /// The host name or address that the server is called by.
        name: String,
        /// The folder; made if it does not exist.
        dir: PathBuf,
    },
    /// Start a control plane, run a command with KUBECONFIG and kubectl and helm in its PATH, stop.
    Run {
        /// The command and its arguments, after `--`.
        #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match act(Arguments::parse().action) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "datagate-env: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<ExitCode, Error> {
    match action {
        Action::Build => {
            let binaries = Binaries::find_or_build()?;
            for file in binaries.all() {
                print(file);
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Path => {
            print(&Binaries::cache_dir()?);
            Ok(ExitCode::SUCCESS)
        }
        Action::Cert { name, dir } => {
            ServerCert::write_new(&dir, &[&name])?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Run { command } => run(&command),
    }
}

fn print(path: &std::path::Path) {
    // A reader that went away wants no more.
    let _ = writeln!(io::stdout(), "{}", path.display());
}

fn run(command: &[String]) -> Result<ExitCode, Error> {
    let binaries = Binaries::find_or_build()?;
    // While building and starting, a signal simply ends us: the watchdogs clear up.
    let cluster = ControlPlane::start(&binaries, &Options::default())?;
    let [program, arguments @ ..] = command else {
        return Ok(ExitCode::SUCCESS);
    };

    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(number).unwrap_or_default();
        signal_hook::flag::register_usize(number, Arc::clone(&signal), value).map_err(|source| {
            Error::Io {
                doing: "handle signals in",
                path: "datagate-env".into(),
                source,
            }
        })?;
    }
    let failed = |source| Error::Io {
        doing: "run",
        path: PathBuf::from(program),
        source,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", path_with(cluster.bin_dir()))
        // Another control plane may have had the same port and other kinds.
        .env("KUBECACHEDIR", cluster.dir().join("home/.kube/cache"))
        .spawn()
        .map_err(failed)?;
    cluster.end_with(child.id())?;

    if let Some(status) = wait(&mut child, &signal).map_err(failed)? {
        return Ok(exit_code(status));
    }
    thread::scope(|scope| {
        // The watchdog ends the command first, and sees it gone when it has been collected.
        scope.spawn(|| child.wait());
        drop(cluster);
    });
    let number = u8::try_from(signal.load(Ordering::Relaxed)).unwrap_or_default();
    Ok(ExitCode::from(number.saturating_add(128)))
}

/// Waits until the command ends, or until a signal says that it is to be ended.
///
/// A Ctrl-C reaches the command too, which may want to finish its work; other signals reach only us.
fn wait(child: &mut Child, signal: &AtomicUsize) -> io::Result<Option<ExitStatus>> {
    let mut interrupted = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        match i32::try_from(signal.load(Ordering::Relaxed)) {
            Ok(0) => {}
            Ok(SIGINT) if interrupted.get_or_insert_with(Instant::now).elapsed() < PATIENCE => {}
            _ => return Ok(None),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn path_with(first: PathBuf) -> std::ffi::OsString {
    let rest = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(first).chain(env::split_paths(&rest))).unwrap_or(rest)
}

/// As a shell gives it: 128 and the signal for a command that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| status.signal().unwrap_or_default().saturating_add(128));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
