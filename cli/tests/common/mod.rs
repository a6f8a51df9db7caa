//! What the tests of the command line share: a directory of its own for each test, and the program run in it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::mod_module_files,
    clippy::unwrap_used,
    reason = "each test program uses a part of it; a test fails by panicking"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[cfg(target_os = "linux")]
pub mod terminal;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sealstone");
/// Plaintext bytes of a full chunk.
pub const C: usize = 16 * 1024;
/// Bytes of one copy of the header.
pub const COPY: usize = 4096;
/// Where the payload begins.
pub const PAYLOAD: usize = 2 * COPY;
/// Where the first chunk begins.
pub const CHUNKS: usize = PAYLOAD + 56;

/// A directory with a key ring of its own, where the program runs.
pub struct Place {
    dir: TempDir,
    /// What the program has in its environment besides.
    pub environment: Vec<(&'static str, String)>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sealstone-test").tempdir().unwrap();
        // Key ring, lock and the like stay out of the way of the tests that list the directory.
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        Self {
            dir,
            environment: Vec::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub fn ring(&self) -> PathBuf {
        self.dir.path().join("home").join("ring.json")
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// What is in the directory, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A command in the directory, which sees nothing of the user's own settings.
    pub fn any_command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path().join("home"))
            .env("TERM", "xterm")
            .env("SEALSTONE_KEYRING", self.ring())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.any_command(PROGRAM);
        command.args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run::from(self.command(args).output().unwrap())
    }

    /// Runs with these bytes on standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        run_with(self.command(args), input)
    }

    /// Runs what must succeed.
    pub fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        run
    }

    /// Runs what must fail with this code, and these words in one line of error.
    pub fn fails(&self, args: &[&str], code: i32, words: &[&str]) -> Run {
        let run = self.run(args);
        run.failed(code, words);
        run
    }

    /// A file of `len` bytes and its object, under `name` and `name.seal`.
    pub fn seal(&self, name: &str, len: usize) -> Vec<u8> {
        let plain = plaintext(len);
        self.write(name, &plain);
        self.ok(&["encrypt", "-q", name]);
        plain
    }

    /// Changes a file.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(name);
        edit(&mut bytes);
        self.write(name, bytes);
    }
}

impl Run {
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:?}");
        }
        let lines: Vec<_> = self.stderr.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("sealstone: ")), "{self:?}");
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command with these bytes on standard input. It need not read them all.
pub fn run_with(mut command: Command, input: &[u8]) -> Run {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run::from(output)
}

/// Waits for the end of a child that must not take long.
pub fn wait(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("the program does not end");
}

/// Bytes in which every part differs from every other.
pub fn plaintext(len: usize) -> Vec<u8> {
    let words = (0_u64..).flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    words.take(len).collect()
}

/// Replaces the checksum of both header copies by the right one.
pub fn fix_checksums(object: &mut [u8]) {
    use sha2::{Digest, Sha256};
    for copy in object[..PAYLOAD].chunks_mut(COPY) {
        let (content, checksum) = copy.split_at_mut(COPY - 32);
        checksum.copy_from_slice(&Sha256::digest(&*content));
    }
}

/// Says loudly that a test could not test.
pub fn skipped(test: &str, why: &str) {
    // Past the test harness, which keeps what a passing test prints to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// A small file system in memory, mounted until dropped; `None`, and a loud word, if that is not allowed.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    pub fn mount(test: &str, at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                skipped(test, "mounting a tmpfs needs root");
                None
            }
        }
    }

    pub fn make_read_only(&self) {
        let remounted = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(remounted.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
