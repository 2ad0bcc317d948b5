//! The collector of traces.

/// Where spans go, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Base URL of the collector, `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// `service.name` of this process.
    pub service: String,
    /// `service.version` of this process.
    pub version: &'static str,
}

/// Spans cannot be exported: the endpoint, or a variable `OTEL_*`, cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExportError(String);

impl ExportError {
    #[allow(clippy::needless_pass_by_value, reason = "as `map_err` passes it")]
    pub(crate) fn of(cause: impl ToString) -> Self {
        Self(cause.to_string())
    }
}
