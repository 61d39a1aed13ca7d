//! YAML with comments, written from top to bottom. In: fields and what is to be said of them. Out: text. No cluster.
//!
//! Values go through the one YAML writer of this crate; a comment can hold any text, and stays a comment.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::yaml::{self, YamlError};

/// Where a comment goes on in the next line.
const LONGEST: usize = 100;

/// The document so far.
#[derive(Default)]
pub(super) struct Commented {
    text: String,
    depth: usize,
}

impl Commented {
    /// A comment, over as many lines as it takes.
    pub(super) fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in on_one_line(text).split(' ') {
            if line.len() > 1 && line.len() + 1 + word.len() > LONGEST {
                self.line(&line);
                line.truncate(1);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    /// A field with its whole value.
    pub(super) fn field(&mut self, name: &str, value: impl Serialize) -> Result<(), YamlError> {
        let text = yaml::to_string(&BTreeMap::from([(name, value)]))?;
        text.lines().for_each(|line| self.line(line));
        Ok(())
    }

    /// A field whose value is what `body` writes: at least one field.
    pub(super) fn section(
        &mut self,
        name: &str,
        body: impl FnOnce(&mut Self) -> Result<(), YamlError>,
    ) -> Result<(), YamlError> {
        self.line(&format!("{name}:"));
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: &str) {
        let indent = if line.is_empty() { 0 } else { 2 * self.depth };
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The text with everything escaped that a YAML reader could take for the end of a line, or refuse.
fn on_one_line(text: &str) -> String {
    let breaks = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
    };
    text.chars().map(|c| if breaks(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Commented;

    #[test]
    fn no_comment_and_no_value_breaks_out() {
        let mut document = Commented::default();
        let hostile = "a\nb: 1\r\u{85}c: 2\u{2028}d: 3\u{2029}\u{0}\u{FEFF}--- # \t\"'";
        document
            .section("outer", |document| {
                document.comment(hostile);
                document.field("text", hostile)?;
                document.field("list", json!(["on", "1", {"a.b/c": "- x"}]))?;
                document.comment(hostile);
                document.section("inner", |document| document.field("flag", true))
            })
            .expect("YAML");
        let text = document.into_text();
        let read: Value = serde_yaml::from_str(&text).expect(&text);
        let meant = json!({"outer": {"text": hostile, "list": ["on", "1", {"a.b/c": "- x"}], "inner": {"flag": true}}});
        assert_eq!(read, meant, "{text}");
    }
}
