//! `datagate serve` as a process of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use datagate_env::{ControlPlane, wait_until};

/// A running server. Dropping it kills it.
pub struct Server {
    child: Mutex<Child>,
    command: Mutex<Command>,
    admin: u16,
    pub dir: PathBuf,
}

impl Server {
    /// Starts the server; it need not be ready.
    pub fn start(cluster: &ControlPlane, kubeconfig: &Path, port: u16, admin: u16) -> Self {
        Self::start_with(cluster, kubeconfig, port, admin, &[])
    }

    /// The same with more flags.
    pub fn start_with(
        cluster: &ControlPlane,
        kubeconfig: &Path,
        port: u16,
        admin: u16,
        more: &[String],
    ) -> Self {
        let dir = cluster.dir().join(format!("server-{port}"));
        fs::create_dir(&dir).unwrap();
        write_cert(cluster, &dir);
        let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
        command
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .arg("serve")
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--admin-listen=127.0.0.1:{admin}"))
            .arg(format!("--tls-cert={}", dir.join("tls.crt").display()))
            .arg(format!("--tls-key={}", dir.join("tls.key").display()))
            .args(["--namespace=datagate-system", "--webhook-name=datagate"])
            .args(more);
        let child = spawn(&mut command, &dir);
        cluster.end_with(child.id()).unwrap();
        Self {
            child: Mutex::new(child),
            command: Mutex::new(command),
            admin,
            dir,
        }
    }

    /// Starts it again, on the same ports.
    pub fn start_again(&self, cluster: &ControlPlane) {
        let child = spawn(&mut self.command.lock().unwrap(), &self.dir);
        cluster.end_with(child.id()).unwrap();
        *self.child.lock().unwrap() = child;
    }

    /// Waits until it is ready.
    pub fn ready(&self) {
        let ready = wait_until("the server is ready", super::SOON, || match self.readyz() {
            Ok((200, _)) => Ok(()),
            Ok((code, text)) => Err(format!("{code} {text}{}", self.log())),
            Err(error) => Err(format!("{error}\n{}", self.log())),
        });
        ready.unwrap();
    }

    /// What `/readyz` answers.
    pub fn readyz(&self) -> std::io::Result<(u16, String)> {
        self.admin("/readyz")
    }

    /// What the admin port answers: code and body.
    pub fn admin(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let code = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((code, body.to_owned()))
    }

    /// A metric without labels; none: it is not told.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.admin("/metrics").ok()?.1;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value)
    }

    /// The end of its diagnostics.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its decision log.
    pub fn decisions(&self) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(self.dir.join("decisions")).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Puts another certificate in the place of the one it has.
    pub fn renew_cert(&self, cluster: &ControlPlane) {
        write_cert(cluster, &self.dir);
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// A signal, as `kill` knows it.
    pub fn signal(&self, signal: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Waits until it has ended.
    pub fn end(&self) -> ExitStatus {
        self.child.lock().unwrap().wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(command: &mut Command, dir: &Path) -> Child {
    let log = |name: &str| -> File {
        let mut options = OpenOptions::new();
        options.create(true).append(true).open(dir.join(name)).unwrap()
    };
    command
        .stdin(Stdio::null())
        .stdout(log("decisions"))
        .stderr(log("log"))
        .spawn()
        .unwrap()
}

fn write_cert(cluster: &ControlPlane, dir: &Path) {
    let cert = cluster.server_cert(&["127.0.0.1", "localhost"]).unwrap();
    for (name, pem) in [("tls.key", &cert.key_pem), ("tls.crt", &cert.cert_pem)] {
        // As a kubelet does it: whole or not at all.
        let new = dir.join(format!("{name}.new"));
        fs::write(&new, pem).unwrap();
        fs::rename(&new, dir.join(name)).unwrap();
    }
}
