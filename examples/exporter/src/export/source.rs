//! Where one run gets its data. In: a dataset. Out: its items, from the cache where nothing changed, else from Trakt. What
//! several parts need is read once, and fails once.

use std::sync::Arc;

use telemetry::TelemetryManager;
use tokio::sync::OnceCell;
use tracing::debug;

use crate::cache::Cache;
use crate::trakt::{Activities, Dataset, Rating, Trakt, TraktError};

type Shared<T> = OnceCell<Result<Arc<T>, Arc<TraktError>>>;

pub(super) struct Source<'a> {
    trakt: &'a Trakt,
    cache: Option<&'a Cache>,
    telemetry: &'a TelemetryManager,
    activities: Shared<Activities>,
    ratings: Shared<Vec<Rating>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(trakt: &'a Trakt, cache: Option<&'a Cache>, telemetry: &'a TelemetryManager) -> Self {
        Self { trakt, cache, telemetry, activities: OnceCell::new(), ratings: OnceCell::new() }
    }

    pub(super) async fn ratings(&self) -> Result<Arc<Vec<Rating>>, Arc<TraktError>> {
        self.ratings.get_or_init(|| async { self.read().await.map(Arc::new) }).await.clone()
    }

    pub(super) async fn read<T: Dataset>(&self) -> Result<Vec<T>, Arc<TraktError>> {
        let Some(cache) = self.cache else { return Ok(self.trakt.read().await?) };
        let changed_at = T::changed_at(&*self.activities().await?);
        let cached = cache.get::<T>(changed_at).await;
        self.telemetry.instruments().cache_hit_ratio.record(cache.hit_ratio(), &[]);
        debug!(dataset = T::NAME, hit = cached.is_some(), "cache");
        match cached {
            Some(items) => Ok(items),
            None => Ok(cache.put(changed_at, self.trakt.read().await?).await),
        }
    }

    async fn activities(&self) -> Result<Arc<Activities>, Arc<TraktError>> {
        let read = || async { Ok(Arc::new(self.trakt.activities().await?)) };
        self.activities.get_or_init(read).await.clone()
    }
}
