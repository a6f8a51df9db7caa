//! What a person sees of a panic: one sentence.

use std::io::{self, Write};

use crate::signals;

/// Threads whose panics are caught, and reported as errors.
const CAUGHT: &str = "sealstone-aws-kms";

/// Has a panic in any thread undo what is unfinished and end the process with code 1. What it says is left out: it may
/// quote data.
pub(crate) fn report_in_one_sentence() {
    std::panic::set_hook(Box::new(|panic| {
        if std::thread::current().name() == Some(CAUGHT) {
            return;
        }
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        let _ = writeln!(
            io::stderr(),
            "sealstone: internal error{place}: this is a defect of sealstone, please report it; no unfinished output is kept"
        );
        signals::clean_up_after_panic();
        std::process::exit(1);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "SEALSTONE_TEST_DIRECTORY";

    #[test]
    #[ignore = "started by the other test, in a process of its own"]
    fn child() {
        let directory = std::path::PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
        report_in_one_sentence();
        let caught = std::thread::Builder::new().name(CAUGHT.to_owned());
        assert!(caught.spawn(|| panic!("caught")).unwrap().join().is_err());
        let unfinished = directory.join("unfinished");
        std::fs::write(&unfinished, "").unwrap();
        let _registered = signals::remove_on_exit(unfinished);
        std::thread::spawn(|| panic!("the plaintext is {}", "hunter2"));
        std::thread::sleep(std::time::Duration::from_secs(60));
    }

    #[test]
    fn a_panic_is_one_sentence_without_what_it_says_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "panics::tests::child", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .output()
            .unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!((run.status.code(), told.lines().count()), (Some(1), 1), "{told}");
        assert!(told.starts_with("sealstone: internal error at "), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("panicked"), "{told}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
