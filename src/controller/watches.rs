//! Watches of the children and of the workloads' pods: an event about one → its profile is due. In: client. Out: profile references.
//! Talks to the cluster (watch only, metadata only).
//!
//! A child tells its profile by its owner reference and by its label; both are read, so that removing one of them is seen
//! and repaired.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::Pod;
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
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
    let _pods = start("Pod", ApiResource::erase::<Pod>(&()));
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
        for profile in profiles.state() {
            let reference = ProfileRef::from_obj(profile.as_ref());
            context.memory.note_trigger(&reference, "served kinds".to_owned());
            // The receiver lives as long as the controller.
            let _ = due.unbounded_send(reference);
        }
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
    let api = api(context.client.clone(), &resource, namespace.as_deref());
    let config =
        watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}")).page_size(100);
    let mut events = pin!(watcher(api, config).default_backoff().touched_objects());
    while let Some(event) = events.next().await {
        let object = match event {
            Ok(object) => object,
            Err(error) => {
                context.metrics.watch_failed(kind);
                tracing::warn!(kind, %error, "watch failed and is tried again");
                continue;
            }
        };
        let Some(namespace) = object.namespace() else {
            continue;
        };
        for name in profile_names(&object) {
            let reference = ProfileRef::new(&name).within(&namespace);
            if profiles.get(&reference).is_some() {
                context.memory.note_trigger(&reference, format!("{kind}/{}", object.name_any()));
                let _ = due.unbounded_send(reference);
            }
        }
    }
}

fn api(
    client: Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Api<PartialObjectMeta<DynamicObject>> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

fn profile_names(object: &PartialObjectMeta<DynamicObject>) -> BTreeSet<String> {
    let owners =
        object.owner_references().iter().filter(|owner| owner.kind == KIND).map(|owner| owner.name.clone());
    owners.chain(object.labels().get(INSTANCE_LABEL).cloned()).collect()
}
