//! Which of many names somebody may have meant. In: a name and the known ones. Out: the most similar. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How similar a name must be to be told, of 1000.
const ENOUGH: u32 = 600;
/// How much less similar than the nearest one a name may be. The names of one application resemble each other.
const BEHIND: u32 = 150;
/// Parts of a name that many share.
const COMMON: [&str; 8] = ["total", "bucket", "count", "sum", "seconds", "bytes", "ratio", "info"];

/// The known names that are similar to `name`, the nearest first, `most` at most.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>, most: usize) -> Vec<String> {
    let scored: Vec<_> = known.map(|known| (similarity(name, known), known)).collect();
    let best = scored.iter().map(|(score, _)| *score).max().unwrap_or_default();
    let least = ENOUGH.max(best.saturating_sub(BEHIND));
    first(scored.into_iter().filter(|(score, _)| *score >= least), most)
}

/// Known names, the nearest to `name` first, `most` at most, however different they are.
pub(super) fn sorted_by_nearness<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str>,
    most: usize,
) -> Vec<String> {
    first(known.map(|known| (similarity(name, known), known)), most)
}

fn first<'k>(scored: impl Iterator<Item = (u32, &'k str)>, most: usize) -> Vec<String> {
    let mut scored: Vec<_> = scored.map(|(score, known)| (Reverse(score), known)).collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(most).map(|(_, known)| known.to_owned()).collect()
}

/// How similar two names are, of 1000: in their letters, or in the words that they are made of.
fn similarity(one: &str, other: &str) -> u32 {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let (shorter, longer) = {
        let (one, other) = (one.chars().count(), other.chars().count());
        (one.min(other), one.max(other).max(1))
    };
    // There may be thousands of names: those that cannot be similar are not compared.
    let letters = match share(shorter, longer) {
        possible if possible < ENOUGH => 0,
        _ => share(longer - strsim::osa_distance(&one, &other).min(longer), longer),
    };
    let (ours, theirs) = (words(&one), words(&other));
    let in_either = ours.union(&theirs).count();
    letters.max(share(ours.intersection(&theirs).count(), in_either))
}

fn words(name: &str) -> BTreeSet<&str> {
    name.split(['_', ':']).filter(|word| !word.is_empty() && !COMMON.contains(word)).collect()
}

fn share(part: usize, of: usize) -> u32 {
    u32::try_from(part * 1000 / of.max(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_found_the_nearest_first() {
        let known = [
            "go_goroutines",
            "http_requests_total",
            "http_server_requests_total",
            "orders_placed_total",
            "orders_placing_total",
            "process_cpu_seconds_total",
            "up",
        ];
        for (name, meant) in [
            ("http_requets_total", vec!["http_requests_total"]),
            ("requests_http", vec!["http_requests_total"]),
            ("HTTP_Requests_Total", vec!["http_requests_total"]),
            ("orders_placd_total", vec!["orders_placed_total", "orders_placing_total"]),
            ("x_total", vec![]),
            ("total", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(nearest(name, known.into_iter(), 3), meant, "{name}");
        }
        assert_eq!(nearest("orders_placd_total", known.into_iter(), 1), ["orders_placed_total"]);
    }

    #[test]
    fn values_are_sorted_by_nearness_and_then_by_name() {
        let known = ["500", "404", "400", "200"];
        assert_eq!(sorted_by_nearness("40x", known.into_iter(), 3), ["400", "404", "200"]);
    }
}
