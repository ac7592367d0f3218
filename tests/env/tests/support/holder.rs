//! A child process of a test.

use std::process::Child;

/// A process that does not outlive a test that fails.
pub(crate) struct Holder(pub(crate) Child);

impl Holder {
    /// Kills it as nothing can be caught, and waits for that.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.kill();
    }
}
