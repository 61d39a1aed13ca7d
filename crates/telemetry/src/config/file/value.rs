//! In: one value of a TOML file. Out: the same in its field of the configuration, or what to write instead. Pure.

use toml::de::{DeInteger, DeValue};

/// Where a value belongs, and so what it must be.
pub(super) enum Field<'c> {
    Flag(&'c mut bool),
    Text(&'c mut String),
    Url(&'c mut Option<String>),
    /// A number from 0 to 1. The bounds are checked with all other values, since code can break them, too.
    Share(&'c mut f64),
    /// 1 to 65535. 0 has a meaning, but in code only.
    Port(&'c mut u16),
}

impl Field<'_> {
    /// Puts the value of the key `name` in; an error is the reason why it does not fit.
    pub(super) fn read(self, name: &str, value: &DeValue<'_>) -> Result<(), String> {
        match self {
            Self::Flag(flag) => *flag = read_flag(name, value)?,
            Self::Text(text) => *text = read_text(name, value)?,
            Self::Url(url) => *url = Some(read_text(name, value)?),
            Self::Share(share) => *share = read_share(name, value)?,
            Self::Port(port) => *port = read_port(name, value)?,
        }
        Ok(())
    }
}

fn read_flag(name: &str, value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(flag) => Ok(*flag),
        DeValue::String(text) => match text.to_lowercase().as_str() {
            word @ ("true" | "false") => Err(format!("a word in quotes is text: write {name} = {word}")),
            _ => Err("must be true or false, not text".to_owned()),
        },
        other => Err(format!("must be true or false, not {}", kind(other))),
    }
}

fn read_text(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    let number = match value {
        DeValue::String(text) => return Ok(text.to_string()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        other => return Err(format!("must be text in quotes, not {}", kind(other))),
    };
    Err(format!("a number without quotes is not text: write {name} = \"{number}\""))
}

fn read_share(name: &str, value: &DeValue<'_>) -> Result<f64, String> {
    let number = match value {
        DeValue::Float(number) => number.as_str().parse().unwrap_or(f64::NAN),
        DeValue::Integer(number) => whole(number).map_or(f64::INFINITY, |number| number as f64),
        DeValue::String(text) => {
            return Err(match text.parse::<f64>() {
                Ok(number) => format!("a number in quotes is text: write {name} = {number}"),
                Err(_) => "must be a number from 0 to 1, not text".to_owned(),
            });
        }
        other => return Err(format!("must be a number from 0 to 1, not {}", kind(other))),
    };
    // TOML has -0.0, and nobody wants to read it back.
    Ok(if number == 0.0 { 0.0 } else { number })
}

fn read_port(name: &str, value: &DeValue<'_>) -> Result<u16, String> {
    let wanted = "a whole number from 1 to 65535";
    match value {
        DeValue::Integer(number) => whole(number)
            .and_then(|number| u16::try_from(number).ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("{number} is out of range: write {wanted}")),
        DeValue::Float(number) => Err(format!("{number} has a decimal point: write {wanted}")),
        DeValue::String(text) => Err(match text.parse::<u16>() {
            Ok(number) => format!("a number in quotes is text: write {name} = {number}"),
            Err(_) => format!("must be {wanted}, not text"),
        }),
        other => Err(format!("must be {wanted}, not {}", kind(other))),
    }
}

fn whole(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
