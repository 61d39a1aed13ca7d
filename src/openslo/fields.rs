//! Reading a document of which nothing may go by unseen. In: a document, and the fields that are known. Out: what is wrong with
//! them or left out, with lines. No cluster.

use serde_json::Value;

use super::Refusal;
use crate::manifest::document::{Document, join};

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is taken over.
    Taken,
    /// It tells something that a profile has no field for, and changes nothing.
    Told,
}

/// A document on its way to an SLO.
pub(super) struct Fields<'a> {
    pub file: &'a str,
    pub document: &'a Document,
    pub refusals: Vec<Refusal>,
    /// What a profile has no field for.
    pub left_out: Vec<String>,
}

impl<'a> Fields<'a> {
    pub fn new(file: &'a str, document: &'a Document) -> Self {
        Self { file, document, refusals: Vec::new(), left_out: Vec::new() }
    }

    pub fn refuse(&mut self, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        let line = self.document.line(path);
        let (file, path) = (self.file.to_owned(), path.to_owned());
        self.refusals.push(Refusal { file, line, path, message: message.into(), fix: fix.into() });
    }

    pub fn leave_out(&mut self, path: &str, why: &str) {
        self.left_out.push(format!("{}:{}: {path}: {why}", self.file, self.document.line(path)));
    }

    /// The value of the object at `path`, all of whose fields are among `known`.
    pub fn object(&mut self, path: &str, value: &'a Value, known: &[(&str, Use)]) -> Option<&'a Value> {
        let Some(object) = value.as_object() else {
            let message = if value.is_null() { "this is missing" } else { "this is no object" };
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            self.refuse(path, message, format!("write an object with {}", names.join(", ")));
            return None;
        };
        for (key, given) in object {
            let path = join(path, key);
            match known.iter().find(|(name, _)| name == key) {
                Some((_, Use::Taken)) => {}
                _ if given.is_null() => {}
                Some((_, Use::Told)) => self.leave_out(&path, "a profile's SLO has no such field"),
                None => self.refuse(&path, "a profile's SLO cannot have this", instead_of(key)),
            }
        }
        Some(value)
    }

    /// The one entry of the list at `path`, and its path.
    pub fn only(&mut self, path: &str, value: &'a Value, why: &str) -> Option<(String, &'a Value)> {
        match value.as_array().map(Vec::as_slice) {
            Some([only]) => Some((format!("{path}[0]"), only)),
            entries => {
                let count = entries.map_or(0, <[Value]>::len);
                self.refuse(path, format!("{count} entries: {why}"), "give a list with one entry");
                None
            }
        }
    }

    /// The text at `path`.
    pub fn text(&mut self, path: &str, value: &'a Value, example: &str) -> Option<&'a str> {
        if value.as_str().is_none() {
            let message = if value.is_null() { "this is missing" } else { "this is no text" };
            self.refuse(path, message, format!("write it like {example}"));
        }
        value.as_str()
    }
}

/// What to write instead of a field that cannot be taken over.
fn instead_of(key: &str) -> &'static str {
    match key {
        "thresholdMetric" | "raw" | "rawType" | "op" | "value" => {
            "count events instead: a ratioMetric with good or bad, and total"
        }
        "calendar" => "use a rolling period: duration and isRolling: true",
        "timeSliceTarget" | "timeSliceWindow" => "use budgetingMethod: Occurrences, which counts events",
        "compositeWeight" | "indicator" | "indicatorRef" => "write an SLO of its own for each objective",
        _ => "remove it, if the SLO means the same without; docs/slo-command.md says what can be taken over",
    }
}
