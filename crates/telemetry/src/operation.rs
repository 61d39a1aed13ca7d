//! In: a future that may fail. Out: the same result, and a span that tells how it ended. No network.
//!
//! The span is made by the OpenTelemetry API itself, which costs a fraction of a `tracing` span. Both see each other: the
//! span is the current one of the OpenTelemetry context, where the `tracing` layer looks for parents and the log layer for
//! ids.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{self, Poll};

use opentelemetry::trace::{SpanBuilder, SpanKind, SpanRef, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute::{ERROR_TYPE, EXCEPTION_MESSAGE, EXCEPTION_TYPE};

use crate::manager::TelemetryManager;

/// On the span of an operation that did not come to its own end: `panicked` or `cancelled`.
pub(crate) const OUTCOME: &str = "operation.outcome";

impl TelemetryManager {
    /// Runs `future` in a span called `name`, a child of whatever span is current. The span has `service.name`,
    /// `service.version`, `environment`, and `correlation.id` where there is one. The result is passed through.
    ///
    /// An error becomes an `exception` event and the status Error with its message. So does a panic, which then goes on its
    /// way. A future that is dropped before its end, by a timeout for example, ends the span with the status Error and
    /// `operation.outcome = cancelled`.
    ///
    /// # Errors
    /// Those of `future`.
    pub async fn trace_operation<T, E, F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Display,
    {
        if !self.is_enabled() {
            return future.await;
        }
        let context = self.start(name.into(), SpanKind::Internal, &[]);
        Operation::new(future, context, |_: &Context, _| ()).await
    }

    /// The current context with a new span in it.
    pub(crate) fn start(&self, name: Cow<'static, str>, kind: SpanKind, attributes: &[KeyValue]) -> Context {
        let own = self.span_attributes();
        let mut all = Vec::with_capacity(own.len() + attributes.len());
        all.extend_from_slice(own);
        all.extend_from_slice(attributes);
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(all);
        Context::map_current(|parent| parent.with_span(self.tracer().build_with_context(builder, parent)))
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Error,
    Panicked,
    Cancelled,
}

impl Outcome {
    /// The word in metrics and spans.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
        }
    }
}

pin_project_lite::pin_project! {
    /// Polls `future` inside the span of `context`, and ends the span when the future is done, panics, or is dropped.
    pub(crate) struct Operation<F, H>
    where
        H: FnMut(&Context, Outcome),
    {
        #[pin]
        future: F,
        context: Context,
        ended: bool,
        on_end: H,
    }

    impl<F, H> PinnedDrop for Operation<F, H>
    where
        H: FnMut(&Context, Outcome),
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !*this.ended {
                cancelled(&this.context.span());
                (this.on_end)(this.context, Outcome::Cancelled);
                this.context.span().end();
            }
        }
    }
}

impl<F, H> Operation<F, H>
where
    H: FnMut(&Context, Outcome),
{
    /// `context` holds the span; `on_end` is called once, just before the span ends.
    pub(crate) fn new(future: F, context: Context, on_end: H) -> Self {
        Self { future, context, ended: false, on_end }
    }
}

impl<F, T, E, H> Future for Operation<F, H>
where
    F: Future<Output = Result<T, E>>,
    E: Display,
    H: FnMut(&Context, Outcome),
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = {
            let _current = this.context.clone().attach();
            // Nothing of the future is looked at after a panic; it goes on to whoever polled.
            catch_unwind(AssertUnwindSafe(|| this.future.poll(task)))
        };
        let outcome = match &polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(_))) => Outcome::Ok,
            Ok(Poll::Ready(Err(error))) => {
                failed(&this.context.span(), type_name::<E>(), error);
                Outcome::Error
            }
            Err(payload) => {
                panicked(&this.context.span(), message_of(payload.as_ref()));
                Outcome::Panicked
            }
        };
        *this.ended = true;
        (this.on_end)(this.context, outcome);
        this.context.span().end();
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

fn failed(span: &SpanRef<'_>, kind: &'static str, error: &dyn Display) {
    if span.is_recording() {
        exception(span, kind, error.to_string());
        span.set_attribute(KeyValue::new(ERROR_TYPE, kind));
    }
}

fn panicked(span: &SpanRef<'_>, message: String) {
    exception(span, "panic", message);
    span.set_attributes([
        KeyValue::new(ERROR_TYPE, "panic"),
        KeyValue::new(OUTCOME, Outcome::Panicked.as_str()),
    ]);
}

/// Names and status as the OpenTelemetry specification has them, "Recording Errors".
fn exception(span: &SpanRef<'_>, kind: &'static str, message: String) {
    span.add_event(
        "exception",
        vec![KeyValue::new(EXCEPTION_TYPE, kind), KeyValue::new(EXCEPTION_MESSAGE, message.clone())],
    );
    span.set_status(Status::error(message));
}

/// What was not done is not done well: an operation that somebody gave up counts as an error.
fn cancelled(span: &SpanRef<'_>) {
    span.set_attributes([
        KeyValue::new(ERROR_TYPE, "cancelled"),
        KeyValue::new(OUTCOME, Outcome::Cancelled.as_str()),
    ]);
    span.set_status(Status::error("cancelled: dropped before its end"));
}

fn message_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").to_owned()
}
