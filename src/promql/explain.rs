//! Where a text leaves the form of a selector, and why. In: a text that is none. Out: column and reason. No cluster.
//!
//! The parser's own messages have no position. This reader knows the one form that a profile may have,
//! `metric{label="value", …}`, and stops at the first character that does not fit. It explains only: what is accepted is the
//! parser's decision.

use promql_parser::parser::{self, Expr};

use super::Selector;

/// Most characters of a word that are quoted.
const SHOWN: usize = 40;

/// Where a reader stopped (characters before it) and why.
type Stop = (usize, String);

/// Column of the first character that does not fit, and the reason. Columns count characters from 1; where something is
/// missing at the end, it is the column behind the last one. `said` is the parser's message, for what this reader finds
/// nothing wrong with.
pub(super) fn explain(text: &str, said: &str) -> (usize, String) {
    let (before, reason) = fault(text).unwrap_or_else(|| (0, said.to_owned()));
    (before + 1, reason)
}

fn fault(text: &str) -> Option<Stop> {
    let mut reader = Reader { chars: text.chars().collect(), at: 0 };
    reader.selector().err()
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn selector(&mut self) -> Result<(), Stop> {
        self.space();
        let start = self.at;
        let name = self.take(|c| is_of_word(c) || c == ':');
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            self.at = start;
            return self.stop(match self.peek() {
                None => "there is no selector: name a metric".to_owned(),
                Some(_) => format!("found {}, where a metric's name belongs", self.found()),
            });
        }
        if !matches!(parser::parse(&name), Ok(Expr::VectorSelector(_))) {
            return Err((start, format!("`{name}` is a word of PromQL and cannot be a metric's name")));
        }
        let end = self.at;
        self.space();
        match self.peek() {
            None => return Ok(()),
            Some('{') => self.matchers()?,
            Some(c) => return self.stop(behind_name(&name, c, &self.found(), end < self.at)),
        }
        self.space();
        let left = self.found();
        if self.peek().is_none() {
            Ok(())
        } else {
            self.stop(format!("found {left} after the selector's end"))
        }
    }

    /// From the brace that opens to the one that closes.
    fn matchers(&mut self) -> Result<(), Stop> {
        let unclosed = |reader: &Self, open: usize| {
            reader.stop(format!("the brace that opens in column {} is not closed: add `}}`", open + 1))
        };
        let open = self.at;
        self.at += 1;
        self.space();
        while self.peek() != Some('}') {
            if self.peek().is_none() {
                return unclosed(self, open);
            }
            self.matcher()?;
            self.space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => break,
                None => return unclosed(self, open),
                Some(_) => {
                    let found = self.found();
                    return self
                        .stop(format!("found {found}, where a comma before the next label or `}}` belongs"));
                }
            }
            self.space();
        }
        self.at += 1;
        Ok(())
    }

    fn matcher(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let label = self.take(is_of_word);
        if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) {
            self.at = start;
            let found = self.found();
            return self.stop(format!("found {found}, where a label's name belongs"));
        }
        if label == "__name__" {
            return Err((start, "the metric's name stands before the braces already".to_owned()));
        }
        // The parser takes it for the operator wherever a space follows.
        if label.eq_ignore_ascii_case("or") && self.peek() == Some(' ') {
            return Err((start, "alternatives (or) are not possible: use a regular expression".to_owned()));
        }
        self.space();
        let is_pattern = self.operator(&label)?;
        self.space();
        let start = self.at;
        let value = self.value()?;
        if is_pattern {
            refused_pattern(&value).map_or(Ok(()), |reason| Err((start, reason)))
        } else {
            Ok(())
        }
    }

    /// True for an operator that takes a regular expression.
    fn operator(&mut self, label: &str) -> Result<bool, Stop> {
        let two: String = self.chars.iter().skip(self.at).take(2).collect();
        let (length, is_pattern, hint) = match two.as_str() {
            "=~" | "!~" => (2, true, None),
            "!=" => (2, false, None),
            "==" => (0, false, Some("equality has one `=`")),
            "~=" => (0, false, Some("a regular expression is matched by `=~`")),
            "<>" => (0, false, Some("inequality is `!=`")),
            _ if two.starts_with('=') => (1, false, None),
            _ if two.starts_with('~') => (0, false, Some("a regular expression is matched by `=~`")),
            _ if two.starts_with('!') => {
                (0, false, Some("inequality is `!=`, and `!~` for a regular expression"))
            }
            _ if two.starts_with(':') => (0, false, Some("write `=`")),
            _ => (0, false, Some("a value in quotes follows it")),
        };
        if let Some(hint) = hint {
            let found = self.found();
            return self
                .stop(format!("found {found}, where =, !=, =~ or !~ belongs after `{label}`: {hint}"));
        }
        self.at += length;
        Ok(is_pattern)
    }

    /// A quoted string's value.
    fn value(&mut self) -> Result<String, Stop> {
        let start = self.at;
        let quote = match self.peek() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return self.stop(self.no_value()),
        };
        self.at += 1;
        let mut value = String::new();
        while let Some(c) = self.peek() {
            match c {
                c if c == quote => {
                    self.at += 1;
                    return Ok(value);
                }
                '\n' if quote != '`' => return self.stop("a line ends inside quotes: write \\n"),
                '\\' => value.push(self.escape(quote)?),
                c => {
                    value.push(c);
                    self.at += 1;
                }
            }
        }
        Err((
            start,
            format!("the quote that opens here is not closed: add `{quote}`").replace("```", "a backtick"),
        ))
    }

    /// What is wrong where a value in quotes belongs.
    fn no_value(&self) -> String {
        let bare: String = self.chars[self.at..]
            .iter()
            .take_while(|c| !c.is_whitespace() && !"\"'`,{}".contains(**c))
            .collect();
        let hint = match bare.chars().next() {
            Some('~') => ": `=~` is one word, without a space".to_owned(),
            Some('=') => ": equality has one `=`".to_owned(),
            Some('“' | '”' | '„' | '‘' | '’') => ": use straight quotes (\")".to_owned(),
            Some(_) => format!(": write {}", super::Quoted(&bare)),
            None => String::new(),
        };
        format!("found {}, where a value in quotes belongs{hint}", self.found())
    }

    /// The character that an escape sequence stands for.
    fn escape(&mut self, quote: char) -> Result<char, Stop> {
        let rest: String = self.chars.iter().skip(self.at + 1).take(9).collect();
        let refused = || {
            let kind = rest.chars().next().map_or_else(|| "\\".to_owned(), |c| format!("\\{c}"));
            let note = if quote == '`' { " here, not even between backticks" } else { "" };
            let hint = "for a backslash in a regular expression write \\\\ between double quotes";
            (self.at, format!("{kind} is not an escape sequence{note}: {hint}"))
        };
        let simple = |c: char| match c {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' => Some('\\'),
            c if c == quote && quote != '`' => Some(c),
            _ => None,
        };
        let first = rest.chars().next().ok_or_else(refused)?;
        // Where the digits begin, how many there are, their base.
        let (skipped, digits, base) = match first {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => {
                let c = simple(first).ok_or_else(refused)?;
                self.at += 2;
                return Ok(c);
            }
        };
        let number: String = rest.chars().skip(skipped).take(digits).collect();
        let highest = if base == 8 { 255 } else { u32::MAX };
        let code = Some(number).filter(|number| number.chars().count() == digits);
        let code =
            code.and_then(|number| u32::from_str_radix(&number, base).ok()).filter(|code| *code <= highest);
        let c = code.and_then(char::from_u32).ok_or_else(refused)?;
        self.at += 1 + skipped + digits;
        Ok(c)
    }

    fn space(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                self.take(|c| c != '\n' && c != '\r');
            } else if !c.is_ascii_whitespace() {
                return;
            } else {
                self.at += 1;
            }
        }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let taken: String = self.chars[self.at..].iter().take_while(|c| belongs(**c)).collect();
        self.at += taken.chars().count();
        taken
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// The word or the character that comes next.
    fn found(&self) -> String {
        let word: String = self.chars[self.at..].iter().take_while(|c| is_of_word(**c)).take(SHOWN).collect();
        match self.peek() {
            None => "the end".to_owned(),
            Some(c) if word.is_empty() => shown(c),
            Some(_) => format!("`{word}`"),
        }
    }

    fn stop<T>(&self, reason: impl Into<String>) -> Result<T, Stop> {
        Err((self.at, reason.into()))
    }
}

fn shown(c: char) -> String {
    match c {
        '`' => "a backtick".to_owned(),
        c => format!("`{}`", if c.is_control() { c.escape_default().to_string() } else { c.to_string() }),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is wrong with what comes next behind a metric's name, when that is no brace.
fn behind_name(name: &str, next: char, found: &str, is_apart: bool) -> String {
    match next {
        '(' => {
            format!("`{name}(` calls a function: give its selector alone, the operator adds what it needs")
        }
        '[' => format!("found {found}: give no range, the operator adds its own"),
        '}' => format!("found {found}, and no brace is open: add `{{` after `{name}`"),
        '=' | '!' | '~' => format!("found {found} outside braces: write {name}{{label=\"value\"}}"),
        '"' | '\'' | '`' => format!("found {found} after the metric's name: matchers stand in braces"),
        '-' | '.' if !is_apart => {
            format!("found {found}: a metric's name has letters, digits, `_` and `:` only")
        }
        c if !c.is_ascii() && !is_apart => {
            format!("found {found}: a metric's name has letters, digits, `_` and `:` only")
        }
        _ => format!("found {found} after the metric's name, where only {{matchers}} can follow"),
    }
}

/// Why the parser cannot use a regular expression; none where it can.
fn refused_pattern(pattern: &str) -> Option<String> {
    let selector = Selector::new("x").with_matcher("x", "=~", pattern);
    parser::parse(&selector.to_string()).err()?;
    let (offset, why) = match regex_syntax::parse(pattern) {
        Err(regex_syntax::Error::Parse(error)) => (error.span().start.offset, error.kind().to_string()),
        Err(regex_syntax::Error::Translate(error)) => (error.span().start.offset, error.kind().to_string()),
        _ => return Some(format!("the regular expression {pattern:?} is too large")),
    };
    let column = super::column(pattern, offset);
    Some(format!("the regular expression {pattern:?} is wrong at its character {column}: {why}"))
}

#[cfg(test)]
mod tests;
