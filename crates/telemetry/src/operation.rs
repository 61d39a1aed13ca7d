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

use crate::error::formatted;
use crate::manager::TelemetryManager;

/// On the span of an operation that did not come to its own end: `panicked` or `cancelled`.
pub(crate) const OUTCOME: &str = "operation.outcome";

/// How much of a message a span holds, in bytes: thousands of spans wait in the queue while nobody takes them.
const LONGEST_MESSAGE: usize = 8 << 10;

impl TelemetryManager {
    /// Runs `future` in a span called `name`, a child of whatever span is current. The span has `service.name`,
    /// `service.version`, `environment`, and `correlation.id` where there is one. The result is passed through.
    ///
    /// An error becomes an `exception` event and the status Error with its message, of which 8 KiB are kept. So does a
    /// panic, which then goes on its way. A future that is dropped before its end, by a timeout for example, ends the span
    /// with the status Error and `operation.outcome = cancelled`.
    ///
    /// # Errors
    /// Those of `future`.
    pub fn trace_operation<T, E, F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: Display,
    {
        let begin = self.is_enabled().then(|| {
            let name = name.into();
            move || (self.start(name, SpanKind::Internal, &[]), |_: &Context, _: Outcome| ())
        });
        Operation::new(future, begin)
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
    /// Polls `future` inside a span, which begins with the first poll and ends when the future is done, panics, or is dropped.
    ///
    /// A type of its own and not an `async fn`, which would hold the future twice: with operations inside of operations, each
    /// of them would double the size of the whole.
    pub(crate) struct Operation<F, B, H>
    where
        H: FnOnce(&Context, Outcome),
    {
        // Until it is done.
        #[pin]
        future: Option<F>,
        // Until the first poll.
        begin: Option<B>,
        // From then on until the end: the span, and what is called just before it ends.
        running: Option<(Context, H)>,
    }

    impl<F, B, H> PinnedDrop for Operation<F, B, H>
    where
        H: FnOnce(&Context, Outcome),
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some((context, on_end)) = this.running.take() {
                // What the future says and ends while it is dropped belongs to the operation as well.
                let current = context.clone().attach();
                this.future.set(None);
                drop(current);
                cancelled(&context.span());
                on_end(&context, Outcome::Cancelled);
                context.span().end();
            }
        }
    }
}

impl<F, B, H> Operation<F, B, H>
where
    B: FnOnce() -> (Context, H),
    H: FnOnce(&Context, Outcome),
{
    /// `begin` gives a context with the span in it, and what is called just before that ends. `None`: there is no span.
    pub(crate) fn new(future: F, begin: Option<B>) -> Self {
        Self { future: Some(future), begin, running: None }
    }
}

impl<F, T, E, B, H> Future for Operation<F, B, H>
where
    F: Future<Output = Result<T, E>>,
    E: Display,
    B: FnOnce() -> (Context, H),
    H: FnOnce(&Context, Outcome),
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(begin) = this.begin.take() {
            *this.running = Some(begin());
        }
        let Some((context, _)) = this.running.as_ref() else {
            return poll_or_wait(this.future, task);
        };
        let current = context.clone().attach();
        // Nothing of the future is looked at after a panic; it goes on to whoever polled.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = poll_or_wait(this.future.as_mut(), task);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        }));
        drop(current);
        let outcome = match &polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(_))) => Outcome::Ok,
            Ok(Poll::Ready(Err(error))) => {
                failed(&context.span(), type_name::<E>(), error);
                Outcome::Error
            }
            Err(payload) => {
                panicked(&context.span(), message_of(payload.as_ref()));
                Outcome::Panicked
            }
        };
        if let Some((context, on_end)) = this.running.take() {
            on_end(&context, outcome);
            context.span().end();
        }
        polled.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// Polls a future that is there. Who polls one that is done breaks the contract, and waits in vain.
fn poll_or_wait<F: Future>(future: Pin<&mut Option<F>>, task: &mut task::Context<'_>) -> Poll<F::Output> {
    future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(task))
}

fn failed(span: &SpanRef<'_>, kind: &'static str, error: &dyn Display) {
    if span.is_recording() {
        exception(span, kind, formatted(format_args!("{error}")));
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
fn exception(span: &SpanRef<'_>, kind: &'static str, mut message: String) {
    message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
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
