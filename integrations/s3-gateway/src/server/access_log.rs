//! The access log: a thread that writes lines.
//!
//! Requests do not wait for it. If the disk or the reader of a pipe is too slow, lines are lost, and counted.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::time::Duration;

use super::AccessLogTarget;

/// Lines that wait to be written: some megabytes.
const QUEUE: usize = 8192;
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct AccessLog {
    target: AccessLogTarget,
    /// `None` if there is no log.
    queue: Option<SyncSender<Message>>,
}

enum Message {
    Line(String),
    /// Go on in this file.
    File(File),
    /// Say when everything before this is written.
    Flush(Sender<()>),
}

impl AccessLog {
    /// # Errors
    /// The file cannot be opened, or the system has no thread.
    pub(super) fn open(target: &AccessLogTarget) -> io::Result<Self> {
        let output: Option<Box<dyn Write + Send>> = match target {
            AccessLogTarget::Off => None,
            AccessLogTarget::Stderr => Some(Box::new(io::stderr())),
            AccessLogTarget::File(path) => Some(Box::new(append(path)?)),
        };
        let start = |output| -> io::Result<_> {
            let (queue, lines) = sync_channel(QUEUE);
            let thread = std::thread::Builder::new().name("access-log".to_owned());
            thread.spawn(move || write(&lines, output))?;
            Ok(queue)
        };
        Ok(Self {
            target: target.clone(),
            queue: output.map(start).transpose()?,
        })
    }

    /// Adds a line. Returns whether there is a place for it.
    pub(super) fn write(&self, line: String) -> bool {
        let queue = self.queue.as_ref();
        queue.is_none_or(|queue| queue.try_send(Message::Line(line)).is_ok())
    }

    /// Opens the file again, which was renamed.
    pub(super) fn reopen(&self) -> io::Result<()> {
        if let (AccessLogTarget::File(path), Some(queue)) = (&self.target, &self.queue) {
            // The thread ends with the queue.
            let _ = queue.send(Message::File(append(path)?));
        }
        Ok(())
    }

    /// Waits until all lines are written, unless that takes too long.
    pub(super) fn flush(&self) {
        let (done, wait) = channel();
        if let Some(queue) = &self.queue
            && queue.try_send(Message::Flush(done)).is_ok()
        {
            let _ = wait.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Names of objects are not for everyone to read.
fn append(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.open(path);
    opened.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot open the access log {}: {error}", path.display()),
        )
    })
}

fn write(lines: &Receiver<Message>, output: Box<dyn Write + Send>) {
    let mut output = BufWriter::new(output);
    loop {
        let message = match lines.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                let _ = output.flush();
                match lines.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            }
        };
        match message {
            // A full disk loses lines, not requests.
            Message::Line(line) => drop(writeln!(output, "{line}")),
            Message::File(file) => {
                let _ = output.flush();
                output = BufWriter::new(Box::new(file));
            }
            Message::Flush(done) => {
                let _ = output.flush();
                let _ = done.send(());
            }
        }
    }
    let _ = output.flush();
}
