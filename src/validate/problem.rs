//! What can be wrong with a profile beyond schema and CEL, each with a code. In: findings. Out: one error. No cluster.

use std::fmt;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Code with an entry in docs/validation.md.
    pub code: &'static str,
    /// Path of the field, from `spec`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}: {}", self.code, self.path, self.message, self.fix)
    }
}

/// Everything that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ProfileError(pub Vec<Problem>);

impl ProfileError {
    /// One fixed word for the condition, the event and the metric label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        "InvalidProfile"
    }
}

/// Codes of the semantic checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Text that must be a PromQL series selector is none.
    Selector,
    /// A selector names a label that the operator sets.
    ReservedMatcher,
    /// No alert of a wanted severity can ever fire.
    AlertCannotFire,
    /// A memory limit is too small to run with.
    MemoryLimit,
    /// A port is out of range.
    Port,
    /// A label key is malformed.
    LabelKey,
    /// A duration does not fit to another one.
    Duration,
    /// A latency SLO's selector names no histogram.
    Histogram,
    /// A number of the schema's pattern cannot be read.
    Number,
    /// Spans of an operation are not all counted.
    Operation,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::Selector,
        Self::ReservedMatcher,
        Self::AlertCannotFire,
        Self::MemoryLimit,
        Self::Port,
        Self::LabelKey,
        Self::Duration,
        Self::Histogram,
        Self::Number,
        Self::Operation,
    ];

    /// The code as messages and documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Selector => "TP0301",
            Self::ReservedMatcher => "TP0302",
            Self::AlertCannotFire => "TP0303",
            Self::MemoryLimit => "TP0304",
            Self::Port => "TP0305",
            Self::LabelKey => "TP0306",
            Self::Duration => "TP0307",
            Self::Histogram => "TP0308",
            Self::Number => "TP0309",
            Self::Operation => "TP0310",
        }
    }
}

/// Findings as they gather.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, code: Code, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Problem {
            code: code.as_str(),
            path: path.to_owned(),
            message: message.into(),
            fix: fix.into(),
        });
    }

    /// Checks label keys: the schema of a map cannot bound its keys, and a pattern cannot bound the parts of one.
    pub(super) fn label_keys<'a>(&mut self, path: &str, keys: impl Iterator<Item = &'a String>) {
        for key in keys.filter(|key| !is_label_key(key)) {
            self.add(
                Code::LabelKey,
                path,
                format!("{key:?} is not a label key"),
                "write [prefix/]name: the name has at most 63 letters, digits, '-', '_' and '.', the prefix is a DNS name",
            );
        }
    }

    pub(super) fn into_result(self) -> Result<(), ProfileError> {
        if self.0.is_empty() { Ok(()) } else { Err(ProfileError(self.0)) }
    }
}

/// True for what Kubernetes takes as the key of a label.
pub(crate) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let edge = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let name_ok = name.len() <= 63
        && edge(name)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let prefix_ok = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|part| {
                edge(part) && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            })
    });
    name_ok && prefix_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys() {
        for key in ["app", "app.kubernetes.io/name", "a_b.c-d", "example.com/A"] {
            assert!(is_label_key(key), "{key}");
        }
        let long = "a".repeat(64);
        for key in ["", "-a", "a/b/c", "UPPER.com/x", "a b", "/x", "x/", long.as_str(), "a..b/x"] {
            assert!(!is_label_key(key), "{key}");
        }
    }
}
