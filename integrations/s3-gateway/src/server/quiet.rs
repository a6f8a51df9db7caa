//! Keeps s3s out of the log: at debug level it prints forms with their customer keys, and signatures that are valid.
//!
//! What a log needs of a request, the access log has.

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher};

/// The current subscriber, without what s3s says.
pub(super) fn without_s3s() -> Dispatch {
    Dispatch::new(Quiet {
        to: dispatcher::get_default(Dispatch::clone),
        level: LevelFilter::current(),
    })
}

struct Quiet {
    to: Dispatch,
    level: LevelFilter,
}

fn is_of_s3s(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "s3s" || target.starts_with("s3s::")
}

impl Subscriber for Quiet {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_of_s3s(metadata) {
            Interest::never()
        } else {
            Interest::sometimes()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !is_of_s3s(metadata) && self.to.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.to.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.to.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.to.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        self.to.event(event);
    }

    fn enter(&self, span: &Id) {
        self.to.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.to.exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.to.clone_span(span)
    }

    fn try_close(&self, span: Id) -> bool {
        self.to.try_close(span)
    }
}
