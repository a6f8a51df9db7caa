//! A terminal, and a person in front of it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::common::{PROGRAM, Place};

/// A terminal, and a person in front of it.
pub struct Terminal {
    pub keyboard: File,
    pub line: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn new() -> Self {
        // Other tests start programs meanwhile, which must not inherit it.
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let line = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, shown) = (keyboard.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { keyboard, line, screen }
    }

    pub fn line(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    /// A command whose terminal this is. `setsid` makes it so, and becomes the program.
    pub fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.any_command("setsid");
        command.args(["--ctty", PROGRAM]).args(args).stdin(self.line());
        command
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub fn wait_for(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.screen().contains(text) {
            assert!(Instant::now() < end, "{text:?} is not on the screen: {}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn echoes(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Answers a question as soon as the program reads without echo.
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.answer_number(1, question, answer);
    }

    /// The same of one that is asked for the given time.
    pub fn answer_number(&mut self, number: usize, question: &str, answer: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.screen().matches(question).count() < number {
            assert!(Instant::now() < end, "{question:?} is not asked: {}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
        let end = Instant::now() + Duration::from_secs(60);
        while self.echoes() {
            assert!(Instant::now() < end, "the answer would be shown");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
}

pub fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}
