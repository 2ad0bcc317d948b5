//! In place of the exporter, in builds without the feature `otlp`.

use std::time::Duration;

use tracing::Span;
use tracing_subscriber::Layer;

use crate::{Collector, ExportError, TraceParent};

/// Cannot be made in this build.
#[derive(Debug)]
pub enum Exporter {}

/// Refuses: an operator who sets a collector expects traces.
///
/// # Errors
/// Always.
pub fn start<S>(_collector: &Collector) -> Result<(Box<dyn Layer<S> + Send + Sync>, Exporter), ExportError> {
    Err(ExportError::of("this build exports no traces (cargo feature `otlp`)"))
}

/// Has no effect.
pub fn run_on(_runtime: &tokio::runtime::Handle) {}

impl Exporter {
    /// Cannot be called.
    pub fn shutdown(&self, _patience: Duration) {
        match *self {}
    }
}

pub(crate) const fn is_exporting() -> bool {
    false
}

pub(crate) const fn of_span(_span: &Span) -> Option<TraceParent> {
    None
}

pub(crate) const fn continue_trace(_span: &Span, _parent: TraceParent) {}
