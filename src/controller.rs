//! The controller: watches and triggers, the reconcile driver, the error policy.
//!
//! In: client, settings. Out: profiles that are reconciled until told to stop. The driver runs the steps of the crate's
//! map in order; each step is a span of the reconcile's trace.

mod health;
mod memory;
mod report;
mod running;
mod sidecars;
mod standby;
mod view;
mod watches;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::watch;
use tracing::{Instrument, Span, field, info_span};

use crate::apply::{self, Applied, ListError, Target};
use crate::health::ask::Asker;
use crate::leader::Role;
use crate::metrics::{Metrics, ReconcileResult};
use crate::observe::Capabilities;
use crate::observed::WebhookState;
use crate::plan;
use crate::profile::TelemetryProfile;
use crate::rollout::Rollout;
use crate::settings::Settings;
use crate::shutdown::stopped;
use crate::status::{self, Outcome, Running};
use crate::validate;
use health::Answers;
use memory::Memory;
use sidecars::Known;
pub use view::View;

/// A profile as it is stored: decoded, or told to be undecodable. One bad object must not stop the watch.
type StoredProfile = DeserializeGuard<TelemetryProfile>;
/// Reference of a stored profile.
type ProfileRef = ObjectRef<StoredProfile>;

/// A profile that is as it should be is looked at again after about this time, in case an event was missed.
const RESYNC: Duration = Duration::from_secs(600);
/// A foreign object in our way sends no events to us: look whether it has gone.
const CONFLICT_RECHECK: Duration = Duration::from_secs(30);
/// Events within this time lead to one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Reconciles at once, each of another profile.
const CONCURRENCY: u16 = 4;

/// What the controller works with.
pub struct Tools {
    /// The way to the cluster.
    pub client: Client,
    /// What the administrator has set.
    pub settings: Settings,
    /// What the API server serves.
    pub capabilities: Capabilities,
    /// What is counted.
    pub metrics: Metrics,
    /// Who asks Prometheus.
    pub asker: Asker,
    /// How far the operator's webhook has come.
    pub webhook: watch::Receiver<WebhookState>,
    /// Whether this process may reconcile.
    pub role: watch::Receiver<Role>,
}

/// What every reconcile needs.
struct Context {
    client: Client,
    settings: Settings,
    capabilities: Capabilities,
    metrics: Metrics,
    asker: Asker,
    answers: Answers,
    sidecars: Known,
    webhook: watch::Receiver<WebhookState>,
    recorder: Recorder,
    memory: Memory,
}

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    /// Live objects cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The pods of the workloads cannot be listed.
    #[error("cannot list the pods of the profile's workloads: {0}")]
    Pods(#[source] kube::Error),
    /// Some objects could not be written.
    #[error("{0}")]
    Write(String),
    /// The status cannot be written.
    #[error("cannot write the status: {0}")]
    Status(#[source] kube::Error),
}

impl ReconcileError {
    /// One fixed word for the metric label.
    const fn reason(&self) -> &'static str {
        match self {
            Self::List(_) | Self::Pods(_) => "ListFailed",
            Self::Write(_) => "ApplyFailed",
            Self::Status(_) => "StatusFailed",
        }
    }
}

/// Reconciles every profile of the watched namespaces until `stop` turns true, then finishes what is in hand.
pub async fn run(tools: Tools, view: Arc<View>, stop: watch::Receiver<bool>) {
    let Tools { client, settings, capabilities, metrics, asker, webhook, mut role } = tools;
    let reporter =
        Reporter { controller: apply::MANAGER.to_owned(), instance: std::env::var("HOSTNAME").ok() };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings,
        capabilities,
        metrics,
        asker,
        answers: Answers::default(),
        sidecars: Known::default(),
        webhook,
        memory: Memory::default(),
    });
    let mut changes = context.capabilities.changes();
    tokio::select! {
        _ = changes.wait_for(|observed| observed.profiles_served) => {}
        () = stopped(stop.clone()) => return,
    }
    let namespaces = context.settings.watch_namespace.iter().cloned();
    let scopes = if namespaces.len() == 0 { vec![None] } else { namespaces.map(Some).collect::<Vec<_>>() };
    tokio::select! {
        // The sender goes only with the process.
        _ = role.wait_for(|role| *role == Role::Leads) => {}
        () = standby::run(&context.client, &scopes, &view) => {}
        () = stopped(stop.clone()) => return,
    }
    let controllers = scopes
        .into_iter()
        .map(|scope| run_scope(Arc::clone(&context), scope, Arc::clone(&view), stopped(stop.clone())));
    futures::future::join_all(controllers).await;
}

async fn run_scope(
    context: Arc<Context>,
    namespace: Option<String>,
    view: Arc<View>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let api = match &namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let scope = namespace.clone();
    let (due, due_profiles) = mpsc::unbounded();
    let controller: Controller<StoredProfile> =
        Controller::new(api, watcher::Config::default().page_size(100))
            .with_config(controller::Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
            .graceful_shutdown_on(stop)
            .reconcile_on(due_profiles);
    let store = controller.store();
    let synced = store.clone();
    let announce = async move {
        if synced.wait_until_ready().await.is_ok() {
            view.set_store(scope, synced);
        }
        std::future::pending::<()>().await;
    };
    let health = health::run(Arc::clone(&context), namespace.clone(), store.clone(), due.clone());
    let sidecars = sidecars::run(Arc::clone(&context), namespace.clone(), store.clone(), due.clone());
    let children = watches::run(Arc::clone(&context), namespace, store, due);
    let reconciles = controller.run(reconcile, retry, Arc::clone(&context)).for_each(|result| {
        if let Err(error) = result {
            note_stream_error(&context, error);
        }
        std::future::ready(())
    });
    // Only the reconciles end by themselves, when they are told to stop.
    tokio::select! {
        () = reconciles => {}
        () = children => {}
        () = health => {}
        () = sidecars => {}
        () = announce => {}
    }
}

fn note_stream_error(context: &Context, error: controller::Error<ReconcileError, watcher::Error>) {
    match error {
        controller::Error::ObjectNotFound(reference) => {
            let mut profile = ProfileRef::new(&reference.name);
            profile.namespace = reference.namespace;
            context.memory.forget(&profile);
            context.answers.forget(&profile);
        }
        controller::Error::QueueError(error) => {
            context.metrics.watch_failed(crate::profile::KIND);
            tracing::warn!(%error, "watch of profiles failed and is tried again");
        }
        // The driver has logged and counted its own errors.
        controller::Error::ReconcilerFailed(..) => {}
        controller::Error::RunnerError(error) => tracing::error!(%error, "the controller's queue failed"),
    }
}

fn retry(stored: Arc<StoredProfile>, _: &ReconcileError, context: Arc<Context>) -> Action {
    Action::requeue(context.memory.failed(&ProfileRef::from_obj(stored.as_ref())))
}

/// One reconcile: a trace of its own, a result, a duration.
async fn reconcile(stored: Arc<StoredProfile>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let started = Instant::now();
    let reference = ProfileRef::from_obj(stored.as_ref());
    let trigger = context.memory.begin(&reference, stored.resource_version());
    // The controller library's own span must not become the parent: a reconcile is the root of its trace.
    let span = info_span!(
        parent: None,
        "reconcile",
        profile = stored.name_any(),
        namespace = stored.namespace().unwrap_or_default(),
        generation = stored.meta_generation(),
        trigger,
        result = field::Empty,
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
    );
    let outcome = async {
        let outcome = drive(&stored, &context).await;
        note_outcome(&context, &outcome, started.elapsed());
        outcome
    }
    .instrument(span)
    .await;
    if let Ok((result, _)) = &outcome {
        context.memory.succeeded(&reference);
        if *result != ReconcileResult::Ok {
            // Paused or wrong: what Prometheus says of it changes nothing.
            context.answers.forget(&reference);
        }
    }
    outcome.map(|(_, action)| action)
}

fn note_outcome(
    context: &Context,
    outcome: &Result<(ReconcileResult, Action), ReconcileError>,
    took: Duration,
) {
    let result = match outcome {
        Ok((result, _)) => *result,
        Err(error) => {
            context.metrics.failed(error.reason());
            Span::current()
                .record("otel.status_code", "ERROR")
                .record("otel.status_description", error.to_string());
            tracing::warn!(reason = error.reason(), %error, "reconcile failed and is tried again");
            ReconcileResult::Error
        }
    };
    context.metrics.reconciled(result, took.as_secs_f64());
    Span::current().record("result", format!("{result:?}"));
    tracing::info!(result = ?result, duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "reconciled");
}

/// The steps of one reconcile, in order.
async fn drive(
    stored: &StoredProfile,
    context: &Context,
) -> Result<(ReconcileResult, Action), ReconcileError> {
    // The garbage collector removes the children of a profile that goes: nothing may be made for it any more.
    if stored.is_going() {
        return Ok((ReconcileResult::Ok, Action::await_change()));
    }
    let profile = match &stored.0 {
        Ok(profile) => profile,
        Err(invalid) => {
            context.metrics.failed("Undecodable");
            report::undecodable(context, stored, &invalid.error).await?;
            return Ok((ReconcileResult::Invalid, Action::await_change()));
        }
    };
    if profile.spec.paused {
        report::profile(context, profile, &Outcome::Paused).await?;
        return Ok((ReconcileResult::Paused, Action::await_change()));
    }
    if status::present(profile).conditions.is_empty() {
        report::profile(context, profile, &Outcome::Seen).await?;
    }
    let observed = info_span!("observe").in_scope(|| context.capabilities.observed());
    let validated =
        info_span!("validate").in_scope(|| validate::validate(profile, &observed, &context.settings));
    let validated = match validated {
        Ok(validated) => validated,
        Err(error) => return refused(context, profile, error.reason(), Outcome::Invalid(&error)).await,
    };
    let plan = match info_span!("plan").in_scope(|| plan::plan(&validated)) {
        Ok(plan) => plan,
        Err(error) => return refused(context, profile, error.reason(), Outcome::Unplanned(&error)).await,
    };
    let target = target(profile);
    let applied =
        apply::apply(&context.client, &plan, &target, &observed).instrument(info_span!("apply")).await?;
    context.metrics.applied(&applied);
    let mut running =
        running::look(context, profile, &validated, &applied).instrument(info_span!("look")).await?;
    running.rollout = running::roll_out(context, profile, &applied, &running).await;
    let outcome = Outcome::Applied { profile: &validated, plan: &plan, applied: &applied, running: &running };
    report::profile(context, profile, &outcome).await?;
    finish(context, profile, &applied, &running)
}

fn target(profile: &TelemetryProfile) -> Target {
    let present = status::present(profile);
    let same_generation = present.observed_generation == profile.metadata.generation;
    Target {
        namespace: profile.namespace().unwrap_or_default(),
        profile: profile.name_any(),
        expected: if same_generation { present.children } else { Vec::new() },
    }
}

/// The profile is wrong: nothing is written but its status, and only a change can help.
async fn refused(
    context: &Context,
    profile: &TelemetryProfile,
    reason: &str,
    outcome: Outcome<'_>,
) -> Result<(ReconcileResult, Action), ReconcileError> {
    context.metrics.failed(reason);
    report::profile(context, profile, &outcome).await?;
    Ok((ReconcileResult::Invalid, Action::await_change()))
}

/// When to look again.
fn finish(
    context: &Context,
    profile: &TelemetryProfile,
    applied: &Applied,
    running: &Running,
) -> Result<(ReconcileResult, Action), ReconcileError> {
    if !applied.failures.is_empty() {
        // A kind may have gone between two looks at discovery: look now, and the next try plans without it.
        context.capabilities.refresh();
        let failures: Vec<_> = applied
            .failures
            .iter()
            .map(|failure| format!("{}: {}", failure.reference, failure.error))
            .collect();
        return Err(ReconcileError::Write(failures.join("; ")));
    }
    let rest = if applied.conflicts.is_empty() { spread(profile) } else { CONFLICT_RECHECK };
    let wait = running.rollout.as_ref().and_then(Rollout::recheck).unwrap_or(rest);
    Ok((ReconcileResult::Ok, Action::requeue(wait)))
}

/// The resync time, spread by up to a quarter so that many profiles do not come due at once.
fn spread(profile: &TelemetryProfile) -> Duration {
    let hash = plan::short_hash(profile.uid().unwrap_or_default().as_bytes());
    let share = u8::from_str_radix(&hash[..2], 16).unwrap_or_default();
    RESYNC + RESYNC * u32::from(share) / 1024
}

/// What the driver reads of a stored object whether or not it could be decoded.
trait Stored {
    fn is_going(&self) -> bool;
    fn meta_generation(&self) -> i64;
}

impl Stored for StoredProfile {
    fn is_going(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    fn meta_generation(&self) -> i64 {
        self.meta().generation.unwrap_or_default()
    }
}
