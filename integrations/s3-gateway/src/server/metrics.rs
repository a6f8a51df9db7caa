//! What is counted, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The upper bounds of the histogram, in milliseconds.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 30_000, 300_000];

/// All counters of a server.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    connections: AtomicU64,
    in_progress: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    incomplete: AtomicU64,
    lost_lines: AtomicU64,
    /// By operation and status: as many as s3s has operations, times the statuses.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    /// How many took at most each bound, not cumulative; the last takes the rest.
    durations: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// A connection that is counted while this exists.
#[derive(Debug)]
pub(super) struct Counted(Arc<Metrics>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

impl Metrics {
    pub(super) fn connection(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Relaxed);
        Counted(self.clone())
    }

    pub(super) fn request_began(&self) {
        self.in_progress.fetch_add(1, Relaxed);
    }

    /// Without a status, the client was gone before the response.
    pub(super) fn request_ended(&self, operation: &str, status: Option<u16>, complete: bool, took: Duration) {
        self.in_progress.fetch_sub(1, Relaxed);
        self.incomplete.fetch_add(u64::from(!complete), Relaxed);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|&bound| milliseconds < bound);
        self.durations[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Relaxed);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests
            .entry((operation.to_owned(), status.unwrap_or_default()))
            .or_default() += 1;
    }

    pub(super) fn bytes(&self, received: u64, sent: u64) {
        self.received.fetch_add(received, Relaxed);
        self.sent.fetch_add(sent, Relaxed);
    }

    pub(super) fn log_line(&self, written: bool) {
        self.lost_lines.fetch_add(u64::from(!written), Relaxed);
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            ("connections", "gauge", "Open connections.", &self.connections),
            (
                "requests_in_progress",
                "gauge",
                "Requests being served or waiting.",
                &self.in_progress,
            ),
            (
                "received_bytes_total",
                "counter",
                "Bytes of request bodies.",
                &self.received,
            ),
            ("sent_bytes_total", "counter", "Bytes of response bodies.", &self.sent),
            (
                "incomplete_responses_total",
                "counter",
                "Responses that were aborted, or whose client was gone.",
                &self.incomplete,
            ),
            (
                "access_log_lost_lines_total",
                "counter",
                "Lines that the access log was too slow for.",
                &self.lost_lines,
            ),
        ] {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "sealstone_gateway_{name} {}", value.load(Relaxed));
        }
        head(
            &mut text,
            "requests_total",
            "counter",
            "Requests, by operation and HTTP status.",
        );
        for ((operation, status), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(
                text,
                "sealstone_gateway_requests_total{{operation=\"{operation}\",status=\"{status}\"}} {count}"
            );
        }
        self.histogram(&mut text);
        text
    }

    fn histogram(&self, text: &mut String) {
        let name = "request_seconds";
        head(
            text,
            name,
            "histogram",
            "From a request's head to the last byte of its response.",
        );
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|&bound| seconds(bound * 1000));
        for (bound, at_most) in bounds.chain(["+Inf".to_owned()]).zip(&self.durations) {
            count += at_most.load(Relaxed);
            let _ = writeln!(text, "sealstone_gateway_{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let sum = seconds(self.microseconds.load(Relaxed));
        let _ = writeln!(
            text,
            "sealstone_gateway_{name}_sum {sum}\nsealstone_gateway_{name}_count {count}"
        );
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP sealstone_gateway_{name} {help}\n# TYPE sealstone_gateway_{name} {kind}"
    );
}

fn seconds(microseconds: u64) -> String {
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative() {
        let metrics = Metrics::default();
        for milliseconds in [0, 1, 1, 40, 1_000_000] {
            metrics.request_began();
            metrics.request_ended("GetObject", Some(200), true, Duration::from_millis(milliseconds));
        }
        let text = metrics.text();
        for line in [
            "sealstone_gateway_request_seconds_bucket{le=\"0.001000\"} 1",
            "sealstone_gateway_request_seconds_bucket{le=\"0.002000\"} 3",
            "sealstone_gateway_request_seconds_bucket{le=\"0.050000\"} 4",
            "sealstone_gateway_request_seconds_bucket{le=\"300.000000\"} 4",
            "sealstone_gateway_request_seconds_bucket{le=\"+Inf\"} 5",
            "sealstone_gateway_request_seconds_sum 1000.042000",
            "sealstone_gateway_request_seconds_count 5",
            "sealstone_gateway_requests_total{operation=\"GetObject\",status=\"200\"} 5",
            "sealstone_gateway_requests_in_progress 0",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
    }
}
