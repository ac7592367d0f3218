//! Requests that keep coming while something happens to the server.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use datagate_env::wait_until;
use serde_json::Value;

use crate::webhook::{Answer, Rig};

/// A stream of creations, each thread one after another.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    answers: Arc<Mutex<Vec<Answer>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts so many threads; the `i`-th request of each is what `make` gives. What has a field `dryRun` is not stored.
    pub fn start(
        rig: &'static Rig,
        threads: usize,
        make: impl Fn(usize, usize) -> Value + Send + Clone + 'static,
    ) -> Self {
        let (stop, answered, answers) =
            <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<Mutex<Vec<Answer>>>)>::default();
        let spawn = |thread: usize| {
            let (stop, answered, answers, make) =
                (stop.clone(), answered.clone(), answers.clone(), make.clone());
            thread::spawn(move || {
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut object = make(thread, i);
                    let dry = object.as_object_mut().unwrap().remove("dryRun").is_some();
                    let answer = if dry {
                        rig.api.dry_run(&object)
                    } else {
                        rig.api.create(&object)
                    };
                    answers.lock().unwrap().push(answer);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..threads).map(spawn).collect();
        Self {
            stop,
            answered,
            answers,
            threads,
        }
    }

    /// How many have been answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more have been answered.
    #[track_caller]
    pub fn more(&self, count: usize) {
        let wanted = self.answered() + count;
        let enough = || match self.answered() {
            now if now >= wanted => Ok(()),
            now => Err(now.to_string()),
        };
        wait_until("more answers", Duration::from_secs(60), enough).unwrap();
    }

    /// Stops, and gives all answers in their order.
    pub fn end(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}
