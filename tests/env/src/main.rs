//! `datagate-env`: builds the programs of a cluster, runs a command with a control plane or a node, makes a certificate
//! or an image.

use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use clap::{Parser, Subcommand};
use datagate_env::image::{File, Image};
use datagate_env::{
    Binaries, Client, ControlPlane, Error, NodeBinaries, NodeCluster, NodeOptions, Options, ServerCert,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a command that got the same Ctrl-C as we may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A real Kubernetes, with or without a node, in a folder that goes with it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Find the programs, build those that are missing, and print where they are.
    Build {
        /// Also those that only a node needs.
        #[arg(long)]
        node: bool,
    },
    /// Say whether this machine can run a node, and what is missing; the exit status is 1 if it cannot.
    CheckNode,
    /// Print the folder that built programs are kept in.
    Path,
    /// Write a certificate for a server (`tls.crt`, `tls.key`) and its authority (`ca.crt`) into a folder.
    Cert {
        /// The host name or address that the server is called by.
        name: String,
        /// The folder; made if it does not exist.
        dir: PathBuf,
    },
    /// Write an image of static programs as an archive (OCI layout, also for `docker load`), the same bytes every time.
    Image {
        /// Its name and tag.
        #[arg(long)]
        name: String,
        /// A label, as NAME=VALUE; may be given more than once.
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// The archive to write.
        #[arg(long)]
        output: PathBuf,
        /// The program that it runs, at the root of the image under its name.
        program: PathBuf,
    },
    /// Start a cluster with a node, print its kubeconfig, and stop it when interrupted.
    Cluster {
        /// An archive of images to load; may be given more than once.
        #[arg(long = "image", value_name = "FILE")]
        images: Vec<PathBuf>,
    },
    /// Start a control plane, run a command with KUBECONFIG and kubectl and helm in its PATH, stop.
    Run {
        /// With a node: pods run. The PATH has `on-node` too, which runs a program inside the node.
        #[arg(long)]
        node: bool,
        /// With a node: an archive of images to load; may be given more than once.
        #[arg(long = "image", value_name = "FILE", requires = "node")]
        images: Vec<PathBuf>,
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
        Action::Build { node } => {
            for file in Binaries::find_or_build()?.all() {
                print(file);
            }
            if node {
                for file in NodeBinaries::find_or_build()?.all() {
                    print(file);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::CheckNode => {
            let reasons = NodeCluster::obstacles();
            if reasons.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            Err(Error::NoNode { reasons })
        }
        Action::Path => {
            print(&Binaries::cache_dir()?);
            Ok(ExitCode::SUCCESS)
        }
        Action::Cert { name, dir } => {
            ServerCert::write_new(&dir, &[&name])?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Image {
            name,
            labels,
            output,
            program,
        } => {
            image(name, labels, &output, program)?;
            print(&output);
            Ok(ExitCode::SUCCESS)
        }
        Action::Cluster { images } => cluster(images),
        Action::Run {
            node: false, command, ..
        } => {
            let plane = ControlPlane::start(&Binaries::find_or_build()?, &Options::default())?;
            run(plane, |plane, pid| plane.end_with(pid), &command)
        }
        Action::Run {
            node: true,
            images,
            command,
        } => run(node(images)?, NodeCluster::end_with, &command),
    }
}

fn print(path: &Path) {
    // A reader that went away wants no more.
    let _ = writeln!(io::stdout(), "{}", path.display());
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn image(name: String, labels: Vec<(String, String)>, output: &Path, program: PathBuf) -> Result<(), Error> {
    let to = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let image = Image {
        name,
        // The number that images without a user database use for nobody in particular; no name needs to be known.
        user: "65532:65532".to_owned(),
        labels,
        files: vec![File { from: program, to }],
    };
    image.write(output)
}

fn node(images: Vec<PathBuf>) -> Result<NodeCluster, Error> {
    let reasons = NodeCluster::obstacles();
    if !reasons.is_empty() {
        // Before minutes of building.
        return Err(Error::NoNode { reasons });
    }
    let options = NodeOptions {
        images,
        ..NodeOptions::default()
    };
    NodeCluster::start(
        &Binaries::find_or_build()?,
        &NodeBinaries::find_or_build()?,
        &options,
    )
}

fn cluster(images: Vec<PathBuf>) -> Result<ExitCode, Error> {
    let begun = Instant::now();
    let cluster = node(images)?;
    let (config, bin) = (cluster.kubeconfig().display(), cluster.bin_dir());
    let _ = writeln!(
        io::stdout(),
        "The node is ready, after {:.1} s. In another shell:\n  export KUBECONFIG={config} PATH={bin}:$PATH\n\
         `on-node ctr --namespace k8s.io images import -` loads an image. Ctrl-C ends the cluster.",
        begun.elapsed().as_secs_f64(),
        bin = bin.display(),
    );
    let signal = signals()?;
    while signal.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(50));
    }
    drop(cluster);
    Ok(ExitCode::SUCCESS)
}

/// The number of the last signal that asks us to end, 0 while there is none.
fn signals() -> Result<Arc<AtomicUsize>, Error> {
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
    Ok(signal)
}

/// Runs a command with a cluster that is up. While it was built and started a signal simply ended us, and the watchdogs
/// cleared up.
fn run<C: Deref<Target = Client>>(
    cluster: C,
    end_with: impl Fn(&C, u32) -> Result<(), Error>,
    command: &[String],
) -> Result<ExitCode, Error> {
    let [program, arguments @ ..] = command else {
        return Ok(ExitCode::SUCCESS);
    };

    let signal = signals()?;
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
    end_with(&cluster, child.id())?;

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
