//! What was read last time. In: a dataset and when it changed last. Out: its items, if they are still those. No network.
//!
//! The key is Trakt's own time of the last change, read *before* the items: a change in between makes the entry look too old,
//! never too new. An entry belongs to one address and one token.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::files::OwnedDirectory;
use crate::trakt::{Access, Dataset};

#[derive(Debug)]
pub(crate) struct Cache {
    directory: Arc<OwnedDirectory>,
    account: String,
    hits: AtomicU64,
    lookups: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Entry<T> {
    account: String,
    changed_at: Timestamp,
    items: Vec<T>,
}

impl Cache {
    pub(crate) fn new(directory: OwnedDirectory, access: &Access) -> Self {
        // Tells accounts apart and gives nothing away; with another compiler it may differ, which costs one reading.
        let mut hasher = DefaultHasher::new();
        (&access.url, &access.access_token).hash(&mut hasher);
        Self {
            directory: Arc::new(directory),
            account: format!("{:016x}", hasher.finish()),
            hits: AtomicU64::new(0),
            lookups: AtomicU64::new(0),
        }
    }

    /// The items, if nothing changed since they were put here.
    pub(crate) async fn get<T: Dataset>(&self, changed_at: Timestamp) -> Option<Vec<T>> {
        let items = self.read(changed_at).await;
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.hits.fetch_add(items.is_some().into(), Ordering::Relaxed);
        items
    }

    async fn read<T: Dataset>(&self, changed_at: Timestamp) -> Option<Vec<T>> {
        let path = self.directory.file(&file_name::<T>());
        let entry = match tokio::fs::read(&path).await {
            Ok(bytes) => serde_json::from_slice::<Entry<T>>(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        match entry {
            Ok(entry) => {
                (entry.account == self.account && entry.changed_at == changed_at).then_some(entry.items)
            }
            Err(error) => {
                warn!(file = %path.display(), error, "the cache cannot be read; reading from Trakt instead");
                None
            }
        }
    }

    /// Keeps the items. A failure costs the next run some requests, so it is a warning.
    pub(crate) async fn put<T: Dataset>(&self, changed_at: Timestamp, items: Vec<T>) -> Vec<T> {
        let entry = Entry { account: self.account.clone(), changed_at, items };
        let name = file_name::<T>();
        let written = match serde_json::to_vec(&entry) {
            Ok(bytes) => {
                let directory = Arc::clone(&self.directory);
                let written = tokio::task::spawn_blocking(move || directory.replace(&name, &bytes));
                written
                    .await
                    .map_err(|error| error.to_string())
                    .and_then(|done| done.map_err(|error| error.to_string()))
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = written {
            warn!(dataset = T::NAME, error, "the cache cannot be written");
        }
        entry.items
    }

    /// The share of look-ups that were hits, 0 to 1; 0 before the first.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub(crate) fn hit_ratio(&self) -> f64 {
        let lookups = self.lookups.load(Ordering::Relaxed).max(1);
        self.hits.load(Ordering::Relaxed) as f64 / lookups as f64
    }
}

fn file_name<T: Dataset>() -> String {
    format!("{}.json", T::NAME)
}
