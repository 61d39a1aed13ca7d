//! What an account holds. In: its size and a seed. Out: history, ratings, watchlist, and when each changed last. Pure, but for
//! the clock that tells when a change was made.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::films::{Film, Ids, film, random};

/// How much is in an account.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Entries of the watch history; some are rewatches.
    pub films: u64,
    /// Rated films.
    pub ratings: u64,
    /// Films that are yet to be seen.
    pub watchlist: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { films: 1000, ratings: 500, watchlist: 100 }
    }
}

/// Films on the watchlist have numbers from here: none of them was watched.
const UNSEEN: u64 = 1_000_000;
/// Films that were added while it ran have numbers from here.
const ADDED: u64 = 2_000_000;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Watch {
    id: u64,
    watched_at: Timestamp,
    action: &'static str,
    r#type: &'static str,
    movie: Film,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Rating {
    rated_at: Timestamp,
    rating: u64,
    r#type: &'static str,
    movie: Film,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    rank: u64,
    id: u64,
    listed_at: Timestamp,
    notes: Option<String>,
    r#type: &'static str,
    movie: Film,
}

#[derive(Debug, Serialize)]
pub(super) struct Account {
    /// The last watched first, as Trakt gives it.
    pub(super) history: Vec<Watch>,
    /// The last rated first.
    pub(super) ratings: Vec<Rating>,
    /// By rank.
    pub(super) watchlist: Vec<Listed>,
    #[serde(skip)]
    pub(super) changed: Changed,
    #[serde(skip)]
    seed: u64,
    #[serde(skip)]
    added: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) history: Timestamp,
    pub(super) ratings: Timestamp,
    pub(super) watchlist: Timestamp,
}

impl Account {
    pub(super) fn new(size: Size, seed: u64) -> Self {
        let history = history(size.films, seed);
        let ratings = (0..size.ratings).rev().map(|number| Rating {
            rated_at: at(number),
            rating: 1 + random(seed, number ^ 0xabc) % 10,
            r#type: "movie",
            movie: film(seed, number),
        });
        let watchlist = (0..size.watchlist).map(|number| Listed {
            rank: number + 1,
            id: 700_000 + number,
            listed_at: at(number),
            notes: (number % 5 == 0).then(|| "recommended, \"must\" see".to_owned()),
            r#type: "movie",
            movie: film(seed, UNSEEN + number),
        });
        let start = at(0);
        Self {
            history,
            ratings: ratings.collect(),
            watchlist: watchlist.collect(),
            changed: Changed { history: start, ratings: start, watchlist: start },
            seed,
            added: 0,
        }
    }

    /// Adds a film to the history; without a date, every second one now and the others somewhere in the past.
    pub(super) fn add(
        &mut self,
        title: Option<String>,
        year: Option<i32>,
        watched_at: Option<Timestamp>,
    ) -> Watch {
        let number = ADDED + self.added;
        self.added += 1;
        let generated = film(self.seed, number);
        let movie = match title {
            Some(title) => {
                Film { title, year, ids: Ids { slug: format!("added-{number}"), ..generated.ids } }
            }
            None => generated,
        };
        let middle = self.history.get(self.history.len() / 2).map(|watch| watch.watched_at);
        let past = middle.filter(|_| self.added.is_multiple_of(2));
        let watched_at = watched_at.or(past).unwrap_or_else(Timestamp::now);
        let watch = Watch { id: 9_000_000_000 + number, watched_at, action: "watch", r#type: "movie", movie };
        self.history.push(watch.clone());
        self.history.sort_by_key(|watch| std::cmp::Reverse((watch.watched_at, watch.id)));
        self.touch_history();
        watch
    }

    /// Removes one film of the history; which one depends on `draw`. False when there is none.
    pub(super) fn remove(&mut self, draw: u64) -> bool {
        let Some(index) = draw.checked_rem(self.history.len() as u64) else { return false };
        self.history.remove(usize::try_from(index).unwrap_or_default());
        self.touch_history();
        true
    }

    /// Later than the time before, also when the clock stands still.
    fn touch_history(&mut self) {
        let next = self.changed.history + SignedDuration::from_millis(1);
        self.changed.history = Timestamp::now().max(next);
    }
}

fn history(films: u64, seed: u64) -> Vec<Watch> {
    let mut next = 0;
    let mut seen = BTreeSet::new();
    let mut history = Vec::new();
    for number in 0..films {
        let draw = random(seed, number ^ 0x5eed);
        // About one in ten was seen before, every third of these on the same day or the day before.
        let again = match draw % 30 {
            0 => seen.last().copied(),
            1 | 2 => Some((draw >> 8) % films).filter(|film| seen.contains(film)),
            _ => None,
        };
        let film_number = again.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        seen.insert(film_number);
        history.push(Watch {
            id: 9_000_000_000 + number,
            watched_at: at(number),
            action: ["scrobble", "checkin", "watch"][(draw % 3) as usize],
            r#type: "movie",
            movie: film(seed, film_number),
        });
    }
    history.reverse();
    history
}

/// One every five hours or so, with milliseconds.
fn at(number: u64) -> Timestamp {
    let milliseconds = 1_577_836_800_123 + i64::try_from(number).unwrap_or_default() * 18_013_457;
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}
