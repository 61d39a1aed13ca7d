//! In: an id made here or taken from a header. Out: the id of whatever runs inside its scope, however many
//! threads it moves over. Pure; the id lives in the task, not in a shared map.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::FutureExt as _;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tokio::task::JoinHandle;
use tokio::task::futures::TaskLocalFuture;
use tracing::{Instrument as _, Span};

/// The longest id that is taken from elsewhere, in bytes.
const LONGEST: usize = 128;

tokio::task_local! {
    static CURRENT: CorrelationId;
}

/// What ties together everything that one request of a user causes: spans, log lines, outgoing calls, over process bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// A new random one: 32 hexadecimal digits.
    pub fn random() -> Self {
        Self(RandomIdGenerator::default().new_trace_id().to_string().into())
    }

    /// One that came from elsewhere: 1 to 128 letters, digits, or any of `-_.:/+=@`. Anything else is `None`: such an id
    /// would have to be quoted in headers, log lines and queries.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
        (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(allowed)).then(|| Self(text.into()))
    }

    /// The id of the scope that this runs in.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runs `future` with this id as the current one.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs `work` with this id as the current one.
    pub fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `tokio::spawn` for work that belongs to the current operation: it inherits the correlation id, the span and the baggage.
///
/// # Panics
/// Outside a tokio runtime, as `tokio::spawn` does.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(in_current_operation(future))
}

/// `tokio::task::spawn_blocking` for work that belongs to the current operation: it inherits the correlation id, the span and
/// the baggage.
///
/// # Panics
/// Outside a tokio runtime, as `tokio::task::spawn_blocking` does.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (id, context, span) = (CorrelationId::current(), Context::current(), Span::current());
    tokio::task::spawn_blocking(move || {
        // In this order: to enter the span makes its own context the current one, which may be an outer one.
        let _span = span.entered();
        let _context = context.attach();
        match id {
            Some(id) => id.sync_scope(work),
            None => work(),
        }
    })
}

/// `future`, bound to the correlation id, the span and the baggage that are current now, wherever it will run.
pub fn in_current_operation<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let future = future.with_context(Context::current()).in_current_span();
    let scoped: Scoped<_> = match CorrelationId::current() {
        Some(id) => Scoped::With { future: CURRENT.scope(id, future) },
        None => Scoped::Without { future },
    };
    scoped
}

pin_project_lite::pin_project! {
    /// A future with or without an id of its own; no box.
    #[project = ScopedProjection]
    enum Scoped<F> {
        With { #[pin] future: TaskLocalFuture<CorrelationId, F> },
        Without { #[pin] future: F },
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        match self.project() {
            ScopedProjection::With { future } => future.poll(task),
            ScopedProjection::Without { future } => future.poll(task),
        }
    }
}
