//! Passphrases from the terminal, without echo. Standard input and output are left alone: they may carry data.

use std::io::{self, BufRead, ErrorKind, Write};

use zeroize::Zeroizing;

use crate::exit::{Code, Failure};
use crate::{signals, sys};

/// Asks for the passphrase to seal with, twice: a typing error would lock the data forever.
pub(crate) fn new_passphrase() -> Result<Zeroizing<String>, Failure> {
    let passphrase = ask("New passphrase: ")?;
    if passphrase.is_empty() {
        return Err(Failure::usage(
            "an empty passphrase protects nothing: nothing was encrypted",
        ));
    }
    if *ask("The same again: ")? != *passphrase {
        return Err(Failure::usage("the passphrases differ: nothing was encrypted"));
    }
    Ok(passphrase)
}

/// Asks for the passphrase that `object` was sealed with.
pub(crate) fn passphrase_of(object: &str) -> Result<Zeroizing<String>, Failure> {
    let passphrase = ask(&format!("Passphrase of {}: ", crate::text::one_line(object)))?;
    if passphrase.is_empty() {
        return Err(Failure::new(Code::NoAccess, "no passphrase was given"));
    }
    Ok(passphrase)
}

/// Asks for a line that is no secret.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    let asked = || {
        let mut terminal = sys::terminal()?;
        terminal.write_all(question.as_bytes())?;
        let mut line = String::new();
        io::BufReader::new(terminal).read_line(&mut line)?;
        Ok(line)
    };
    let line = asked().map_err(|error: io::Error| {
        let message = format!("there is no terminal to ask on ({error}); --yes does not ask");
        Failure::usage(message)
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    let _restored = signals::restore_on_exit();
    rpassword::prompt_password(question)
        .map(Zeroizing::new)
        .map_err(|error| match error.kind() {
            // The terminal sends no signal while it is asked, so its interrupt key is read like any other.
            ErrorKind::Interrupted => Failure::new(Code::Interrupted, "interrupted"),
            ErrorKind::UnexpectedEof => Failure::new(Code::NoAccess, "no passphrase was given"),
            _ => no_terminal(&error),
        })
}

fn no_terminal(error: &io::Error) -> Failure {
    let message = format!(
        "there is no terminal to ask for the passphrase on ({error}); use --key passphrase:file:PATH, --key \
         passphrase:fd:N or --passphrase-command"
    );
    Failure::new(Code::NoAccess, message)
}
