//! Watches of the children: an event about one → its profile is due. In: client. Out: profile references. Talks to the cluster
//! (watch only, metadata only). Pods are watched in `sidecars`.
//!
//! A child tells its profile by its owner reference and by its label; both are read, so that removing one of them is seen
//! and repaired.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, watcher};
use std::sync::Arc;
use tokio::task::AbortHandle;

use super::{Context, ProfileRef, StoredProfile};
use crate::kinds::{ChildKind, MANAGED_BY, MANAGED_BY_LABEL};
use crate::plan::meta::INSTANCE_LABEL;
use crate::profile::KIND;

/// Watches every served kind in `namespace` (all when `None`), follows kinds that appear and vanish, and never returns.
pub(super) async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    profiles: Store<StoredProfile>,
    due: UnboundedSender<ProfileRef>,
) {
    let start = |name, resource| {
        let watch =
            watch(Arc::clone(&context), name, resource, namespace.clone(), profiles.clone(), due.clone());
        AbortOnDrop(tokio::spawn(watch).abort_handle())
    };
    let mut running: HashMap<ChildKind, AbortOnDrop> = HashMap::new();
    let mut changes = context.capabilities.changes();
    loop {
        let observed = changes.borrow_and_update().clone();
        running.retain(|kind, _| observed.serves(*kind));
        for kind in ChildKind::ALL.into_iter().filter(|kind| observed.serves(*kind)) {
            running.entry(kind).or_insert_with(|| start(kind.name(), kind.api_resource()));
        }
        if changes.changed().await.is_err() {
            return;
        }
        let same_kinds = changes.borrow().served == observed.served;
        let trigger = if same_kinds { "injection" } else { "served kinds" };
        all_due(&context, &profiles, &due, trigger);
    }
}

/// Makes every profile due.
pub(super) fn all_due(
    context: &Context,
    profiles: &Store<StoredProfile>,
    due: &UnboundedSender<ProfileRef>,
    trigger: &str,
) {
    for profile in profiles.state() {
        let reference = ProfileRef::from_obj(profile.as_ref());
        context.memory.note_trigger(&reference, trigger.to_owned());
        // The receiver lives as long as the controller.
        let _ = due.unbounded_send(reference);
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(
    context: Arc<Context>,
    kind: &'static str,
    resource: ApiResource,
    namespace: Option<String>,
    profiles: Store<StoredProfile>,
    due: UnboundedSender<ProfileRef>,
) {
    let api: Api<PartialObjectMeta<DynamicObject>> = match &namespace {
        Some(namespace) => Api::namespaced_with(context.client.clone(), namespace, &resource),
        None => Api::all_with(context.client.clone(), &resource),
    };
    let config =
        watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}")).page_size(100);
    let mut events = pin!(watcher(api, config).default_backoff().touched_objects());
    while let Some(event) = events.next().await {
        match event {
            Ok(object) => note(&context, kind, &object.metadata, &profiles, &due),
            Err(error) => note_error(&context, kind, &error),
        }
    }
}

/// Makes the profiles due that this object is a child of.
pub(super) fn note(
    context: &Context,
    kind: &str,
    object: &ObjectMeta,
    profiles: &Store<StoredProfile>,
    due: &UnboundedSender<ProfileRef>,
) {
    let Some(namespace) = &object.namespace else { return };
    for name in profile_names(object) {
        let reference = ProfileRef::new(name).within(namespace);
        if profiles.get(&reference).is_some() {
            let child = object.name.as_deref().unwrap_or_default();
            context.memory.note_trigger(&reference, format!("{kind}/{child}"));
            let _ = due.unbounded_send(reference);
        }
    }
}

/// A watch failed; it is tried again.
pub(super) fn note_error(context: &Context, kind: &str, error: &watcher::Error) {
    context.metrics.watch_failed(kind);
    tracing::warn!(kind, %error, "watch failed and is tried again");
}

fn label<'a>(object: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    object.labels.as_ref()?.get(key).map(String::as_str)
}

/// True for what bears our label.
pub(super) fn is_managed(object: &ObjectMeta) -> bool {
    label(object, MANAGED_BY_LABEL) == Some(MANAGED_BY)
}

fn profile_names(object: &ObjectMeta) -> BTreeSet<&str> {
    let owners = object.owner_references.iter().flatten();
    let owners = owners.filter(|owner| owner.kind == KIND).map(|owner| owner.name.as_str());
    owners.chain(label(object, INSTANCE_LABEL)).collect()
}
