//! PromQL series selectors as a profile gives them: parsed, checked, and written back with our matchers added.
//!
//! In: text. Out: [`Selector`]. No cluster. User text never reaches a rule as text: it is parsed and printed anew.

mod explain;
mod re2;

use std::fmt::{self, Write};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector};

/// The label that every generated query matches itself, so that two namespaces in one Prometheus never mix.
pub const NAMESPACE_LABEL: &str = "namespace";
/// Most matchers of one selector.
const MAX_MATCHERS: usize = 10;

/// A selector of one metric's series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// Matchers in the order given: label, operator (`=`, `!=`, `=~`, `!~`), value.
    pub matchers: Vec<(String, &'static str, String)>,
}

impl Selector {
    /// A selector of all series of a metric.
    #[must_use]
    pub fn new(metric: &str) -> Self {
        Self { metric: metric.to_owned(), matchers: Vec::new() }
    }

    /// Parses a plain selector like `http_requests_total{code!~"5.."}`.
    ///
    /// # Errors
    /// When the text is not a selector of one named metric, or Prometheus would refuse one of its matchers.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        match parser::parse(text) {
            Ok(Expr::VectorSelector(vector)) => Self::of(vector, text),
            Ok(_) => Err(SelectorError::shape(text, "it is more than a selector")),
            Err(said) => {
                let (column, reason) = explain::explain(text, &said);
                Err(SelectorError::Syntax { column, reason })
            }
        }
    }

    /// The selector in a parsed query; `text` is its own text, for the error.
    ///
    /// # Errors
    /// When it has more than one named metric and matchers, or Prometheus would refuse one of these.
    pub(crate) fn of(vector: VectorSelector, text: &str) -> Result<Self, SelectorError> {
        if vector.offset.is_some() || vector.at.is_some() {
            return Err(SelectorError::shape(text, "it has an offset or @ modifier"));
        }
        if !vector.matchers.or_matchers.is_empty() {
            return Err(SelectorError::shape(text, "it has alternatives (or)"));
        }
        let Some(metric) = vector.name else {
            return Err(SelectorError::shape(text, "it names no metric before the braces"));
        };
        let matchers = vector.matchers.matchers;
        if matchers.len() > MAX_MATCHERS {
            return Err(SelectorError::TooManyMatchers(matchers.len()));
        }
        let matchers = matchers.into_iter().map(checked).collect::<Result<_, _>>()?;
        Ok(Self { metric, matchers })
    }

    /// The same series of the metric with a suffix, for example `_bucket`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self { metric: format!("{}{suffix}", self.metric), matchers: self.matchers.clone() }
    }

    /// One more matcher.
    #[must_use]
    pub fn with_matcher(mut self, label: &str, operator: &'static str, value: impl Into<String>) -> Self {
        self.matchers.push((label.to_owned(), operator, value.into()));
        self
    }

    /// Only the series of one namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        self.with_matcher(NAMESPACE_LABEL, "=", namespace)
    }
}

/// A matcher that every Prometheus from version 2 on takes.
fn checked(matcher: Matcher) -> Result<(String, &'static str, String), SelectorError> {
    let Matcher { op, name, value } = matcher;
    if name == NAMESPACE_LABEL {
        return Err(SelectorError::ReservedLabel(name));
    }
    if !is_label_name(&name) {
        return Err(SelectorError::LabelName(name));
    }
    let operator = match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Re(_) => "=~",
        MatchOp::NotRe(_) => "!~",
    };
    if operator.contains('~') {
        re2::check(&value).map_err(|(offset, reason)| SelectorError::Regex {
            column: column(&value, offset),
            pattern: value.clone(),
            reason,
        })?;
    }
    Ok((name, operator, value))
}

/// A label name as Prometheus has always known it; other names need quotes that only newer ones read. `__name__` is the
/// metric's name, which stands before the braces.
fn is_label_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name != "__name__"
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        for (index, (label, operator, value)) in self.matchers.iter().enumerate() {
            f.write_char(if index == 0 { '{' } else { ',' })?;
            write!(f, "{label}{operator}{}", Quoted(value))?;
        }
        if self.matchers.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}

/// A PromQL string literal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// The column of a byte of a text: characters, from 1.
fn column(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < offset).count() + 1
}

/// Why a text is no usable selector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectorError {
    /// It is not PromQL.
    #[error("not PromQL, column {column}: {reason}")]
    Syntax {
        /// The first character that does not fit, from 1; behind the last one where something is missing at the end.
        column: usize,
        /// What stands there and what belongs there.
        reason: String,
    },
    /// It is PromQL, but not one metric with matchers.
    #[error("only one metric with matchers can be used; column {column}: {reason}")]
    Shape {
        /// Where the selector ends, or should have begun, from 1.
        column: usize,
        /// What stands there.
        reason: String,
    },
    /// It names a label that the operator sets.
    #[error("the label {0} is set by the operator")]
    ReservedLabel(String),
    /// A label's name is not `[a-zA-Z_][a-zA-Z0-9_]*`.
    #[error("{0:?} is not a label name that can be matched here")]
    LabelName(String),
    /// It has more matchers than anybody reads.
    #[error("{0} matchers are too many: at most {MAX_MATCHERS} are possible")]
    TooManyMatchers(usize),
    /// Prometheus cannot compile a regular expression.
    #[error("the regular expression {pattern:?} is not RE2, character {column}: {reason}")]
    Regex {
        /// The expression.
        pattern: String,
        /// The character of the expression that RE2 stops at, from 1.
        column: usize,
        /// What RE2 does not have.
        reason: &'static str,
    },
}

impl SelectorError {
    fn shape(text: &str, said: &str) -> Self {
        let (column, reason) = explain::explain(text, said);
        Self::Shape { column, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Selector {
        Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn plain_selectors_are_printed_canonically() {
        for (text, printed) in [
            ("http_requests_total", "http_requests_total"),
            ("up{}", "up"),
            (" job:errors:rate5m { code = '5\\'' , } # why", r#"job:errors:rate5m{code="5'"}"#),
            ("a{b=`\"\\n`,c!~\"x|y\",d!='',e=~\"5..\"}", r#"a{b="\"\\n",c!~"x|y",d!="",e=~"5.."}"#),
            (r#"a{b="$1 {{ x }}"}"#, r#"a{b="$1 {{ x }}"}"#),
            (r#"a{b="é\t\x01"}"#, r#"a{b="é\t\u0001"}"#),
            (r#"sum{by="x"}"#, r#"sum{by="x"}"#),
        ] {
            assert_eq!(parsed(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "a[5m]",
            "a offset 5m",
            "a @ 4",
            "rate(a[5m])",
            "(a)",
            "-a",
            "a + b",
            "1",
            "inf",
            "\"a\"",
            r#"a{b="c" or d="e"}"#,
            r#"{b="c"}"#,
            r#"{__name__="a"}"#,
            r#"{"a.b"}"#,
            r#"a{"b.c"="d"}"#,
        ] {
            let error = Selector::parse(text).unwrap_err();
            assert!(
                matches!(error, SelectorError::Shape { .. } | SelectorError::LabelName(_)),
                "{text}: {error}"
            );
        }
        for text in
            ["", "a{", "a{b}", "a{b=c}", r#"a{b=~"("}"#, r#"a{__name__="a"}"#, "a b", "é", r#"a{b="\é"}"#]
        {
            let error = Selector::parse(text).unwrap_err();
            assert!(matches!(error, SelectorError::Syntax { .. }), "{text}: {error}");
        }
        for operator in ["=", "!=", "=~", "!~"] {
            let error = Selector::parse(&format!("a{{b=\"c\",namespace{operator}\"x\"}}")).unwrap_err();
            assert_eq!(error, SelectorError::ReservedLabel("namespace".to_owned()));
        }
        let matchers = |count: usize| (0..count).map(|n| format!("l{n}=\"x\"")).collect::<Vec<_>>().join(",");
        assert!(Selector::parse(&format!("a{{{}}}", matchers(10))).is_ok());
        let eleven = Selector::parse(&format!("a{{{}}}", matchers(11))).unwrap_err();
        assert_eq!(eleven, SelectorError::TooManyMatchers(11));
        assert!(matches!(Selector::parse("a{b!~'x++'}"), Err(SelectorError::Regex { .. })));
    }

    #[test]
    fn derived_selectors_keep_their_matchers() {
        let selector = parsed(r#"h{route="/"}"#);
        assert_eq!(
            selector
                .with_suffix("_bucket")
                .with_matcher("le", "=~", "1|1\\.0")
                .in_namespace("media")
                .to_string(),
            r#"h_bucket{route="/",le=~"1|1\\.0",namespace="media"}"#
        );
        assert_eq!(selector.to_string(), r#"h{route="/"}"#);
    }

    /// Values drawn from what quoting can get wrong survive printing and parsing.
    #[test]
    fn printed_values_parse_to_themselves() {
        let pieces = [
            "\"", "'", "`", "\\", "\\\\", "\n", "\r", "\t", "\u{0}", "\u{7f}", "\u{85}", "é", "😀", "$",
            "{{", "}}", "#", "{", "}", ",", "=~", "\\n", "\\x41", "\u{2028}", "\u{feff}", " ", "x",
        ];
        let mut state = 7_u64;
        let mut draw = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % bound
        };
        for _ in 0..1000 {
            let mut selector = Selector::new("m:x_total");
            for label in ["a", "_b", "C0", "le"].iter().take(draw(4) + 1) {
                let value: String = (0..draw(7)).map(|_| pieces[draw(pieces.len())]).collect();
                selector = selector.with_matcher(label, ["=", "!="][draw(2)], value);
            }
            let text = selector.to_string();
            assert_eq!(parsed(&text), selector, "{text}");
        }
    }

    /// Nothing that can be typed into a profile stops the process.
    #[test]
    fn parsing_never_panics() {
        let pieces = [
            "a", "{", "}", "\"", "'", "`", "\\", "é", "=", "!~", "=~", ",", "[5m]", "(", ")", " ", "\n", "#",
            "@", "-", "or", "\\x", "\\u0", "\\07", "😀", "by", "(?", "*", "{2,1}", "[", "]", "^", "offset",
            "1e9", ":",
        ];
        let mut state = 1_u64;
        for round in 0..4_000_u64 {
            let mut text = String::from(if round % 2 == 0 { "a{b=~\"" } else { "" });
            for _ in 0..round % 11 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[usize::try_from(state >> 33).unwrap() % pieces.len()]);
            }
            if round % 2 == 0 {
                text.push_str("\"}");
            }
            if let Ok(selector) = Selector::parse(&text) {
                assert_eq!(parsed(&selector.to_string()), selector, "{text}");
            }
        }
    }
}
