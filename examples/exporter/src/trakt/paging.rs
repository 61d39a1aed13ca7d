//! All pages of a dataset, as if they were one. In: an endpoint. Out: each item exactly once. Talks to Trakt.
//!
//! Pages are cut from the account as it is when each one is asked for: an item that is added pushes another one over to the
//! next page, where it comes twice; one that is removed pulls one over to a page that was read already, and that one is
//! missed. So a reading counts only if nothing changed during it: Trakt's time of the last change is the same after the last
//! page as before the second, the first page is at the end what it was at the beginning, every page told the same number of
//! items, and that many different ones came. Otherwise everything is read again. Counting alone is not enough: where one
//! item goes and another one comes, the numbers stay.

use std::collections::HashSet;

use tracing::{info, warn};

use super::{Dataset, Trakt, TraktError};

const READINGS: u32 = 5;

struct Reading<T> {
    items: Vec<T>,
    /// Nothing that can be seen changed.
    quiet: bool,
    /// As many items as Trakt announced.
    complete: bool,
}

impl Trakt {
    /// Everything, each item once.
    ///
    /// # Errors
    /// A page cannot be read, or the account changes faster than it can be read.
    pub async fn read<T: Dataset>(&self) -> Result<Vec<T>, TraktError> {
        let mut before = None;
        for number in 1..=READINGS {
            let Reading { items, quiet, complete } = self.read_once::<T>().await?;
            if quiet && complete {
                return Ok(items);
            }
            let found: HashSet<_> = items.iter().map(T::key).collect();
            if quiet && before.as_ref() == Some(&found) {
                // Two readings that agree are not the work of a change: Trakt counts something that it does not give.
                warn!(
                    dataset = T::NAME,
                    items = items.len(),
                    "Trakt announced another number of items than it has"
                );
                return Ok(items);
            }
            info!(dataset = T::NAME, reading = number, "the account changed while it was read");
            before = Some(found);
        }
        Err(TraktError::KeepsChanging { endpoint: T::ENDPOINT, readings: READINGS })
    }

    async fn read_once<T: Dataset>(&self) -> Result<Reading<T>, TraktError> {
        let first = self.page::<T>(T::ENDPOINT, 1).await?;
        let beginning: Vec<_> = first.items.iter().map(T::key).collect();
        let mut items = first.items;
        let mut quiet = true;
        // One page is of one moment anyway.
        if first.pages > 1 {
            // After the first page: a change between the two shows when that page is read again.
            let changed_at = T::changed_at(&self.activities().await?);
            for number in 2..=first.pages {
                let page = self.page::<T>(T::ENDPOINT, number).await?;
                quiet &= page.total == first.total;
                items.extend(page.items);
            }
            let again = self.page::<T>(T::ENDPOINT, 1).await?;
            quiet &= again.total == first.total && again.items.iter().map(T::key).eq(beginning);
            quiet &= T::changed_at(&self.activities().await?) == changed_at;
        }
        let mut seen = HashSet::new();
        items.retain(|item| seen.insert(item.key()));
        let complete = items.len() == first.total;
        Ok(Reading { items, quiet, complete })
    }
}
