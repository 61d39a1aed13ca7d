//! Letterboxd's import format. In: what Trakt holds. Out: CSV in UTF-8, in parts that Letterboxd accepts. Pure.
//!
//! Column names are those of <https://letterboxd.com/about/importing-data/>. Letterboxd takes files of at most 1 MB, so longer
//! ones are cut between two rows; each part has the header. A `WatchedDate` is the date in UTC: Trakt stores no other, and
//! a date that depends on where the exporter runs would make a second entry in the diary. A film is found by its ids, and by
//! title and year where it has none.

use std::collections::{HashMap, HashSet};

use jiff::tz::TimeZone;

use crate::trakt::{Listed, Movie, Rating, Watch};

/// The most that Letterboxd takes in one file, in bytes.
pub const LARGEST_FILE: usize = 1_000_000;

const FILM: [&str; 4] = ["Title", "Year", "imdbID", "tmdbID"];

/// One row for each time that a film was watched, the oldest first, with the film's rating where it has one. The second and
/// every later row of a film is a rewatch.
///
/// # Errors
/// Never for data of these types; whatever the CSV writer says.
pub fn watched(watches: &[Watch], ratings: &[Rating]) -> Result<Vec<Vec<u8>>, csv::Error> {
    let ratings: HashMap<_, _> =
        ratings.iter().map(|rating| (rating.movie.ids.trakt, rating.rating)).collect();
    let mut watches: Vec<_> = watches.iter().collect();
    watches.sort_by_key(|watch| (watch.watched_at, watch.id));
    let mut seen = HashSet::new();
    let rows = watches.into_iter().map(|watch| {
        let movie = &watch.movie;
        let rating = ratings.get(&movie.ids.trakt).map(ToString::to_string).unwrap_or_default();
        let date = watch.watched_at.to_zoned(TimeZone::UTC).date().to_string();
        let rewatch = !seen.insert(movie.ids.trakt);
        film(movie).into_iter().chain([rating, date, rewatch.to_string(), format!("trakt,{}", watch.action)])
    });
    parts(&["Rating10", "WatchedDate", "Rewatch", "Tags"], rows, LARGEST_FILE)
}

/// One row for each rated film, the last rated first.
///
/// # Errors
/// As [`watched`].
pub fn ratings(ratings: &[Rating]) -> Result<Vec<Vec<u8>>, csv::Error> {
    let mut ratings: Vec<_> = ratings.iter().collect();
    ratings.sort_by_key(|rating| (std::cmp::Reverse(rating.rated_at), rating.movie.ids.trakt));
    let rows =
        ratings.into_iter().map(|rating| film(&rating.movie).into_iter().chain([rating.rating.to_string()]));
    parts(&["Rating10"], rows, LARGEST_FILE)
}

/// One row for each film of the watchlist, in its order.
///
/// # Errors
/// As [`watched`].
pub fn watchlist(listed: &[Listed]) -> Result<Vec<Vec<u8>>, csv::Error> {
    let mut listed: Vec<_> = listed.iter().collect();
    listed.sort_by_key(|entry| (entry.rank, entry.id));
    parts(&[], listed.into_iter().map(|entry| film(&entry.movie)), LARGEST_FILE)
}

fn film(movie: &Movie) -> [String; 4] {
    [
        movie.title.clone(),
        movie.year.map(|year| year.to_string()).unwrap_or_default(),
        movie.ids.imdb.clone().unwrap_or_default(),
        movie.ids.tmdb.map(|id| id.to_string()).unwrap_or_default(),
    ]
}

/// At least one part, also without rows.
fn parts<R>(more: &[&str], rows: impl Iterator<Item = R>, largest: usize) -> Result<Vec<Vec<u8>>, csv::Error>
where
    R: IntoIterator<Item = String>,
{
    let header = line(FILM.iter().chain(more))?;
    let mut parts = Vec::new();
    let mut part = header.clone();
    for row in rows {
        let row = line(row)?;
        if part.len() + row.len() > largest && part.len() > header.len() {
            parts.push(std::mem::replace(&mut part, header.clone()));
        }
        part.extend(row);
    }
    parts.push(part);
    Ok(parts)
}

fn line<F: AsRef<[u8]>>(fields: impl IntoIterator<Item = F>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trakt::Ids;

    fn movie(trakt: u64, title: &str) -> Movie {
        let ids = Ids { trakt, imdb: Some(format!("tt{trakt:07}")), tmdb: None };
        Movie { title: title.to_owned(), year: Some(1999), ids }
    }

    fn watch(id: u64, at: &str, movie: Movie) -> Watch {
        Watch { id, watched_at: at.parse().unwrap(), action: "scrobble".to_owned(), movie }
    }

    fn text(parts: Vec<Vec<u8>>) -> String {
        parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn a_film_seen_three_times_is_a_rewatch_twice_and_keeps_its_rating() {
        let dune = movie(1, "Sand, \"Wind\" & Stars");
        let rating =
            Rating { rating: 9, rated_at: "2024-01-01T00:00:00Z".parse().unwrap(), movie: dune.clone() };
        let watches = [
            watch(12, "2024-03-02T10:00:00.000Z", dune.clone()),
            watch(11, "2024-03-01T23:59:59.999Z", dune.clone()),
            watch(13, "2024-03-02T10:00:00.000Z", dune),
            watch(10, "2024-03-01T20:00:00-07:00", movie(2, "")),
        ];
        assert_eq!(
            text(watched(&watches, &[rating]).unwrap()),
            "Title,Year,imdbID,tmdbID,Rating10,WatchedDate,Rewatch,Tags\n\
             \"Sand, \"\"Wind\"\" & Stars\",1999,tt0000001,,9,2024-03-01,false,\"trakt,scrobble\"\n\
             ,1999,tt0000002,,,2024-03-02,false,\"trakt,scrobble\"\n\
             \"Sand, \"\"Wind\"\" & Stars\",1999,tt0000001,,9,2024-03-02,true,\"trakt,scrobble\"\n\
             \"Sand, \"\"Wind\"\" & Stars\",1999,tt0000001,,9,2024-03-02,true,\"trakt,scrobble\"\n"
        );
    }

    #[test]
    fn nothing_to_export_is_a_file_with_a_header() {
        assert_eq!(text(watchlist(&[]).unwrap()), "Title,Year,imdbID,tmdbID\n");
        assert_eq!(text(ratings(&[]).unwrap()), "Title,Year,imdbID,tmdbID,Rating10\n");
    }

    #[test]
    fn a_long_file_is_cut_between_rows_and_loses_none() {
        let rows =
            || (0..1000).map(|number| film(&movie(number, &format!("Film {number}, the \"longer\"\ncut"))));
        let whole = parts(&[], rows(), usize::MAX).unwrap().remove(0);
        let cut = parts(&[], rows(), 4096).unwrap();
        assert!(cut.len() > 10, "{} parts", cut.len());
        assert!(cut.iter().all(|part| part.len() <= 4096));
        let header = line(FILM).unwrap();
        let joined: Vec<u8> =
            cut.iter().flat_map(|part| part.strip_prefix(header.as_slice()).unwrap()).copied().collect();
        assert_eq!(joined, whole[header.len()..]);
    }
}
