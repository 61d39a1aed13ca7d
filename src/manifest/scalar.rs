//! An unquoted YAML word → the value that kubectl makes of it. Pure, no cluster.
//!
//! kubectl reads YAML 1.1: `on` is a boolean, `1_000` a number, `010` is eight. A check that reads otherwise would pass a
//! file that the API server refuses.

use serde_json::{Number, Value};

/// The value of an unquoted word.
///
/// # Errors
/// The word, when it is a number that JSON does not have.
pub(crate) fn resolve(word: &str) -> Result<Value, String> {
    Ok(match word {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => return Err(word.to_owned()),
        _ if matches!(word.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") => {
            return Err(word.to_owned());
        }
        _ => match number(&word.replace('_', "")) {
            Some(number) if word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                Value::Number(number)
            }
            _ => Value::from(word),
        },
    })
}

fn number(word: &str) -> Option<Number> {
    integer(word).or_else(|| float(word))
}

fn integer(word: &str) -> Option<Number> {
    let (negative, digits) = match word.strip_prefix(['+', '-']) {
        Some(digits) => (word.starts_with('-'), digits),
        None => (false, word),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match (lower.get(..2), lower.strip_prefix('0')) {
        (Some("0x"), _) => (16, &lower[2..]),
        (Some("0o"), _) => (8, &lower[2..]),
        (Some("0b"), _) => (2, &lower[2..]),
        (_, Some(octal)) if !octal.is_empty() => (8, octal),
        _ => (10, lower.as_str()),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    if negative {
        i64::from_str_radix(&format!("-{digits}"), radix).ok().map(Number::from)
    } else {
        u64::from_str_radix(digits, radix).ok().map(Number::from)
    }
}

/// A decimal; a whole one becomes an integer, because JSON has one type of number and the API server takes `1.0` for 1.
fn float(word: &str) -> Option<Number> {
    let digits = word.trim_start_matches(['+', '-']);
    let plain = digits.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    let value = word.parse::<f64>().ok().filter(|value| plain && value.is_finite())?;
    if value.fract() == 0.0 && value.abs() < 1e15 {
        // Below 2^53 every whole number is exact in both types.
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_become_what_kubectl_makes_of_them() {
        for (word, value) in [
            ("on", json!(true)),
            ("No", json!(false)),
            ("y", json!(true)),
            ("~", json!(null)),
            ("", json!(null)),
            ("1_000", json!(1000)),
            ("010", json!(8)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("-0b11", json!(-3)),
            ("+5", json!(5)),
            ("-5", json!(-5)),
            ("08", json!(8)),
            ("1.0", json!(1)),
            ("1.10", json!(1.1)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(resolve(word), Ok(value), "{word:?}");
        }
    }

    #[test]
    fn other_words_are_text() {
        for word in [
            "yEs",
            "nULL",
            "1.2.3",
            "30s",
            "12:30:00",
            "2026-01-31",
            "0x",
            "0b2",
            "_1",
            "e5",
            "1e",
            "-",
            ".",
            "=",
            "1e400",
            "infinity",
            "nan",
            "99.5%",
        ] {
            assert_eq!(resolve(word), Ok(json!(word)), "{word:?}");
        }
    }

    #[test]
    fn numbers_that_json_lacks_are_refused() {
        for word in [".nan", ".inf", "-.Inf"] {
            assert_eq!(resolve(word), Err(word.to_owned()));
        }
    }
}
