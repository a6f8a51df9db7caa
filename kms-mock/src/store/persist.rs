//! The state file: a log of changes, one line each.
//!
//! ```text
//! {"version":2,"account":"000000000000"}
//! checksum[16 hex] {"time":1769817600000,"changes":[{"key":{...}},{"alias":{...}}]}
//! checksum[16 hex] {"time":1769817600000,"changes":[{"keyGone":{...}}]}
//! ```
//!
//! Secrets stand in it as they are: it is a mock. Only its owner can read it. `time` is that of the change: a clock that
//! was moved forward does not fall back.
//!
//! A checksum is over the one before it and its own line: a line that is missing or moved is damage too.
//!
//! A change is in the file, and on the disk, before it is answered. What a kill or a loss of power left of a line at the
//! end was never answered, and is dropped; a line that is wrong anywhere else is damage. When half of the log is obsolete,
//! and whenever it is opened, it is rewritten beside itself, under one name (`.new`) that the next start removes if a kill
//! left it, and renamed into place.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::State;
use super::change::Change;

mod first;

const VERSION: u32 = 2;
/// Hex digits of a SHA-256.
const CHECKSUM_LEN: usize = 16;
/// Before the first line.
const NO_CHECKSUM: Checksum = [0; CHECKSUM_LEN];
/// A shorter log is not worth rewriting.
const COMPACT_FROM: u64 = 1 << 20;
/// Written at a time.
const BUFFER: usize = 1 << 16;

type Checksum = [u8; CHECKSUM_LEN];

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    account: String,
    log: Log,
    /// Beside it, as it is replaced itself: two mocks would each lose what the other one writes.
    _lock: File,
}

/// The file at the path, unless another program replaced it.
#[derive(Debug)]
struct Log {
    file: File,
    /// Of what is known to be whole.
    len: u64,
    /// Of its last line.
    checksum: Checksum,
    compact_at: u64,
    /// A write failed: what is on the disk is not known.
    is_broken: bool,
}

/// Why a state file cannot be used.
#[derive(Debug)]
pub(crate) enum StateFileError {
    /// It cannot be read or written.
    Io(io::Error),
    /// There is nothing in it, and that is not what this program wrote.
    Empty,
    /// It is not what this program wrote.
    Damaged(String),
    /// Another mock keeps its state there.
    InUse,
    /// A later program wrote it.
    Version(u32),
    /// Its keys are those of another account, of which their ciphertexts speak.
    Elsewhere { account: String },
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
    /// The file, and what it holds: the state, and the time of its last change. Nothing, if it is not there yet.
    ///
    /// # Errors
    /// Any [`StateFileError`].
    pub(crate) fn open(path: PathBuf, account: &str) -> Result<(Self, State, Duration), StateFileError> {
        // One file has one lock, by whatever name it is reached.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let lock = lock(&path)?;
        let (state, time) = read(&path, account)?;
        // A place that cannot be written is better known now; and what others could read, they cannot any more.
        let log = rewrite(&path, account, &state, &[], time)?;
        let file = Self {
            path,
            account: account.to_owned(),
            log,
            _lock: lock,
        };
        Ok((file, state, time))
    }

    /// Adds a change of `state`, and waits until it is on the disk.
    ///
    /// # Errors
    /// Of the file system. The change is not in the file then.
    pub(super) fn append(&mut self, state: &State, changes: &[Change], time: Duration) -> io::Result<()> {
        if !self.log.is_broken && self.log.is_at(&self.path) {
            return self.log.append(changes, time);
        }
        self.log = rewrite(&self.path, &self.account, state, changes, time)?;
        Ok(())
    }

    /// Drops from the file what later changes made obsolete, once that is half of it.
    pub(super) fn compact_if_long(&mut self, state: &State, time: Duration) {
        if self.log.len < self.log.compact_at {
            return;
        }
        match rewrite(&self.path, &self.account, state, &[], time) {
            Ok(log) => self.log = log,
            // The long one is as good as before: a full disk is not asked at every change.
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
                // It was not answered: a restart should not find it either.
                let _ = self.file.set_len(self.len);
                Err(error)
            }
        }
    }
}

/// A log that says `state`, and then `changes` of it, in the place of the file.
fn rewrite(path: &Path, account: &str, state: &State, changes: &[Change], time: Duration) -> io::Result<Log> {
    let new = beside(path, ".new");
    // Left by a mock that was killed: whoever holds the lock owns the name.
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
    // The file is the new one: that a loss of power may bring back the old one is no reason to take it back here.
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
    // If there is no change, then for the time.
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

/// Its checksum, of which the next one needs to know.
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
        // A line without its end, or with blocks that never reached the disk, was not answered.
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

/// A place, and never a value, which may be a secret.
fn place_of(error: &serde_json::Error) -> String {
    let what = if error.is_data() {
        "a member is missing, or not as it must be"
    } else {
        "it is not JSON"
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

impl From<io::Error> for StateFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Empty => {
                f.write_str("it is empty, which no state file is: restore it, or remove it to begin without keys")
            }
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::InUse => f.write_str("another mock uses it"),
            Self::Version(version) => write!(f, "it is of version {version}, and this program knows {VERSION}"),
            Self::Elsewhere { account } => {
                write!(f, "its keys are those of account {account}: choose it with --account")
            }
        }
    }
}

/// A time or span in whole milliseconds.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// 32 bytes in base64.
pub(super) mod secret {
    use base64ct::{Base64, Encoding as _};
    use serde::{Deserialize, Deserializer, Serializer, de};
    use zeroize::Zeroizing;

    pub(crate) fn serialize<S: Serializer>(secret: &Zeroizing<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(Base64::encode_string(&**secret)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<[u8; 32]>, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        parse(&text).ok_or_else(|| de::Error::custom("a key material must be 32 bytes in base64"))
    }

    pub(crate) fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
        let mut secret = Zeroizing::new([0; 32]);
        let len = Base64::decode(text, &mut *secret).ok()?.len();
        (len == secret.len()).then_some(secret)
    }
}
