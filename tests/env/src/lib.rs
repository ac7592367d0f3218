//! A real Kubernetes control plane for tests and for the demo: etcd, kube-apiserver and
//! kube-controller-manager as plain processes, with kubectl and helm beside them.
//!
//! [`Binaries::find_or_build`] finds the programs or builds them once from pinned Go modules;
//! [`ControlPlane::start`] runs them in a folder of their own, as many control planes at once as one
//! likes. Dropping the [`ControlPlane`] ends its processes and removes the folder; so does the death of
//! the process that holds it, however it dies.
//!
//! There is no node: pods stay pending, and a test that wants one to have run says so by its `status`
//! subresource. A CronJob with `schedule: "@every 1s"` makes its first Job within seconds. A webhook of the
//! test is best registered by [`ControlPlane::create_local_service`].
//!
//! ```no_run
//! # fn main() -> Result<(), datagate_env::Error> {
//! use datagate_env::{Binaries, ControlPlane, Options};
//!
//! let binaries = Binaries::find_or_build()?;
//! let cluster = ControlPlane::start(&binaries, &Options::default())?;
//! cluster.create_namespace("team-a")?;
//! let pods = cluster.get(["pods", "--namespace", "team-a"])?;
//! assert_eq!(pods["items"].as_array().map(Vec::len), Some(0));
//! # Ok(())
//! # }
//! ```

mod binaries;
mod client;
mod control_plane;
mod error;
pub mod image;
mod node;
mod pki;
mod step;
mod wait;
mod watchdog;

pub use binaries::{Binaries, NodeBinaries};
pub use client::Client;
pub use control_plane::{Component, ControlPlane, Options};
pub use error::Error;
pub use node::{NodeCluster, NodeOptions};
pub use pki::ServerCert;
pub use wait::{free_port, stdout_of, wait_until};
