//! The text of a YAML or JSON file → its documents: values as kubectl reads them, and the line of every field. Pure, no
//! cluster.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::scalar;

/// Deeper than any Kubernetes object, and shallow enough for the stack.
const MAX_DEPTH: usize = 64;
/// More than fits into one Kubernetes object; aliases of aliases grow without end.
const MAX_NODES: usize = 200_000;

/// One document of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// The line on which it begins: that of `---`, where there is one.
    pub start: usize,
    /// What it holds; null when it is empty.
    pub value: Value,
    /// Keys that stand twice in one map: path, and line of the first.
    pub duplicates: Vec<(String, usize)>,
    places: BTreeMap<String, Place>,
    prefix: String,
}

#[derive(Clone, Debug)]
struct Place {
    line: usize,
    /// An unquoted word that is not text.
    word: Option<String>,
}

/// Why a text is neither YAML nor JSON.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Document {
    /// A document of which only the value is known.
    pub(crate) fn of_value(value: Value) -> Self {
        Self { value, start: 1, ..Self::default() }
    }

    /// The line of the field at `path`, or of the nearest field around it.
    pub(crate) fn line(&self, path: &str) -> usize {
        self.place(path).map_or(1, |place| place.line)
    }

    /// The unquoted word at `path`, if it stands for something else than text.
    pub(crate) fn word(&self, path: &str) -> Option<&str> {
        self.places.get(&join(&self.prefix, path))?.word.as_deref()
    }

    /// The documents in a `List`, as `kubectl get -o yaml` prints it, or this one.
    pub(crate) fn expand(mut self) -> Vec<Self> {
        let Some(items) = items(&mut self.value).map(std::mem::take) else {
            return vec![self];
        };
        let item = |(index, value)| Self {
            start: self.start,
            value,
            duplicates: Vec::new(),
            places: self.places.clone(),
            prefix: format!("items[{index}]"),
        };
        let mut documents: Vec<_> = items.into_iter().enumerate().map(item).collect();
        if let Some(first) = documents.first_mut() {
            first.duplicates = self.duplicates;
        }
        documents
    }

    fn place(&self, path: &str) -> Option<&Place> {
        let path = join(&self.prefix, path);
        let mut path = path.as_str();
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// The objects in a `List`; none for any other object.
pub(crate) fn items(value: &mut Value) -> Option<&mut Vec<Value>> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    value.get_mut("items").and_then(Value::as_array_mut).filter(|_| is_list)
}

/// Reads every document of a text. Empty ones come out as null.
pub(crate) fn read(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut events = Parser::new_from_str(text);
    let mut documents = Vec::new();
    while let Some(event) = events.next() {
        let (event, span) = event.map_err(SyntaxError::from)?;
        if let Event::DocumentStart(..) = event {
            documents.push(Reader::new(&mut events).document(span.start.line())?);
        }
    }
    Ok(documents)
}

/// `a.b`, as the API server writes paths; a map's keys, too, come after a dot.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() || key.is_empty() { format!("{path}{key}") } else { format!("{path}.{key}") }
}

impl From<granit_parser::ScanError> for SyntaxError {
    fn from(error: granit_parser::ScanError) -> Self {
        Self { line: error.marker().line(), message: error.info() }
    }
}

struct Reader<'r, 't> {
    events: &'r mut Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, (Value, usize)>,
    document: Document,
    nodes: usize,
}

impl<'r, 't> Reader<'r, 't> {
    fn new(events: &'r mut Parser<'t, StrInput<'t>>) -> Self {
        Self { events, anchors: BTreeMap::new(), document: Document::default(), nodes: 0 }
    }

    fn document(mut self, line: usize) -> Result<Document, SyntaxError> {
        self.document.start = line;
        let (event, span) = self.next(line)?;
        self.place("", &span, None);
        self.document.value = self.node(event, &span, "", 0)?;
        Ok(self.document)
    }

    fn next(&mut self, line: usize) -> Result<(Event<'t>, Span), SyntaxError> {
        loop {
            match self.events.next() {
                // Comments come as events, too.
                Some(Ok((event, _))) if !event.is_node() && !is_end(&event) => {}
                Some(event) => return Ok(event?),
                None => {
                    return Err(SyntaxError { line, message: "the file ends within a document".to_owned() });
                }
            }
        }
    }

    fn place(&mut self, path: &str, span: &Span, word: Option<String>) {
        self.document.places.insert(path.to_owned(), Place { line: span.start.line(), word });
    }

    fn node(
        &mut self,
        event: Event<'t>,
        span: &Span,
        path: &str,
        depth: usize,
    ) -> Result<Value, SyntaxError> {
        let line = span.start.line();
        let error = |message: String| SyntaxError { line, message };
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(error("too deep or too large for a Kubernetes object".to_owned()));
        }
        let before = self.nodes;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref()).map_err(error)?;
                if style == ScalarStyle::Plain
                    && !value.is_string()
                    && let Some(place) = self.document.places.get_mut(path)
                {
                    place.word = Some(text.into_owned());
                }
                (anchor, value)
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(line, path, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(line, path, depth)?),
            Event::Alias(id) => {
                let (value, nodes) =
                    self.anchors.get(&id).cloned().ok_or_else(|| error("unknown alias".to_owned()))?;
                self.nodes += nodes;
                return Ok(value);
            }
            other => return Err(error(format!("unexpected {other:?}"))),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before + 1));
        }
        Ok(value)
    }

    fn list(&mut self, line: usize, path: &str, depth: usize) -> Result<Value, SyntaxError> {
        let mut list = Vec::new();
        loop {
            let (event, span) = self.next(line)?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(list));
            }
            let path = format!("{path}[{}]", list.len());
            self.place(&path, &span, None);
            list.push(self.node(event, &span, &path, depth + 1)?);
        }
    }

    fn map(&mut self, line: usize, path: &str, depth: usize) -> Result<Value, SyntaxError> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, key_span) = self.next(line)?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = key(event, &key_span)?;
            let (event, span) = self.next(key_span.start.line())?;
            let path = join(path, &key);
            if map.contains_key(&key) {
                let first = self.document.line(&path);
                self.document.duplicates.push((path.clone(), first));
            }
            self.place(&path, &key_span, None);
            let value = self.node(event, &span, &path, depth + 1)?;
            if merge {
                merged.push(value);
            } else {
                map.insert(key, value);
            }
        }
        for value in merged {
            merge_into(&mut map, value);
        }
        Ok(Value::Object(map))
    }
}

fn is_end(event: &Event<'_>) -> bool {
    matches!(event, Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd)
}

/// What `<<` brings: a map, or a list of maps; what stands there already wins.
fn merge_into(map: &mut Map<String, Value>, merged: Value) {
    match merged {
        Value::Object(other) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(list) => list.into_iter().for_each(|value| merge_into(map, value)),
        _ => {}
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let resolved = match tag.map(|tag| tag.core_suffix()) {
        None => style == ScalarStyle::Plain,
        Some(suffix) => suffix.is_some_and(|suffix| suffix != "str"),
    };
    if resolved {
        scalar::resolve(text)
            .map_err(|word| format!("JSON has no number {word}: write it in quotes if it is text"))
    } else {
        Ok(Value::from(text))
    }
}

/// A key as text: kubectl turns numbers and booleans into text.
fn key(event: Event<'_>, span: &Span) -> Result<String, SyntaxError> {
    let error = |message: &str| SyntaxError { line: span.start.line(), message: message.to_owned() };
    match event {
        Event::Scalar(text, style, _, tag) => match scalar(&text, style, tag.as_deref()) {
            Ok(Value::String(text)) => Ok(text),
            Ok(Value::Bool(flag)) => Ok(flag.to_string()),
            Ok(Value::Number(number)) => Ok(number.to_string()),
            Ok(_) => Err(error("a key is empty: write it in quotes if it is text")),
            Err(message) => Err(error(&message)),
        },
        _ => Err(error("a key must be a single word")),
    }
}
