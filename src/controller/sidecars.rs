//! Keeps what is so with the sidecars in each profile's pods, and makes a profile due when that has changed. In: client, the
//! profiles' store. Out: the latest answer for a reconcile, profile references. Talks to the cluster (one watch of all pods,
//! metadata only, without a store; lists of the pods of profiles about which something has happened).
//!
//! An event only says of which profiles the pods must be looked at: at rest nothing is listed and nothing is written.

mod known;

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{PartialObjectMeta, Request};
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::{Context, ProfileRef, StoredProfile, running, watches};
use crate::inject::SIDECAR_LABEL;
use crate::sidecars::{Controller, Count, Sidecars};
use known::Job;
pub(super) use known::Known;

/// How often it is seen which profiles are there and which are to be looked at.
const TICK: Duration = Duration::from_millis(500);
/// Profiles that are looked at at once.
const CONCURRENCY: usize = 4;
/// Pods in one answer of the API server.
const PAGE: u32 = 500;
/// ReplicaSets that are asked for at once.
const OWNERS: usize = 8;

/// Looks at the pods of the profiles in `namespace` (all when `None`), and never returns.
pub(super) async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    profiles: Store<StoredProfile>,
    due: UnboundedSender<ProfileRef>,
) {
    let looks = looks(&context, namespace.as_deref(), &profiles, &due);
    let events = events(&context, namespace.as_deref(), &profiles, &due);
    let webhook = webhook(&context, &profiles, &due);
    tokio::join!(looks, events, webhook);
}

/// Follows the store of profiles and looks at the pods of those that something has happened to.
async fn looks(
    context: &Context,
    namespace: Option<&str>,
    profiles: &Store<StoredProfile>,
    due: &UnboundedSender<ProfileRef>,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_hand = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let now = Instant::now();
                context.sidecars.note_way(running::injection(context).works(), now);
                context.sidecars.follow(namespace, &profiles.state(), &context.settings, now);
            }
            Some((job, result, took)) = in_hand.next(), if !in_hand.is_empty() => {
                note(context, &job, result, took, due);
            }
        }
        let room = CONCURRENCY - in_hand.len().min(CONCURRENCY);
        for job in context.sidecars.take_due(namespace, Instant::now(), room) {
            in_hand.push(async move {
                let started = Instant::now();
                let result = look(&context.client, &job).await;
                (job, result, started.elapsed())
            });
        }
    }
}

fn note(
    context: &Context,
    job: &Job,
    result: Result<Look, kube::Error>,
    took: Duration,
    due: &UnboundedSender<ProfileRef>,
) {
    match result {
        Ok(look) => {
            if context.sidecars.keep(job, look, Instant::now(), took) {
                let reference = ProfileRef::new(&job.profile).within(&job.namespace);
                context.memory.note_trigger(&reference, "pods".to_owned());
                // The receiver lives as long as the controller.
                let _ = due.unbounded_send(reference);
            }
        }
        Err(error) => {
            tracing::warn!(
                %error, profile = job.profile, namespace = job.namespace,
                "the profile's pods cannot be looked at; what was known stays"
            );
            context.sidecars.failed(job, Instant::now());
        }
    }
}

/// What one look came to.
#[derive(Debug)]
struct Look {
    answer: Sidecars,
    /// The names of the profile's pods, hashed: a pod that no longer bears the labels is still known by its name.
    pods: HashSet<u64>,
}

/// Lists the profile's pods page by page, and what keeps those that lack their sidecar.
async fn look(client: &Client, job: &Job) -> Result<Look, kube::Error> {
    let mut count = Count::new();
    let mut pods = HashSet::new();
    let carriers = format!("{SIDECAR_LABEL}={}", job.profile);
    // Those that have the profile's sidecar may not be selected any more; the two lists have no pod in common.
    let selected = format!("{},{SIDECAR_LABEL}!={}", job.about.selector, job.profile);
    for labels in [&selected, &carriers] {
        list(client, &job.namespace, labels, |pod| {
            if count.add(&job.injector, job.others(), pod) {
                pods.insert(known::hash(pod["metadata"]["name"].as_str().unwrap_or_default()));
            }
        })
        .await?;
    }
    let deployments = deployments(client, &job.namespace, &count).await?;
    Ok(Look { answer: count.finish(job.about.clone(), &deployments), pods })
}

async fn list(
    client: &Client,
    namespace: &str,
    labels: &str,
    mut each: impl FnMut(&Value),
) -> Result<(), kube::Error> {
    let request = Request::new(Pod::url_path(&(), Some(namespace)));
    let mut params = ListParams::default().labels(labels).limit(PAGE);
    loop {
        let request = request.list(&params).map_err(kube::Error::BuildRequest)?;
        let page: Value = client.request(request).await?;
        page["items"].as_array().into_iter().flatten().for_each(&mut each);
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => params = params.continue_token(token),
            _ => return Ok(()),
        }
    }
}

/// What keeps the ReplicaSets of these pods, by their UID.
async fn deployments(
    client: &Client,
    namespace: &str,
    count: &Count,
) -> Result<BTreeMap<String, Controller>, kube::Error> {
    let sets: BTreeMap<_, _> =
        count.replica_sets().map(|set| (set.uid.as_str(), set.name.as_str())).collect();
    let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let owners = stream::iter(sets).map(|(uid, name)| {
        let api = &api;
        async move {
            let live = api.get_metadata_opt(name).await?;
            let live = live.filter(|live| live.uid().as_deref() == Some(uid));
            let metadata = live.map(|live| serde_json::to_value(&live.metadata)).transpose();
            let owner = metadata.map_err(kube::Error::SerdeError)?.as_ref().and_then(Controller::of);
            Ok::<_, kube::Error>(owner.map(|owner| (uid.to_owned(), owner)))
        }
    });
    let owners: Vec<_> = owners.buffer_unordered(OWNERS).try_collect().await?;
    Ok(owners.into_iter().flatten().collect())
}

/// Follows every pod: one of a profile's workloads makes the profile due, one that a profile selects has it looked at.
async fn events(
    context: &Context,
    namespace: Option<&str>,
    profiles: &Store<StoredProfile>,
    due: &UnboundedSender<ProfileRef>,
) {
    let api: Api<PartialObjectMeta<Pod>> = match namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod)) => {
                context.sidecars.touched(&pod.metadata);
                if watches::is_managed(&pod.metadata) {
                    watches::note(context, "Pod", &pod.metadata, profiles, due);
                }
            }
            // Whatever happened while nobody watched.
            Ok(Event::Init) => context.sidecars.all_touched(namespace),
            Ok(Event::InitDone) => {}
            Err(error) => watches::note_error(context, "Pod", &error),
        }
    }
}

/// Every profile is due when the webhook begins to work or ends: its status says so.
async fn webhook(context: &Context, profiles: &Store<StoredProfile>, due: &UnboundedSender<ProfileRef>) {
    let mut states = context.webhook.clone();
    // The sender goes only with the process.
    while states.changed().await.is_ok() {
        watches::all_due(context, profiles, due, "webhook");
    }
    std::future::pending().await
}
