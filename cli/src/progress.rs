//! Progress. A separate thread reads a counter, and what is being waited for, ten times a second.
//!
//! ```text
//! terminal        one line, drawn again and again as wide as it fits, and taken away at the end
//! anything else   plain lines, few of them, if asked for
//! ```

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::When;
use crate::{signals, sys, text};

const TICK: Duration = Duration::from_millis(100);
/// The time between two lines in a log.
const LINE: Duration = Duration::from_secs(10);
/// Columns from which there is room for the name beside what is waited for.
const WIDE: u16 = 70;

/// What the work waits for, if it is not its data.
static WAITING: Mutex<Option<&'static str>> = Mutex::new(None);

/// The time of waiting for something, which ends when this is dropped.
#[derive(Debug)]
#[must_use = "dropped, nothing is waited for any more"]
pub(crate) struct Waiting(());

/// Has the progress say that the work waits: `what` is as in "waiting for AWS KMS".
pub(crate) fn waiting(what: &'static str) -> Waiting {
    *waited_for() = Some(what);
    Waiting(())
}

impl Drop for Waiting {
    fn drop(&mut self) {
        *waited_for() = None;
    }
}

fn waited_for() -> MutexGuard<'static, Option<&'static str>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Progress that is shown until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, the bar is gone"]
pub(crate) struct Bar {
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Bar {
    /// Shows the progress of `name`, if `when` says so. `total` is the number that `done` will reach, if that is known.
    pub(crate) fn show(when: When, name: &str, total: Option<u64>, done: impl Fn() -> u64 + Send + 'static) -> Self {
        // A terminal that cannot take a line back is written to as a log is.
        let is_dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let draws = io::stderr().is_terminal() && !is_dumb();
        if when == When::Never || when == When::Auto && !draws {
            return Self {
                stop: None,
                ticker: None,
            };
        }
        let name = text::one_line(name).into_owned();
        let (stop, stopped) = mpsc::channel();
        let ticker = std::thread::spawn(move || {
            if draws {
                // What is done at once shows no bar, unless it was asked for.
                if when == When::Always || !is_over(&stopped) {
                    draw(&stopped, &name, total, &done);
                }
            } else {
                write_lines(&stopped, &name, total, &done);
            }
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

/// Waits for a tick, or for the end of the work.
fn is_over(stopped: &Receiver<()>) -> bool {
    stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout)
}

fn draw(stopped: &Receiver<()>, name: &str, total: Option<u64>, done: &impl Fn() -> u64) {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    let _registered = signals::clear_on_exit(bar.clone());
    let mut shown = "";
    let mut was_waiting = false;
    loop {
        // In the background, the terminal is the shell's.
        if sys::is_in_foreground() {
            let waiting = *waited_for();
            let width = sys::terminal_width().unwrap_or(80);
            let template = template(width, total.is_some(), waiting.is_some());
            if shown != template {
                bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
                shown = template;
            }
            if was_waiting && waiting.is_none() {
                // The time says nothing about the data.
                bar.reset_eta();
            }
            was_waiting = waiting.is_some();
            bar.set_message(match waiting {
                Some(what) if width >= WIDE => format!("{name}: {what}"),
                Some(what) => what.to_owned(),
                None => name.to_owned(),
            });
            bar.set_position(done());
            bar.tick();
        }
        if is_over(stopped) {
            break;
        }
    }
    bar.finish_and_clear();
}

/// What there is room for in `width` columns. The name takes the room that is left, and is cut to it.
const fn template(width: u16, has_end: bool, waits: bool) -> &'static str {
    match (waits, has_end, width) {
        (true, ..) => "{wide_msg} {elapsed:>4}",
        (_, true, 100..) => {
            "{wide_msg} [{bar:30}] {percent:>3}% {bytes}/{total_bytes} {bytes_per_sec:>12} {eta:>4} left"
        }
        (_, true, WIDE..) => "{wide_msg} [{bar:20}] {percent:>3}% {bytes:>10} {bytes_per_sec:>12} {eta:>4}",
        (_, true, 30..) => "{wide_msg} {percent:>3}% {bytes_per_sec:>12} {eta:>4}",
        (_, true, _) => "{percent:>3}%",
        (_, false, 36..) => "{wide_msg} {bytes:>10} {bytes_per_sec:>12} {elapsed:>4}",
        (_, false, _) => "{bytes}",
    }
}

/// A log has a line for each thing that is waited for, one now and then, and one for the end.
fn write_lines(stopped: &Receiver<()>, name: &str, total: Option<u64>, done: &impl Fn() -> u64) {
    let start = Instant::now();
    let mut next = start + LINE;
    let mut said = None;
    loop {
        let waiting = *waited_for();
        if waiting != said
            && let Some(what) = waiting
        {
            write_line(name, what);
        }
        said = waiting;
        if Instant::now() >= next {
            write_line(name, &state(done(), total, start.elapsed()));
            next += LINE;
        }
        if is_over(stopped) {
            break;
        }
    }
    write_line(name, &state(done(), total, start.elapsed()));
}

fn write_line(name: &str, text: &str) {
    // With standard error gone, no one is left to read it.
    let _ = writeln!(io::stderr(), "sealstone: {name}: {text}");
}

/// How far it is, in words.
fn state(done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let (bytes, rate) = (text::size(done), text::rate(done, elapsed.as_secs_f64()));
    match total {
        Some(total) => {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            format!("{percent}%, {bytes} of {}, {rate}/s", text::size(total))
        }
        None => format!("{bytes}, {rate}/s"),
    }
}
