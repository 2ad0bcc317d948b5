//! Traces that cross processes, and time: the W3C trace context of a request is stored with what the request leaves
//! behind (orders, top-ups, e-mails) and sent with calls to other servers, so that one order is one trace.
//!
//! Spans come from `tracing`. Without an exporter (feature `otlp`, [`otlp::start`]) nothing here has a cost:
//! [`current`] is `None`.

mod collector;
#[cfg_attr(not(feature = "otlp"), path = "without.rs")]
pub mod otlp;
mod trace_parent;

use tracing::Span;

pub use collector::{Collector, ExportError};
pub use trace_parent::{HEADER, NotATraceParent, TraceParent};

/// Whether traces are exported by this process.
pub fn is_exporting() -> bool {
    otlp::is_exporting()
}

/// The trace context of the current span: what to store, or to send, so that work elsewhere continues this trace.
/// `None` unless traces are exported.
pub fn current() -> Option<TraceParent> {
    if is_exporting() {
        of_span(&Span::current())
    } else {
        None
    }
}

/// The trace context of `span`. `None` unless traces are exported.
pub fn of_span(span: &Span) -> Option<TraceParent> {
    otlp::of_span(span)
}

/// Makes `span` part of the trace that `parent` names. To be called before the span is entered. Has no effect unless
/// traces are exported.
pub fn continue_trace(span: &Span, parent: TraceParent) {
    otlp::continue_trace(span, parent);
}

/// A span named `name` inside the current span, for one call of another server or of the database; disabled where there
/// is no current span, or no exporter: background polls are no traces.
///
/// It is at level DEBUG, so the log does not show it.
pub fn call_span(name: std::fmt::Arguments<'_>) -> Span {
    if !is_exporting() || Span::current().is_disabled() {
        return Span::none();
    }
    tracing::debug_span!(
        "call",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty
    )
}
