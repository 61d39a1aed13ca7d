//! In: the current span, correlation id and baggage, or the headers of a request. Out: the other one. Pure.
//!
//! Headers: `traceparent` and `tracestate` (W3C Trace Context), `baggage` (W3C Baggage, the id as `correlation.id`), and
//! `x-correlation-id`.

use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt, BaggageMetadata, KeyValueMetadata};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::FutureExt;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use crate::correlation::CorrelationId;
use crate::traces::CORRELATION_ATTRIBUTE;

/// The header that carries the correlation id.
pub const CORRELATION_HEADER: &str = "x-correlation-id";

/// Puts the current trace context, correlation id and baggage into the headers of an outgoing request. Headers of these
/// names that are there already are replaced.
pub fn inject_headers(headers: &mut HeaderMap) {
    let mut context = Context::current();
    if let Some(id) = CorrelationId::current() {
        // An id holds nothing that a header could not: `parse` sees to it.
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            headers.insert(CORRELATION_HEADER, value);
        }
        let own = KeyValueMetadata::new(CORRELATION_ATTRIBUTE, id.shared(), BaggageMetadata::default());
        let others = context.baggage().iter().map(|(key, (value, metadata))| {
            KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
        });
        // The last one of a name counts.
        let all: Vec<_> = others.chain([own]).collect();
        context = context.with_baggage(all);
    }
    let mut injector = HeaderInjector(headers);
    TraceContextPropagator::new().inject_context(&context, &mut injector);
    BaggagePropagator::new().inject_context(&context, &mut injector);
}

/// What the headers of an incoming request say.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The remote span and baggage: the parent of what is done for this request.
    pub context: Context,
    /// The correlation id, from its header or else from the baggage. `None` when there is none or it is not usable.
    pub correlation_id: Option<CorrelationId>,
}

/// Reads trace context, correlation id and baggage from the headers of an incoming request. Headers that cannot be read
/// count as absent.
pub fn extract_headers(headers: &HeaderMap) -> Incoming {
    let extractor = HeaderExtractor(headers);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &extractor);
    let context = BaggagePropagator::new().extract_with_context(&context, &extractor);
    let header = headers.get(CORRELATION_HEADER).and_then(|value| value.to_str().ok());
    let correlation_id = header.and_then(CorrelationId::parse).or_else(|| {
        context.baggage().get(CORRELATION_ATTRIBUTE).and_then(|id| CorrelationId::parse(id.as_str()))
    });
    Incoming { context, correlation_id }
}

impl Incoming {
    /// Runs `future` as a part of what the caller does: operations in it are children of the caller's span, and carry its
    /// correlation id; a caller without one gets a new one.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        let id = self.correlation_id.unwrap_or_else(CorrelationId::random);
        id.scope(future.with_context(self.context))
    }
}
