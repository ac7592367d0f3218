//! How long-running tasks are told to end: a flag that they wait for.

use tokio::sync::watch;

/// Told once, heard by every clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Tells. Dropping it tells too, so that no task outlives the one who started it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// A flag and who raises it.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (tell, heard) = watch::channel(false);
    (Stopper(tell), Stop(heard))
}

impl Stopper {
    /// Tells every task to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Ready when it is time to end.
    pub async fn told(&mut self) {
        // An error means that nobody is left who could tell.
        let _ = self.0.wait_for(|told| *told).await;
    }
}
