//! Films that nobody made, with everything that makes films hard to export. In: a seed and a number. Out: always the same film.
//! Pure.

use serde::Serialize;

const ADJECTIVES: [&str; 12] = [
    "Silent",
    "Crooked",
    "Amber",
    "Borrowed",
    "Distant",
    "Paper",
    "Restless",
    "Hollow",
    "Second",
    "Winter",
    "Electric",
    "Unwritten",
];
const NOUNS: [&str; 12] = [
    "Harbour",
    "Orchard",
    "Telegram",
    "Mountain",
    "Detective",
    "Garden",
    "Lighthouse",
    "Parade",
    "Kingdom",
    "Passenger",
    "Mirror",
    "Tide",
];

/// A film as Trakt's API gives it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Film {
    pub(super) title: String,
    pub(super) year: Option<i32>,
    pub(super) ids: Ids,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Ids {
    pub(super) trakt: u64,
    pub(super) slug: String,
    pub(super) imdb: Option<String>,
    pub(super) tmdb: Option<u64>,
}

/// The film with this number.
pub(super) fn film(seed: u64, number: u64) -> Film {
    // Every seventeenth is a remake: the title of the one before it, another year.
    let original = if number % 17 == 16 { number - 1 } else { number };
    let draw = random(seed, original);
    let year = 1920 + i32::try_from(random(seed, number ^ 0xfe) % 100).unwrap_or_default();
    let trakt = number + 1;
    Film {
        title: title(draw, original),
        year: (number % 23 != 5).then_some(year),
        ids: Ids {
            trakt,
            slug: format!("film-{trakt}"),
            imdb: (number % 11 != 3).then(|| format!("tt{:07}", 1_000_000 + trakt)),
            tmdb: (number % 13 != 4).then_some(500_000 + trakt),
        },
    }
}

fn title(draw: u64, number: u64) -> String {
    let pick =
        |words: [&'static str; 12], shift: u32| words[usize::from((draw >> shift) as u8) % words.len()];
    let (adjective, noun) = (pick(ADJECTIVES, 0), pick(NOUNS, 8));
    match number % 14 {
        0 => format!("{adjective}, Far, and {noun}"),
        1 => format!("The \"{adjective}\" {noun}"),
        2 => format!("{noun} №{number}: Žluťoučký kůň"),
        3 => format!("{noun}の{number}番目の夜"),
        4 => format!("\"{adjective}\""),
        5 => format!("{noun}; or, {adjective}'s End"),
        6 => format!("Тихая {noun} {number} 🎬"),
        7 => format!("={adjective}+{number}"),
        8 => format!("{number}"),
        9 => format!("{adjective}\\{noun}"),
        10 => format!("مدينة {noun}"),
        11 => format!(" {adjective} {noun} "),
        _ => format!("{adjective} {noun} {number}"),
    }
}

/// Evenly spread over all numbers, the same for the same arguments (splitmix64).
pub(super) fn random(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_films_and_they_are_awkward() {
        let films: Vec<_> = (0..200).map(|number| film(7, number)).collect();
        assert_eq!(format!("{films:?}"), format!("{:?}", (0..200).map(|n| film(7, n)).collect::<Vec<_>>()));
        assert_ne!(film(7, 0).title, film(8, 0).title);
        let any = |what: &str, test: fn(&Film) -> bool| assert!(films.iter().any(test), "none has {what}");
        any("a comma", |film| film.title.contains(','));
        any("a quote", |film| film.title.contains('"'));
        any("other letters", |film| !film.title.is_ascii());
        any("no year", |film| film.year.is_none());
        any("no ids but Trakt's", |film| film.ids.imdb.is_none() && film.ids.tmdb.is_none());
        assert_eq!(films[15].title, films[16].title);
        assert_ne!(films[15].year, films[16].year);
    }
}
