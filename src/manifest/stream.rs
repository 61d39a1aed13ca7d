//! A text in pieces, a document each. In: a YAML stream, or JSON objects one after the other. Out: the same text with the
//! changed documents written anew; every other one comes out byte for byte. Pure, no cluster.

use serde_json::Value;

use super::document::{self, Document, SyntaxError};
use crate::yaml;

/// A document and the text that it stands in.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// What was read.
    pub document: Document,
    /// What shall be written in its place.
    pub changed: Option<Value>,
    text: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
}

/// Why a document cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// As YAML.
    #[error(transparent)]
    Yaml(#[from] yaml::YamlError),
    /// As JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Takes a text apart.
pub(crate) fn split(text: &str) -> Result<Vec<Piece>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Some(pieces) = split_json(text)
    {
        return Ok(pieces);
    }
    let documents = document::read(text)?;
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    // Each goes on to the line before the next one's first; what stands before the first document belongs to it.
    let mut ends: Vec<_> =
        documents.iter().skip(1).map(|document| document.start.saturating_sub(1)).collect();
    ends.push(lines.len());
    let mut begin = 0;
    let pieces = documents.into_iter().zip(ends).map(|(document, end)| {
        let end = end.clamp(begin, lines.len());
        let text = lines[begin..end].concat();
        begin = end;
        Piece { document, changed: None, text, form: Form::Yaml }
    });
    Ok(pieces.collect())
}

/// None when it is no JSON: a flow map of YAML begins like it.
fn split_json(text: &str) -> Option<Vec<Piece>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut pieces = Vec::new();
    let mut begin = 0;
    while let Some(value) = values.next() {
        let document = Document::of_value(value.ok()?);
        let text = text[begin..values.byte_offset()].trim().to_owned() + "\n";
        begin = values.byte_offset();
        pieces.push(Piece { document, changed: None, text, form: Form::Json });
    }
    Some(pieces)
}

/// Puts pieces together, also those of several texts.
pub(crate) fn join(pieces: &[Piece]) -> Result<String, WriteError> {
    let only_json = pieces.iter().all(|piece| piece.form == Form::Json);
    let mut out = String::new();
    for piece in pieces {
        let text = piece.written()?;
        if !out.is_empty() {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            if !only_json && !begins_document(&text) {
                out += "---\n";
            }
        }
        out += &text;
    }
    Ok(out)
}

impl Piece {
    fn written(&self) -> Result<String, WriteError> {
        Ok(match (&self.changed, self.form) {
            (None, _) => self.text.clone(),
            (Some(value), Form::Json) => serde_json::to_string_pretty(value)? + "\n",
            (Some(value), Form::Yaml) => self.head() + &yaml::to_string(value)?,
        })
    }

    /// The lines above the first value: comments and the mark of a document's beginning. Comments further down are lost with
    /// the text that they explain.
    fn head(&self) -> String {
        self.text.split_inclusive('\n').take_while(|line| is_head(line)).collect()
    }
}

fn is_head(line: &str) -> bool {
    let rest = line.strip_prefix("---").unwrap_or(line).trim_start();
    rest.is_empty() || rest.starts_with('#') || line.starts_with('%')
}

fn begins_document(text: &str) -> bool {
    let mut rest = text.lines().skip_while(|line| is_head(line) && !line.starts_with("---"));
    rest.next().is_some_and(|line| line.starts_with("---"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXTS: [&str; 9] = [
        "a: 1\n",
        "a: 1",
        "---\na: 1\n---\nb: 2 # two\n",
        "# head\n---\na: 1\n\n---\n# nothing\n---\nb: {c: 'on'}\n",
        "a: 1\n---\nb: |\n  ---x\n  text\n--- \nc: 3\n",
        "--- {a: 1}\n--- # two\nb: 2\n",
        "\r\n---\r\na: 1\r\n---\r\nb: 2\r\n",
        "{a: b}\n",
        "{\"a\": 1}\n",
    ];

    fn values(pieces: &[Piece]) -> Vec<Value> {
        pieces.iter().map(|piece| piece.document.value.clone()).collect()
    }

    #[test]
    fn what_nobody_changes_comes_out_byte_for_byte() {
        for text in TEXTS {
            let pieces = split(text).unwrap();
            assert_eq!(join(&pieces).unwrap(), text, "{text:?}");
            let documents = document::read(text).unwrap();
            let read: Vec<_> = documents.into_iter().map(|document| document.value).collect();
            assert_eq!(values(&pieces), read, "{text:?}");
        }
        assert_eq!(join(&split("").unwrap()).unwrap(), "");
        assert_eq!(join(&split("\u{feff}a: 1\n").unwrap()).unwrap(), "a: 1\n");
    }

    /// Whichever documents are written anew, readers find the same values in the same order.
    #[test]
    fn changed_documents_keep_their_place() {
        for text in TEXTS {
            let pieces = split(text).unwrap();
            for chosen in 0_u32..1 << pieces.len() {
                let mut pieces = pieces.clone();
                let mut wanted = values(&pieces);
                for (index, piece) in
                    pieces.iter_mut().enumerate().filter(|(index, _)| chosen >> index & 1 == 1)
                {
                    wanted[index] = json!({"changed": index, "text": ["on", "1e3", "0x1F", 1.5, 7, null]});
                    piece.changed = Some(wanted[index].clone());
                }
                let joined = join(&pieces).unwrap();
                assert_eq!(values(&split(&joined).unwrap()), wanted, "{text:?} became {joined:?}");
            }
        }
    }

    #[test]
    fn comments_above_a_changed_document_stay() {
        let mut pieces = split("# licence\n---\n# web\nkind: A\n# lost\n---\nkind: B\n").unwrap();
        pieces[0].changed = Some(json!({"kind": "C"}));
        assert_eq!(join(&pieces).unwrap(), "# licence\n---\n# web\nkind: C\n---\nkind: B\n");
    }

    #[test]
    fn json_stays_json_and_texts_are_joined_as_one_stream() {
        let json = split("{\"a\": 1}{\"b\": 1.50}\n\n {\"c\": 3}").unwrap();
        assert_eq!(values(&json), [json!({"a": 1}), json!({"b": 1.5}), json!({"c": 3})]);
        assert_eq!(join(&json).unwrap(), "{\"a\": 1}\n{\"b\": 1.50}\n{\"c\": 3}\n");
        let mut both = split("x: 1").unwrap();
        both.extend(json);
        both[1].changed = Some(json!({"a": "no"}));
        let joined = join(&both).unwrap();
        assert_eq!(
            values(&split(&joined).unwrap()),
            [json!({"x": 1}), json!({"a": "no"}), json!({"b": 1.5}), json!({"c": 3})],
            "{joined}"
        );
    }

    #[test]
    fn a_broken_text_is_told_with_its_line() {
        for text in ["a: 1\nb: [\n", "{\"a\": 1", "{\"a\": 1} x", "{\"a\": 1}{", "a: .nan\n"] {
            assert!(split(text).is_err(), "{text:?}");
        }
        assert_eq!(split("a: 1\n---\nb: .nan\n").unwrap_err().line, 3);
    }
}
