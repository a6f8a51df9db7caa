//! What shells complete: options and commands, and what only the program knows: keys of the ring, objects.
//!
//! ```text
//! sealstone completions SHELL    a script, which on each TAB runs
//! SEALSTONE_COMPLETE=SHELL sealstone -- WORDS...
//! ```

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{self, EnvCompleter, Shells};

use crate::args::Args;
use crate::keys::{self, local};

/// Makes the program complete words instead of running. Not clap's default, `COMPLETE`, which other programs use too.
const VARIABLE: &str = "SEALSTONE_COMPLETE";
const SHELLS: Shells<'static> = Shells(&[&Bash, &env::Elvish, &env::Fish, &env::Powershell, &env::Zsh]);
const BASH: &str = include_str!("complete/sealstone.bash");

/// Completes, and ends the process, if a shell asks for it.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Args::command)
        .var(VARIABLE)
        .shells(SHELLS)
        .complete();
}

/// The script that has `shell` ask.
///
/// # Errors
/// If there is no such shell.
pub(crate) fn script(shell: &str) -> io::Result<Vec<u8>> {
    let completer = SHELLS.completer(shell).ok_or(io::ErrorKind::Unsupported)?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "sealstone", "sealstone", "sealstone", &mut script)?;
    Ok(script)
}

/// A key as `--key` takes it.
pub(crate) fn key() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(current) = current.to_str() else {
            return Vec::new();
        };
        let of_file = |form: &String| form.ends_with("file:") && current.starts_with(form);
        if let Some(form) = keys::candidates().find(of_file) {
            let paths = PathCompleter::file().complete(OsStr::new(&current[form.len()..]));
            return paths.into_iter().map(|path| path.add_prefix(&form)).collect();
        }
        let fitting = keys::candidates().filter(|key| key.starts_with(current));
        fitting.map(CompletionCandidate::new).collect()
    })
}

/// The name of a key of the ring.
pub(crate) fn key_names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| local::names().into_iter().map(CompletionCandidate::new).collect())
}

/// A file whose name ends as those of objects do.
pub(crate) fn objects() -> ArgValueCompleter {
    let is_object = |path: &Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("seal"));
    ArgValueCompleter::new(PathCompleter::any().filter(move |path| path.is_file() && is_object(path)))
}

/// bash breaks words at colons and equals signs, which keys and options have in them: its script puts them together.
struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        env::Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        env::Bash.is(name)
    }

    fn write_registration(&self, _: &str, _: &str, _: &str, _: &str, output: &mut dyn Write) -> Result<(), io::Error> {
        output.write_all(BASH.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut Command,
        args: Vec<std::ffi::OsString>,
        directory: Option<&Path>,
        output: &mut dyn Write,
    ) -> Result<(), io::Error> {
        env::Bash.write_complete(command, args, directory, output)
    }
}
