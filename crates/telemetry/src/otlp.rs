//! Export of spans by OTLP over HTTP (protobuf) to a collector.
//!
//! Spans wait in a bounded queue and are sent in batches by a thread of the SDK; when the collector is slow or down they
//! are dropped, and nothing waits for it. How many traces are sampled, the size of the queue, headers and resource
//! attributes follow the standard variables `OTEL_*`, which the SDK reads itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use crate::{Collector, ExportError, TraceParent};

/// How long one batch may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a collector's answer in bytes.
const MAX_ANSWER: usize = 64 * 1024;

static IS_EXPORTING: AtomicBool = AtomicBool::new(false);
/// The runtime on which batches are sent.
static RUNTIME: OnceLock<Handle> = OnceLock::new();

/// The end of the exporter, to be [shut down](Self::shutdown).
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

/// Starts to export: returns the layer that records the spans of our crates, and the exporter.
///
/// Batches are sent once [`run_on`] was called.
///
/// # Errors
/// [`ExportError`].
pub fn start<S>(collector: &Collector) -> Result<(Box<dyn Layer<S> + Send + Sync>, Exporter), ExportError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    // What cannot be read is not shown: it may hold a password.
    let endpoint = reqwest::Url::parse(&collector.endpoint).map_err(ExportError::of)?;
    if !matches!(endpoint.scheme(), "http" | "https") || !endpoint.has_host() {
        return Err(ExportError::of("it has to begin with http:// or https://"));
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new()?)
        .with_endpoint(format!("{}/v1/traces", collector.endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(ExportError::of)?;
    let resource = Resource::builder()
        .with_service_name(collector.service.clone())
        .with_attribute(KeyValue::new("service.version", collector.version))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("lockstep"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(only_spans());
    IS_EXPORTING.store(true, Ordering::Relaxed);
    Ok((layer.boxed(), Exporter(provider)))
}

/// Lets the spans of our crates pass, and no event: the text of an error may come from another server and name a
/// person.
///
/// It is asked anew for each span. A filter whose answer is cached keeps, for the next span of its thread, the answer that
/// it gave to `tracing::enabled!` for an event that was then not sent (tracing-subscriber 0.3).
fn only_spans<S: Subscriber>() -> impl Filter<S> {
    let is_exported = |what: &Metadata<'_>| what.is_span() && what.target().starts_with("lockstep");
    dynamic_filter_fn(move |what, _| is_exported(what))
        .with_callsite_filter(move |what| {
            if is_exported(what) {
                Interest::sometimes()
            } else {
                Interest::never()
            }
        })
        .with_max_level_hint(LevelFilter::DEBUG)
}

/// Sends the batches on this runtime.
pub fn run_on(runtime: &Handle) {
    drop(RUNTIME.set(runtime.clone()));
}

impl Exporter {
    /// Sends what waits, for at most `patience`. Blocks; the runtime of [`run_on`] must still run.
    pub fn shutdown(&self, patience: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(patience) {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Sends batches. The SDK's thread belongs to no runtime, which reqwest needs.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    /// The last batch did not arrive.
    is_failing: AtomicBool,
}

impl Sender {
    fn new() -> Result<Self, ExportError> {
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(ExportError::of)?
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(ExportError::of)?;
        Ok(Self {
            http,
            is_failing: AtomicBool::new(false),
        })
    }

    /// Says once that the collector does not take spans, and once that it does again.
    fn note(&self, why: Option<&str>) {
        let was_failing = self.is_failing.swap(why.is_some(), Ordering::Relaxed);
        match (was_failing, why) {
            (false, Some(why)) => tracing::warn!(why, "traces cannot be exported, and are dropped: {why}"),
            (true, None) => tracing::info!("traces are exported again"),
            _ => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = RUNTIME.get().ok_or("there is no runtime yet")?;
        let http = self.http.clone();
        let sent = runtime.spawn(async move { send(&http, request).await }).await;
        let sent = sent.map_err(HttpError::from).and_then(|sent| sent);
        match &sent {
            Ok(answer) if answer.status().is_success() => self.note(None),
            Ok(answer) => self.note(Some(answer.status().as_str())),
            Err(error) => self.note(Some(&error.to_string())),
        }
        sent
    }
}

async fn send(http: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    // Without the address, which may hold a token.
    let lost = |error: reqwest::Error| HttpError::from(error.without_url().to_string());
    let mut response = http.execute(request.try_into()?).await.map_err(lost)?;
    let mut answer = Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(lost)? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err("an answer without an end".into());
        }
        body.extend_from_slice(&part);
    }
    Ok(answer.body(body.into())?)
}

pub(crate) fn is_exporting() -> bool {
    IS_EXPORTING.load(Ordering::Relaxed)
}

pub(crate) fn of_span(span: &Span) -> Option<TraceParent> {
    if !is_exporting() || span.is_disabled() {
        return None;
    }
    let context = span.context();
    let known = context.span().span_context().clone();
    TraceParent::new(
        u128::from_be_bytes(known.trace_id().to_bytes()),
        u64::from_be_bytes(known.span_id().to_bytes()),
        known.trace_flags().to_u8(),
    )
}

pub(crate) fn continue_trace(span: &Span, parent: TraceParent) {
    if !is_exporting() || span.is_disabled() {
        return;
    }
    let parent = SpanContext::new(
        TraceId::from(parent.trace()),
        SpanId::from(parent.span()),
        TraceFlags::new(parent.flags()),
        true,
        TraceState::NONE,
    );
    if let Err(error) = span.set_parent(Context::new().with_remote_span_context(parent)) {
        tracing::debug!(%error, "a span has begun before its parent was known");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use tracing::span::{Attributes, Id};
    use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt as _};

    use super::*;

    /// Counts the spans that pass.
    struct Counting(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Counting {
        fn on_new_span(&self, _attributes: &Attributes<'_>, _id: &Id, _ctx: LayerContext<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The access log asks whether a line would be written, and above its limit writes none.
    #[test]
    fn a_line_that_is_asked_for_and_not_written_hides_no_span() {
        let count = Arc::new(AtomicUsize::new(0));
        let subscriber = tracing_subscriber::registry()
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::sink)
                    .with_filter(LevelFilter::INFO),
            )
            .with(Counting(Arc::clone(&count)).with_filter(only_spans()));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                assert!(tracing::enabled!(target: "access", tracing::Level::INFO));
                drop(tracing::error_span!("request"));
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}
