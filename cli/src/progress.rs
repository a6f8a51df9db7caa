//! The progress bar. It only looks: at a counter, ten times a second, from a thread of its own.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::args::When;
use crate::signals::{self, Registered};

const TICK: Duration = Duration::from_millis(100);
const WITH_END: &str = "{msg} [{bar:30}] {percent:>3}% {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
const WITHOUT_END: &str = "{msg} {spinner} {bytes} {bytes_per_sec} {elapsed}";

/// A bar that is shown until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, the bar is gone"]
pub(crate) struct Bar {
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Bar {
    /// Shows a bar for `name`, if `when` says so. `total` is the number that `done` will reach, if that is known.
    pub(crate) fn show(when: When, name: &str, total: Option<u64>, done: impl Fn() -> u64 + Send + 'static) -> Self {
        let target = match (when, io::stderr().is_terminal()) {
            (When::Never, _) | (When::Auto, false) => {
                return Self {
                    stop: None,
                    ticker: None,
                };
            }
            (_, true) => ProgressDrawTarget::stderr_with_hz(10),
            (When::Always, false) => ProgressDrawTarget::term_like_with_hz(Box::new(Lines), 1),
        };
        let message = crate::text::one_line(name).into_owned();
        let (stop, stopped) = mpsc::channel();
        let ticker = std::thread::spawn(move || {
            // What is done at once shows no bar, unless it was asked for.
            if when == When::Auto && stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let (bar, _registered) = new_bar(target, message, total);
            loop {
                bar.set_position(done());
                if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Self {
            stop: Some(stop),
            ticker: Some(ticker),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            // A ticker that panicked has shown nothing more: no reason to fail.
            let _ = ticker.join();
        }
    }
}

fn new_bar(target: ProgressDrawTarget, message: String, total: Option<u64>) -> (ProgressBar, Registered) {
    let bar = ProgressBar::with_draw_target(total, target);
    let template = if total.is_some() { WITH_END } else { WITHOUT_END };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(message);
    let registered = signals::clear_on_exit(bar.clone());
    (bar, registered)
}

/// Standard error where it is no terminal: each state of the bar is a line, and nothing is ever cleared.
#[derive(Debug)]
struct Lines;

impl TermLike for Lines {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        match text.trim_end() {
            "" => Ok(()),
            text => writeln!(io::stderr(), "{text}"),
        }
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
