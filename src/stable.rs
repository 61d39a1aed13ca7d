//! What another program says → a text that is the same at every look, so that a status which repeats it is not written
//! again and again. Pure.
//!
//! Left out are the ports that a connection happened to come from, the names of pods that were refused and never were, and
//! the queries of URLs, which may hold signatures.

use std::error::Error;

/// Longest text that is repeated, in characters.
const LONGEST: usize = 500;

/// The text without its changing parts, on one line, cut where it is too long.
#[must_use]
pub fn stable(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().map(word).collect();
    let mut kept: Vec<&str> = Vec::new();
    for word in &words {
        // The API server refuses `pods "trakt-collector-6d5f-x7k2p"`, with another name at each try.
        let name_of_refused_pod = kept.last() == Some(&"pods") && word.starts_with('"');
        if !name_of_refused_pod {
            kept.push(word);
        }
    }
    let text = kept.join(" ");
    if text.chars().count() > LONGEST {
        return text.chars().take(LONGEST).chain(" ...".chars()).collect();
    }
    text
}

fn word(word: &str) -> String {
    // `read tcp 10.0.0.2:40000->10.0.0.1:8081: i/o timeout`
    let word = word.rsplit_once("->").map_or(word, |(_, target)| target);
    match word.split_once("://").and_then(|(_, rest)| rest.split_once('?')) {
        Some((_, query)) => {
            let end: String = query.chars().skip_while(|c| !"\"',;)".contains(*c)).collect();
            let start = &word[..word.len() - query.len() - 1];
            format!("{start}{end}")
        }
        None => word.to_owned(),
    }
}

/// The innermost error: what the layers above add is addresses and repetition.
#[must_use]
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_look_to_look_is_left_out() {
        for (said, kept) in [
            (
                "lookup registry.invalid on 10.96.0.10:53: read udp 10.244.0.5:40123->10.96.0.10:53: i/o timeout",
                "lookup registry.invalid on 10.96.0.10:53: read udp 10.96.0.10:53: i/o timeout",
            ),
            (
                "pods \"trakt-collector-6d5f7-x7k2p\" is forbidden: exceeded quota: none",
                "pods is forbidden: exceeded quota: none",
            ),
            (
                "GET \"https://r.example/v2/a?X-Amz-Signature=secret&b=c\": 403",
                "GET \"https://r.example/v2/a\": 403",
            ),
            ("two\n  lines", "two lines"),
            ("is it? yes", "is it? yes"),
        ] {
            assert_eq!(stable(said), kept);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(stable(&"é".repeat(600)), format!("{} ...", "é".repeat(500)));
    }
}
