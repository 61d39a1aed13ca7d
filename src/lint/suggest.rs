//! What somebody meant by a misspelt word. In: the word and the known ones. Out: the nearest. No cluster.

/// The known word that is nearest to `word`, if one is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
    known
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspelt_words_are_recognized_and_others_are_not() {
        let known = ["objective", "window", "name", "at"];
        for (word, meant) in [
            ("objectiv", Some("objective")),
            ("Window", Some("window")),
            ("nmae", Some("name")),
            ("colour", None),
            ("to", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }
}
