//! Distinguishing processes with equal ids, and measuring time while a clock stands still: in separate namespaces, with
//! the kernel's own means.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/forking.rs"]
#[allow(unreachable_pub, reason = "as `common`")]
mod forking;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use common::{C, Counting, decryptor, encryptor, plaintext};
use forking::{in_a_child, pipe, say_and_exit, wait_for};
use sealstone::keys::IntermediateKeys;
use sealstone::{EncryptionContext, Error, KeyProvider, RawKey};

const CLONE_NEWTIME: i32 = 0x80;
const NOT_RUN: &[u8] = b"NOT RUN";

/// One test, because a fork must not happen beside other tests' threads.
#[test]
fn namespaces_hide_no_fork_and_no_suspension() {
    for (what, reported, wanted) in [
        (
            "a fork into a new PID namespace",
            in_a_child(the_first_process_forks_another_first_process),
            format!("{:?}", [(); 3].map(|()| forked())).replace('"', ""),
        ),
        (
            "a fork that has the id of a process that has ended",
            in_a_child(a_process_id_is_given_out_again),
            forked(),
        ),
        (
            "a machine that is suspended",
            in_a_child(the_clock_goes_on_while_the_machine_sleeps),
            "calls: 1, then 1, then 2".to_owned(),
        ),
    ] {
        if reported == NOT_RUN {
            let _ = writeln!(io::stderr(), "NOT RUN: {what}: this system grants no namespaces for it");
            continue;
        }
        assert_eq!(String::from_utf8_lossy(&reported), wanted, "{what}");
    }
}

fn forked() -> String {
    format!("{:?}", Err::<(), _>(Error::Forked))
}

/// Moves this process, or its next children, into new namespaces, as root of a user namespace if necessary.
fn unshare(namespaces: i32) -> bool {
    // SAFETY: the call takes a number. This process has one thread, which user namespaces require.
    unsafe { libc::unshare(namespaces) == 0 || libc::unshare(libc::CLONE_NEWUSER | namespaces) == 0 }
}

/// Process 1 of a PID namespace begins objects, enters another one, and forks its process 1, as containers do.
fn the_first_process_forks_another_first_process() -> Vec<u8> {
    if !unshare(libc::CLONE_NEWPID) {
        return NOT_RUN.to_vec();
    }
    in_a_child(|| {
        assert_eq!(std::process::id(), 1);
        let plain = plaintext(100 * C);
        let begun = encryptor().begin().unwrap();
        let parts = encryptor().begin().unwrap().parts(2 * C as u64).unwrap();
        let mut writer = encryptor().writer(Vec::new()).unwrap();
        writer.write_all(&plain[..20 * C + 7]).unwrap();

        assert!(unshare(libc::CLONE_NEWPID));
        let mut begun = Some(begun);
        let reported = in_a_child(|| {
            assert_eq!(std::process::id(), 1);
            let mut out = vec![0; 8192 + 56 + 101 * (C + 16)];
            let sealed = begun.take().unwrap().seal_into(&plain, &mut out).map(drop);
            let part = parts.part(0).unwrap().seal(&plain[..2 * C]).map(drop);
            let written = writer.write_all(&plain).and_then(|()| writer.flush());
            let written = written.map_err(|error| Error::from_io("writing", error));
            // Objects that it begins itself are its own.
            assert_eq!(decryptor().open(&encryptor().seal(b"mine").unwrap()).unwrap(), b"mine");
            let reported = [sealed, part, written].map(|result| format!("{result:?}"));
            format!("{reported:?}").replace('"', "").into_bytes()
        });
        // The process that began them continues normally.
        writer.write_all(&plain[20 * C + 7..]).unwrap();
        assert_eq!(decryptor().open(&writer.finish().unwrap()).unwrap(), plain);
        assert!(parts.part(0).unwrap().seal(&plain[..2 * C]).is_ok());
        assert!(
            begun
                .unwrap()
                .seal_into(&plain, &mut vec![0; 8192 + 56 + 101 * (C + 16)])
                .is_ok()
        );
        reported
    })
}

/// A process begins an object and ends. A descendant, which has the object in its memory, gets the same id.
fn a_process_id_is_given_out_again() -> Vec<u8> {
    if !unshare(libc::CLONE_NEWPID) {
        return NOT_RUN.to_vec();
    }
    in_a_child(|| {
        let [mut read, write] = pipe();
        // SAFETY: one thread, which takes no lock and leaves by `_exit`.
        let first = unsafe { libc::fork() };
        if first == 0 {
            begin_and_have_a_descendant_of_the_same_id(&write);
        }
        drop(write);
        // The id is free once the process was waited for. Its child is then ours, as the first process of the
        // namespace.
        assert_eq!(wait_for(first), 0);
        let mut reported = Vec::new();
        read.read_to_end(&mut reported).unwrap();
        reported
    })
}

fn begin_and_have_a_descendant_of_the_same_id(write: &File) -> ! {
    let begun = encryptor().begin().unwrap();
    let id = libc::pid_t::try_from(std::process::id()).unwrap();
    // SAFETY: as above, for both.
    unsafe {
        if libc::fork() != 0 {
            libc::_exit(0);
        }
        // Until no process has that id.
        while libc::kill(id, 0) == 0 {
            libc::usleep(1000);
        }
    }
    match fork_with_id(id) {
        0 => say_and_exit(write, || {
            assert_eq!(libc::pid_t::try_from(std::process::id()).unwrap(), id);
            let mut out = vec![0; 8192 + 56 + 100 + 16];
            format!("{:?}", begun.seal_into(&[1; 100], &mut out).map(drop)).into_bytes()
        }),
        -1 => say_and_exit(write, || NOT_RUN.to_vec()),
        child => {
            wait_for(child);
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
    }
}

/// A fork with a chosen id, as tools that restore processes may use.
fn fork_with_id(id: libc::pid_t) -> libc::pid_t {
    // SAFETY: all of its fields are numbers, and zeros request nothing.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.set_tid = &raw const id as u64;
    arguments.set_tid_size = 1;
    // SAFETY: the size is that of the arguments, which live for the call. Without CLONE_VM it is a fork.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    libc::pid_t::try_from(child).unwrap()
}

/// A time namespace whose boot-time clock is ahead, and whose monotonic clock is not: what a process sees after the
/// machine was suspended.
fn the_clock_goes_on_while_the_machine_sleeps() -> Vec<u8> {
    let service = Arc::new(Counting::new(RawKey::from_slice(&[7; 32]).unwrap()));
    let keys = IntermediateKeys::new(service.clone(), ["bucket"; 0]).unwrap();
    let keys = keys.with_max_age(Duration::from_secs(60));
    let calls = || {
        pollster::block_on(keys.generate_key(&EncryptionContext::new())).unwrap();
        service.calls()
    };
    let (first, second) = (calls(), calls());
    if !sleep_by_namespace(600) {
        return NOT_RUN.to_vec();
    }
    format!("calls: {first}, then {second}, then {}", calls()).into_bytes()
}

fn sleep_by_namespace(seconds: u64) -> bool {
    if !unshare(CLONE_NEWTIME) || fs::write("/proc/self/timens_offsets", format!("boottime {seconds} 0\n")).is_err() {
        return false;
    }
    let namespace = File::open("/proc/self/ns/time_for_children").unwrap();
    // SAFETY: the call takes an open descriptor, and this process has one thread.
    unsafe { libc::setns(namespace.as_raw_fd(), CLONE_NEWTIME) == 0 }
}
