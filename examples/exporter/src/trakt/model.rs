//! The parts of Trakt's answers that an export needs. Pure. Fields that are not named here are ignored, so that Trakt may
//! add some.

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

/// A film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movie {
    /// Its title.
    pub title: String,
    /// The year of its release, where it is known.
    pub year: Option<i32>,
    /// What it is called elsewhere.
    pub ids: Ids,
}

/// A film's ids. Only Trakt's own is always there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Trakt.
    pub trakt: u64,
    /// IMDb, as in `tt0111161`.
    pub imdb: Option<String>,
    /// The Movie Database.
    pub tmdb: Option<u64>,
}

/// One entry of the watch history. A film that was seen twice has two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The entry's own id.
    pub id: u64,
    /// When it was watched.
    pub watched_at: Timestamp,
    /// How it got there: `scrobble`, `checkin` or `watch`.
    pub action: String,
    /// The film.
    pub movie: Movie,
}

/// One rating. A film has at most one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// 1 to 10.
    #[serde(deserialize_with = "one_to_ten")]
    pub rating: u8,
    /// When it was given.
    pub rated_at: Timestamp,
    /// The film.
    pub movie: Movie,
}

/// One entry of the watchlist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The entry's own id.
    pub id: u64,
    /// Its place, from 1.
    pub rank: u64,
    /// The film.
    pub movie: Movie,
}

/// When something of an account changed last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Activities {
    movies: MovieActivities,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct MovieActivities {
    watched_at: Timestamp,
    rated_at: Timestamp,
    watchlisted_at: Timestamp,
}

/// What can be read page by page.
pub trait Dataset: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its path below the API's address; also the name of its span and its label.
    const ENDPOINT: &'static str;
    /// What it is called in messages and in the cache.
    const NAME: &'static str;

    /// What tells an item from all others.
    fn key(&self) -> u64;
    /// When the dataset changed last.
    fn changed_at(activities: &Activities) -> Timestamp;
}

impl Dataset for Watch {
    const ENDPOINT: &'static str = "sync/history/movies";
    const NAME: &'static str = "history";

    fn key(&self) -> u64 {
        self.id
    }

    fn changed_at(activities: &Activities) -> Timestamp {
        activities.movies.watched_at
    }
}

impl Dataset for Rating {
    const ENDPOINT: &'static str = "sync/ratings/movies";
    const NAME: &'static str = "ratings";

    fn key(&self) -> u64 {
        self.movie.ids.trakt
    }

    fn changed_at(activities: &Activities) -> Timestamp {
        activities.movies.rated_at
    }
}

impl Dataset for Listed {
    const ENDPOINT: &'static str = "sync/watchlist/movies";
    const NAME: &'static str = "watchlist";

    fn key(&self) -> u64 {
        self.id
    }

    fn changed_at(activities: &Activities) -> Timestamp {
        activities.movies.watchlisted_at
    }
}

fn one_to_ten<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        rating @ 1..=10 => Ok(rating),
        other => Err(D::Error::invalid_value(Unexpected::Unsigned(other.into()), &"a rating from 1 to 10")),
    }
}
