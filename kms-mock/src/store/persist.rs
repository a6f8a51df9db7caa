//! The state file: a log of changes, one line each.
//!
//! ```text
//! {"version":2,"account":"000000000000"}
//! checksum[16 hex] {"time":1769817600000,"changes":[{"key":{...}},{"alias":{...}}]}
//! checksum[16 hex] {"time":1769817600000,"changes":[{"keyGone":{...}}]}
//! ```
//!
//! It contains secrets in plaintext: this is a mock. Only its owner can read it. `time` is the time of the change, so
//! that a clock that was moved forward does not fall back.
//!
//! A checksum covers the previous checksum and its own line: missing and moved lines are detected too.
//!
//! A change is on the disk before it is answered. An incomplete last line, left by a kill or a loss of power, was never
//! answered and is dropped; a wrong line anywhere else is corruption. When half of the log is obsolete, and whenever it
//! is opened, it is rewritten to a file beside it (`.new`), which is then renamed into place. A `.new` left by a kill
//! is removed at the next start.

mod error;
mod fields;
mod first;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub(crate) use self::error::StateFileError;
pub(super) use self::fields::{millis, secret};
use super::State;
use super::change::Change;

const VERSION: u32 = 2;
/// Hex digits of a SHA-256, truncated.
const CHECKSUM_LEN: usize = 16;
/// Precedes the first line.
const NO_CHECKSUM: Checksum = [0; CHECKSUM_LEN];
/// Shorter logs are not rewritten.
const COMPACT_FROM: u64 = 1 << 20;
/// Bytes written at a time.
const BUFFER: usize = 1 << 16;

type Checksum = [u8; CHECKSUM_LEN];

/// The open state file.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    account: String,
    log: Log,
    /// On a file beside it, because the state file itself is replaced. Two mocks would overwrite each other's changes.
    _lock: File,
}

/// The log, which is the file at the path unless another program replaced it.
#[derive(Debug)]
struct Log {
    file: File,
    /// The length known to be complete.
    len: u64,
    /// The last line's.
    checksum: Checksum,
    compact_at: u64,
    /// A write failed: the contents on the disk are unknown.
    is_broken: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    account: String,
}

#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(with = "millis")]
    time: Duration,
    changes: &'a [Change],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRecord {
    #[serde(with = "millis")]
    time: Duration,
    changes: Vec<Change>,
}

impl StateFile {
    /// Opens or creates the file. Returns it with the state that it contains and the time of the last change.
    ///
    /// # Errors
    /// Any [`StateFileError`].
    pub(crate) fn open(path: PathBuf, account: &str) -> Result<(Self, State, Duration), StateFileError> {
        // One file has one lock, whatever path leads to it.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let lock = lock(&path)?;
        let (state, time) = read(&path, account)?;
        // Detects now that the file cannot be written, and makes it private if it was readable by others.
        let log = rewrite(&path, account, &state, &[], time)?;
        let file = Self {
            path,
            account: account.to_owned(),
            log,
            _lock: lock,
        };
        Ok((file, state, time))
    }

    /// Appends a change of `state` and waits until it is on the disk.
    ///
    /// # Errors
    /// The file system's. The change is then not in the file.
    pub(super) fn append(&mut self, state: &State, changes: &[Change], time: Duration) -> io::Result<()> {
        if !self.log.is_broken && self.log.is_at(&self.path) {
            return self.log.append(changes, time);
        }
        self.log = rewrite(&self.path, &self.account, state, changes, time)?;
        Ok(())
    }

    /// Rewrites the file once half of it is obsolete.
    pub(super) fn compact_if_long(&mut self, state: &State, time: Duration) {
        if self.log.len < self.log.compact_at {
            return;
        }
        match rewrite(&self.path, &self.account, state, &[], time) {
            Ok(log) => self.log = log,
            // The long log is still valid: do not try again at every change while the disk is full.
            Err(_) => self.log.compact_at = self.log.len.saturating_mul(2),
        }
    }
}

impl Log {
    fn is_at(&self, path: &Path) -> bool {
        let same = |ours: fs::Metadata, there: fs::Metadata| (ours.dev(), ours.ino()) == (there.dev(), there.ino());
        let both = self.file.metadata().and_then(|ours| Ok((ours, fs::metadata(path)?)));
        both.is_ok_and(|(ours, there)| same(ours, there))
    }

    fn append(&mut self, changes: &[Change], time: Duration) -> io::Result<()> {
        let mut line = Zeroizing::new(Vec::with_capacity(4096));
        let checksum = write_line(&mut line, self.checksum, changes, time)?;
        let written = self.file.write_all_at(&line, self.len);
        match written.and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.len += line.len() as u64;
                self.checksum = checksum;
                Ok(())
            }
            Err(error) => {
                self.is_broken = true;
                // It was not answered, so that a restart must not find it either.
                let _ = self.file.set_len(self.len);
                Err(error)
            }
        }
    }
}

/// Replaces the file by a log of `state` and then `changes`.
fn rewrite(path: &Path, account: &str, state: &State, changes: &[Change], time: Duration) -> io::Result<Log> {
    let new = beside(path, ".new");
    // Left by a killed mock: the holder of the lock owns the name.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let written = write_all(&new, account, state, changes, time).and_then(|log| {
        fs::rename(&new, path)?;
        Ok(log)
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // The rename is done: an error here, after which a loss of power could bring back the old file, does not undo it.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    written
}

fn write_all(new: &Path, account: &str, state: &State, changes: &[Change], time: Duration) -> io::Result<Log> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(2 * BUFFER));
    let header = Header {
        version: VERSION,
        account: account.to_owned(),
    };
    serde_json::to_writer(&mut *buffer, &header)?;
    buffer.push(b'\n');
    let (mut checksum, mut len) = (NO_CHECKSUM, 0);
    for change in state.as_changes() {
        checksum = write_line(&mut buffer, checksum, &[change], time)?;
        if buffer.len() >= BUFFER {
            file.write_all(&buffer)?;
            len += buffer.len() as u64;
            buffer.clear();
        }
    }
    // Written without changes too, for the time.
    checksum = write_line(&mut buffer, checksum, changes, time)?;
    file.write_all(&buffer)?;
    file.sync_all()?;
    len += buffer.len() as u64;
    Ok(Log {
        file,
        len,
        checksum,
        compact_at: len.saturating_mul(2).max(COMPACT_FROM),
        is_broken: false,
    })
}

/// Returns the line's checksum, for the next line.
fn write_line(to: &mut Vec<u8>, before: Checksum, changes: &[Change], time: Duration) -> io::Result<Checksum> {
    let start = to.len();
    to.extend_from_slice(&[b' '; CHECKSUM_LEN + 1]);
    serde_json::to_writer(&mut *to, &Record { time, changes })?;
    let sum = checksum(before, &to[start + CHECKSUM_LEN + 1..]);
    to[start..start + CHECKSUM_LEN].copy_from_slice(&sum);
    to.push(b'\n');
    Ok(sum)
}

fn checksum(before: Checksum, text: &[u8]) -> Checksum {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(text);
    let mut sum = [0; CHECKSUM_LEN];
    for (digits, byte) in sum.chunks_mut(2).zip(hash.finalize()) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    sum
}

fn read(path: &Path, account: &str) -> Result<(State, Duration), StateFileError> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((State::default(), Duration::ZERO)),
        Err(error) => return Err(StateFileError::Io(error)),
    };
    if text.is_empty() {
        return Err(StateFileError::Empty);
    }
    let mut values = serde_json::Deserializer::from_slice(&text).into_iter();
    let version = match values.next() {
        Some(Ok(AnyVersion { version })) => version,
        Some(Err(error)) => return Err(StateFileError::Damaged(place_of(&error))),
        None => return Err(StateFileError::Damaged("it is blank".to_owned())),
    };
    let (of, changes, time) = match version {
        1 => first::parse(&text)?,
        VERSION => parse(&text)?,
        other => return Err(StateFileError::Version(other)),
    };
    if of != account {
        return Err(StateFileError::Elsewhere { account: of });
    }
    let mut state = State::default();
    state.apply(changes);
    match state.contradiction(account) {
        None => Ok((state, time)),
        Some(reason) => Err(StateFileError::Damaged(reason)),
    }
}

/// The account, all changes in their order, and the time of the last one.
type Contents = (String, Vec<Change>, Duration);

fn parse(text: &[u8]) -> Result<Contents, StateFileError> {
    let damaged = |number: usize, what: &str| StateFileError::Damaged(format!("line {number}: {what}"));
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
    let header: Header = parse_json(lines.next().unwrap_or_default())?;
    let (mut changes, mut time) = (Vec::new(), Duration::ZERO);
    let (mut number, mut before) = (1, NO_CHECKSUM);
    while let Some(line) = lines.next() {
        number += 1;
        let is_last = lines.peek().is_none();
        // A line without its end, or with blocks that never reached the disk, was never answered.
        if is_last && (!line.ends_with(b"\n") || line.contains(&0)) {
            break;
        }
        let (sum, json) = line
            .split_at_checked(CHECKSUM_LEN + 1)
            .ok_or_else(|| damaged(number, "it is short"))?;
        let json = json.strip_suffix(b"\n").unwrap_or(json);
        before = checksum(before, json);
        if sum.strip_suffix(b" ") != Some(&before[..]) {
            return Err(damaged(number, "its checksum is wrong"));
        }
        let record: ReadRecord = serde_json::from_slice(json).map_err(|error| damaged(number, &place_of(&error)))?;
        time = time.max(record.time);
        changes.extend(record.changes);
    }
    Ok((header.account, changes, time))
}

fn lock(path: &Path) -> Result<File, StateFileError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(beside(path, ".lock"));
    let file = file.map_err(StateFileError::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateFileError::InUse),
        Err(TryLockError::Error(error)) => Err(StateFileError::Io(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, StateFileError> {
    serde_json::from_slice(text).map_err(|error| StateFileError::Damaged(place_of(&error)))
}

/// Names the place and never the value, which may be a secret.
fn place_of(error: &serde_json::Error) -> String {
    let what = if error.is_data() {
        "a member is missing, or not as it must be"
    } else {
        "it is not JSON"
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}
