//! The state file.
//!
//! ```text
//! {"version": 1, "account": "...", "region": "...", "time": ms since 1970, "keys": [...], "aliases": {"alias/...": ...}}
//! ```
//!
//! Secrets stand in it as they are: it is a mock. It is replaced as a whole, and only its owner can read it. `time` is
//! that of the last change: a clock that was moved forward does not fall back behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Alias, Key, State};

const VERSION: u32 = 1;

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    account: String,
    region: String,
    /// Beside it, as it is replaced itself: two mocks would each lose what the other one writes.
    _lock: File,
}

/// Why a state file cannot be used.
#[derive(Debug)]
pub(crate) enum StateFileError {
    /// It cannot be read or written.
    Io(io::Error),
    /// It is not what this program wrote.
    Damaged(String),
    /// Another mock keeps its state there.
    InUse,
    /// A later program wrote it.
    Version(u32),
    /// Its keys are those of another account or region, of which their ciphertexts speak.
    Elsewhere { account: String, region: String },
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    account: &'a str,
    region: &'a str,
    #[serde(with = "millis")]
    time: Duration,
    keys: Vec<&'a Key>,
    aliases: &'a BTreeMap<String, Alias>,
}

#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadDocument {
    #[serde(rename = "version")]
    _version: u32,
    account: String,
    region: String,
    #[serde(with = "millis")]
    time: Duration,
    keys: Vec<Key>,
    aliases: BTreeMap<String, Alias>,
}

impl StateFile {
    /// The file, and what it holds: the state, and the time of its last change. Nothing, if it is not there yet.
    ///
    /// # Errors
    /// Any [`StateFileError`].
    pub(crate) fn open(path: &Path, account: &str, region: &str) -> Result<(Self, State, Duration), StateFileError> {
        let file = Self {
            path: path.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
            _lock: lock(path)?,
        };
        let (state, time) = file.read()?;
        // A place that cannot be written is better known now; and what others could read, they cannot any more.
        file.write(&state, time).map_err(StateFileError::Io)?;
        Ok((file, state, time))
    }

    fn read(&self) -> Result<(State, Duration), StateFileError> {
        let text = match fs::read(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
            Err(error) => return Err(StateFileError::Io(error)),
        };
        if text.is_empty() {
            return Ok((State::default(), Duration::ZERO));
        }
        let AnyVersion { version } = parse(&text)?;
        if version != VERSION {
            return Err(StateFileError::Version(version));
        }
        let document: ReadDocument = parse(&text)?;
        if document.account != self.account || document.region != self.region {
            return Err(StateFileError::Elsewhere {
                account: document.account,
                region: document.region,
            });
        }
        let time = document.time;
        Ok((document.into_state()?, time))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// Of the file system. The file is the old one then.
    pub(super) fn write(&self, state: &State, time: Duration) -> io::Result<()> {
        let document = Document {
            version: VERSION,
            account: &self.account,
            region: &self.region,
            time,
            keys: state.keys.values().map(|key| &**key).collect(),
            aliases: &state.aliases,
        };
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *text, &document)?;
        text.push(b'\n');

        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // Only its owner can read a file that `tempfile` makes.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        // The file is the new one: that a loss of power may bring back the old one is no reason to take it back here.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

impl ReadDocument {
    fn into_state(self) -> Result<State, StateFileError> {
        let damaged = |reason: String| Err(StateFileError::Damaged(reason));
        let mut state = State {
            aliases: self.aliases,
            ..State::default()
        };
        for key in self.keys {
            if key.materials().is_empty() {
                return damaged(format!("key {} has no material", key.id));
            }
            let arn = format!("arn:aws:kms:{}:{}:key/{}", self.region, self.account, key.id);
            if key.arn != arn {
                return damaged(format!("the ARN of key {} is {}", key.id, key.arn));
            }
            let id = key.id;
            if state.keys.insert(id, Arc::new(key)).is_some() {
                return damaged(format!("key {id} is there twice"));
            }
        }
        for (name, alias) in &state.aliases {
            if !state.keys.contains_key(&alias.target) {
                return damaged(format!("{name} names key {}, which is not there", alias.target));
            }
        }
        Ok(state)
    }
}

fn lock(path: &Path) -> Result<File, StateFileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(name);
    let file = file.map_err(StateFileError::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateFileError::InUse),
        Err(TryLockError::Error(error)) => Err(StateFileError::Io(error)),
    }
}

/// The reason names a place, and never a value, which may be a secret.
fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, StateFileError> {
    serde_json::from_slice(text).map_err(|error| {
        let what = if error.is_data() {
            "a member is missing, or not as it must be"
        } else {
            "it is not JSON"
        };
        StateFileError::Damaged(format!("{what}, at line {} column {}", error.line(), error.column()))
    })
}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::InUse => f.write_str("another mock uses it"),
            Self::Version(version) => write!(f, "it is of version {version}, and this program knows {VERSION}"),
            Self::Elsewhere { account, region } => {
                write!(f, "its keys are those of account {account} in {region}: choose these")
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

/// What has a text form, in that.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| de::Error::custom("not the text form that it must be"))
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

/// A map of shared values.
pub(super) mod arcs {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        map: &BTreeMap<String, Arc<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(key, value)| (key, &**value)))
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Arc<T>>, D::Error> {
        let map = BTreeMap::<String, T>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(key, value)| (key, Arc::new(value))).collect())
    }
}
