//! Progress while the service is waited for.
#![cfg(target_os = "linux")]

use crate::common::terminal::Terminal;
use crate::common::wait;

#[test]
fn progress_says_that_it_waits_for_a_key_service() {
    use sealstone_kms_mock::Fault;
    const WORDS: &str = "waiting for AWS KMS";
    let service = crate::service::Service::new();
    service.write("in", "1");
    let hang = Fault {
        hang: true,
        ..Fault::default()
    };
    service.mock.faults().add(hang).unwrap();
    let terminal = Terminal::new();
    let mut command = service.command(&["encrypt", "in", "-k", crate::service::ONE]);
    let mut child = command.stderr(terminal.line()).spawn().unwrap();
    terminal.wait_for(&format!("in: {WORDS}"));
    // The signal takes the bar away.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait(&mut child), Some(143));
    assert_eq!(service.names(), ["in"]);
}
