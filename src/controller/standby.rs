//! What a replica does that does not reconcile: it reads the profiles, for the webhook and for the metrics. In: client. Out: stores
//! in the view. Talks to the cluster (watch only).

use futures::StreamExt;
use futures::future::join_all;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};

use super::{StoredProfile, View};

/// Follows the profiles of these scopes, as long as it is polled.
pub(super) async fn run(client: &Client, scopes: &[Option<String>], view: &View) {
    join_all(scopes.iter().map(|scope| follow(client, scope.clone(), view))).await;
}

async fn follow(client: &Client, scope: Option<String>, view: &View) {
    let api: Api<StoredProfile> = match &scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (store, writer) = reflector::store();
    let events = watcher(api, watcher::Config::default().page_size(100)).default_backoff();
    let read = reflector(writer, events).for_each(|event| {
        if let Err(error) = event {
            tracing::warn!(%error, "watch of profiles failed and is tried again");
        }
        std::future::ready(())
    });
    let announce = async {
        if store.wait_until_ready().await.is_ok() {
            view.set_store(scope, store.clone());
        }
        std::future::pending::<()>().await;
    };
    tokio::join!(read, announce);
}
