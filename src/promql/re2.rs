//! Regular expressions that the parser's engine takes and Prometheus' RE2 does not. In: a pattern that parsed. Out: the
//! reason why RE2 would refuse it. No cluster.
//!
//! One rule with such a pattern makes Prometheus refuse the whole rule file, so a doubtful pattern is refused here.

/// RE2's bound on nested repetition counts.
const MAX_REPETITIONS: u64 = 1000;

const STACKED: &str = "it repeats a repetition, such as x** or x{2}{3}";
const TOO_OFTEN: &str = "it repeats something more than 1000 times";
const ESCAPE: &str = "only escaped punctuation and \\a \\b \\d \\f \\n \\r \\s \\t \\v \\w \\x \\z (and their negations) are possible";
const FLAGS: &str = "only the flags i, m, s and U are possible";
const GROUP_NAME: &str = "a group's name has letters, digits and _ only";
const UNBALANCED: &str = "it closes a group that is not open";
const CLASS: &str = "a class cannot contain another class or &&, -- or ~~";

/// Checks a pattern that is well formed for the parser. A refusal has the byte where the part begins that RE2 refuses.
pub(super) fn check(pattern: &str) -> Result<(), (usize, &'static str)> {
    let mut scan = Scan { rest: pattern, open: vec![1], atom: 1, repeated: false };
    while let Some(c) = scan.rest.chars().next() {
        let at = pattern.len() - scan.rest.len();
        scan.step(c).map_err(|reason| (at, reason))?;
    }
    Ok(())
}

struct Scan<'a> {
    rest: &'a str,
    /// For each open group, the highest product of counts that was seen inside it.
    open: Vec<u64>,
    /// The highest product inside the last thing that could be repeated.
    atom: u64,
    /// The last thing was a repetition.
    repeated: bool,
}

impl Scan<'_> {
    fn step(&mut self, next: char) -> Result<(), &'static str> {
        match next {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.open_group(),
            ')' => self.close_group(),
            '*' | '+' | '?' => self.repetition(1, 1),
            '{' if let Some((most, length)) = counts(self.rest) => self.repetition(most, length),
            c => {
                self.literal(c.len_utf8());
                Ok(())
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn literal(&mut self, bytes: usize) {
        self.skip(bytes);
        self.atom = 1;
        self.repeated = false;
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let length = escape_length(self.rest)?;
        self.literal(length);
        Ok(())
    }

    fn class(&mut self) -> Result<(), &'static str> {
        let mut inside = self.rest[1..].trim_start_matches('^');
        // A bracket in the first place is a member of the class.
        inside = inside.strip_prefix(']').unwrap_or(inside);
        while let Some(c) = inside.chars().next() {
            let length = match c {
                ']' => break,
                '\\' => escape_length(inside)?,
                '[' if inside.starts_with("[:") => inside.find(":]").ok_or(CLASS)? + 2,
                '[' => return Err(CLASS),
                '&' | '-' | '~' if inside[1..].starts_with(c) => return Err(CLASS),
                c => c.len_utf8(),
            };
            inside = inside.get(length..).unwrap_or_default();
        }
        self.literal(self.rest.len() - inside.len() + 1);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), &'static str> {
        self.literal(1);
        if let Some(special) = self.rest.strip_prefix('?') {
            let named = special.strip_prefix("P<").or_else(|| special.strip_prefix('<'));
            if let Some(name) = named {
                let end = name.find('>').ok_or(GROUP_NAME)?;
                if !name[..end].chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err(GROUP_NAME);
                }
                self.skip(self.rest.len() - name.len() + end + 1);
            } else {
                let end = special.find([':', ')']).ok_or(FLAGS)?;
                if !special[..end].chars().all(|c| "imsU-".contains(c)) {
                    return Err(FLAGS);
                }
                let sets_flags_only = special[end..].starts_with(')');
                self.skip(end + 2);
                if sets_flags_only {
                    return Ok(());
                }
            }
        }
        self.open.push(1);
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), &'static str> {
        // The parser puts the pattern into a group of its own, where `a)(b` is well formed.
        let inside = self.open.pop().filter(|_| !self.open.is_empty()).ok_or(UNBALANCED)?;
        self.literal(1);
        self.atom = inside;
        self.seen(inside);
        Ok(())
    }

    fn repetition(&mut self, most: u64, length: usize) -> Result<(), &'static str> {
        if self.repeated {
            return Err(STACKED);
        }
        let product = self.atom.saturating_mul(most.max(1));
        if product > MAX_REPETITIONS {
            return Err(TOO_OFTEN);
        }
        self.seen(product);
        self.skip(length);
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        self.repeated = true;
        Ok(())
    }

    fn seen(&mut self, product: u64) {
        if let Some(highest) = self.open.last_mut() {
            *highest = (*highest).max(product);
        }
    }
}

/// Length of the escape sequence at the start of the text.
fn escape_length(text: &str) -> Result<usize, &'static str> {
    match text[1..].chars().next() {
        Some('x') if text[2..].starts_with('{') => text.find('}').map(|end| end + 1).ok_or(ESCAPE),
        Some(c) if c.is_ascii_punctuation() || "AabBdDfnrsStvwWxz".contains(c) => Ok(2),
        _ => Err(ESCAPE),
    }
}

/// The highest count and the length of `{n}`, `{n,}` or `{n,m}` at the start of the text; none when the brace is a literal.
fn counts(text: &str) -> Option<(u64, usize)> {
    let end = text.find('}')?;
    let (least, most) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if least.is_empty() || !digits(least) || !digits(most) {
        return None;
    }
    let count = |text: &str| {
        if text.is_empty() { 0 } else { text.parse().unwrap_or(u64::MAX) }
    };
    Some((count(least).max(count(most)), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_both_engines_pass() {
        for pattern in [
            "",
            "5..",
            "2..|3..",
            "a+?b*?c??",
            "(a{2,5}){100}",
            "[^]x]",
            "[]a]+",
            "[a-z-]",
            "[[:alpha:]_]",
            r"\.\d+\x41",
            r"\x{41}{3}",
            "(?i)x",
            "(?i-s:x)",
            "(?P<name_1>x)",
            "(?<n>x)",
            "a{b",
            "a{x}",
            "a{,3}",
            "/api/{id}/.*",
            r"[\d.]",
            "é+",
            r"(a|b)*",
            "a{1000}",
            r"\b\Bx\z",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_re2_refuses_do_not() {
        for (pattern, refused) in [
            ("x**", STACKED),
            ("x+*", STACKED),
            ("x{2}{3}", STACKED),
            ("x*?*", STACKED),
            ("(x**)", STACKED),
            ("x{1001}", TOO_OFTEN),
            ("((a{11}){10}){10}", TOO_OFTEN),
            ("(a{20}|b){51}", TOO_OFTEN),
            ("x{99999999999999999999}", TOO_OFTEN),
            (r"\p{Emoji}", ESCAPE),
            (r"\u{41}", ESCAPE),
            (r"[\p{Greek}]", ESCAPE),
            ("a)(b", UNBALANCED),
            ("(?i))(?:a", UNBALANCED),
            ("(?x) a", FLAGS),
            ("(?iu:x)", FLAGS),
            ("(?P<a.b>x)", GROUP_NAME),
            ("[[a]]", CLASS),
            ("[a&&b]", CLASS),
            ("[a--b]", CLASS),
        ] {
            let (at, reason) = check(pattern).expect_err(pattern);
            assert_eq!(reason, refused, "{pattern}");
            assert!(pattern.is_char_boundary(at) && at < pattern.len(), "{pattern}: {at}");
        }
    }
}
