//! Text for its reader: Markdown with Grafana's variables, and strings in PromQL and LogQL. No cluster.

use std::fmt::Write as _;

use crate::promql::Selector;

/// Free text for a panel's description, which Grafana puts through its variables, then through Markdown, then through
/// HTML. Whatever one of the three could act on becomes a character reference, which only the last one resolves.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || c == '\u{2028}' || c == '\u{2029}' {
            escaped.push(' ');
        } else if c.is_ascii_punctuation() && !",.;:()/'%?!-".contains(c) {
            let _ = write!(escaped, "&#{};", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Matchers `label="value"` for PromQL and LogQL, which quote strings alike; the braces are the template's.
pub(super) fn matchers(pairs: &[(&str, &str)]) -> String {
    let nameless = Selector::new("");
    let selector =
        pairs.iter().fold(nameless, |selector, (label, value)| selector.with_matcher(label, "=", *value));
    selector.to_string().trim_start_matches('{').trim_end_matches('}').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_for_grafana_markdown_or_html_to_act_on() {
        let text =
            "Costs $x or ${y}, [[z]] {{w}} \"quoted\"\n<script>alert(1)</script> *a* `b` [c](d) ~e~ #f & |";
        let escaped = markdown(text);
        for forbidden in ["$", "[", "]", "{", "}", "<", ">", "\"", "\n", "*", "`", "~", "|", "_"] {
            assert!(!escaped.contains(forbidden), "{forbidden} in {escaped}");
        }
        assert_eq!(markdown("a & b_c <d>"), "a &#38; b&#95;c &#60;d&#62;");
        assert_eq!(markdown("Exports, 95 % done (or more): ok?"), "Exports, 95 % done (or more): ok?");
        assert_eq!(markdown("später\u{7}\tnoch"), "später  noch");
    }

    #[test]
    fn matchers_quote() {
        assert_eq!(matchers(&[("a", "{x}"), ("b", "q\"\\\n}")]), r#"a="{x}",b="q\"\\\n}""#);
    }
}
