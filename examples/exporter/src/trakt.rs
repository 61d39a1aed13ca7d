//! Trakt's API, version 2. In: an address and credentials. Out: everything that an account holds, each item once. Talks to
//! Trakt, one request at a time.

mod client;
mod error;
mod model;
mod paging;

pub use client::{Access, Patience, Trakt};
pub use error::TraktError;
pub use model::{Activities, Dataset, Ids, Listed, Movie, Rating, Watch};
