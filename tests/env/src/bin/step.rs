//! The program of the test images: a pause container, an opt-out filter, a trainer or a service, by its first argument.
//!
//! It has no dependency and is one file, so that `datagate-env` compiles it with rustc alone into a static binary for an
//! image without anything else (see `step.rs` of the crate).

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// What the filter leaves for the trainer.
const FILTERED: &str = "what those who opted out gave is not in here\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        // A pause container is started without arguments.
        [] | ["pause"] => loop {
            thread::park();
        },
        ["filter", file] => done(filter(Path::new(file))),
        ["train", file] => done(train(Path::new(file))),
        ["sleep", seconds] => {
            thread::sleep(Duration::from_secs(seconds.parse().unwrap_or(1)));
            ExitCode::SUCCESS
        }
        other => {
            say(&format!(
                "step: unknown arguments {other:?}: pause, filter FILE, train FILE, sleep SECONDS"
            ));
            ExitCode::from(2)
        }
    }
}

/// Writes the file that the trainer wants.
fn filter(file: &Path) -> Result<String, String> {
    fs::write(file, FILTERED).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(format!("filtered into {}", file.display()))
}

/// Trains on what the filter wrote, and on nothing else.
fn train(file: &Path) -> Result<String, String> {
    match fs::read_to_string(file) {
        Ok(found) if found == FILTERED => Ok(format!("trained on {}", file.display())),
        Ok(_) => Err(format!("{} is not what the filter writes", file.display())),
        Err(error) => Err(format!(
            "the filter did not run before: cannot read {}: {error}",
            file.display()
        )),
    }
}

fn done(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(said) => {
            say(&said);
            ExitCode::SUCCESS
        }
        Err(said) => {
            say(&said);
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // A container without a reader of its output works too.
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_needs_what_the_filter_wrote() {
        let file = env::temp_dir().join(format!("datagate-step-{}", std::process::id()));
        let _ = fs::remove_file(&file);
        assert!(
            train(&file)
                .unwrap_err()
                .starts_with("the filter did not run before")
        );
        fs::write(&file, "raw").unwrap();
        assert!(train(&file).unwrap_err().contains("not what the filter writes"));
        filter(&file).unwrap();
        assert!(train(&file).is_ok());
        fs::remove_file(&file).unwrap();
    }
}
