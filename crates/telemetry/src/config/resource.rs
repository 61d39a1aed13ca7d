//! In: the value of `OTEL_RESOURCE_ATTRIBUTES`, `key=value` pairs with commas between them, percent-encoded as in W3C
//! baggage. Out: the attributes. Pure.

use super::{TelemetryConfig, control_character};

/// Reads the attributes. One fault makes the whole value unusable, as the specification has it.
pub(super) fn parse(value: &str) -> Result<Vec<(String, String)>, String> {
    let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(entry).collect()
}

fn entry(entry: &str) -> Result<(String, String), String> {
    let shown = entry.escape_debug();
    let (key, value) = entry.split_once('=').ok_or_else(|| format!("`{shown}` has no ="))?;
    let (key, value) = (decode(key.trim())?, decode(value.trim())?);
    if key.is_empty() {
        return Err(format!("`{shown}` has no key"));
    }
    if let Some(reason) = control_character(&key).or_else(|| control_character(&value)) {
        return Err(format!("`{shown}` {reason}"));
    }
    Ok((key, value))
}

fn decode(text: &str) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.ok_or_else(|| {
            let shown: String = part.chars().take(2).flat_map(char::escape_debug).collect();
            format!("`%{shown}` is no percent-encoded character (a percent sign itself is %25)")
        })?;
        bytes.push(byte);
        bytes.extend(part.bytes().skip(2));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Puts what the configuration has a field for into it, and gives back the others.
pub(super) fn take_identity(
    attributes: Vec<(String, String)>,
    config: &mut TelemetryConfig,
) -> Vec<(String, String)> {
    let value = |key: &str| {
        attributes
            .iter()
            .rev()
            .find(|(name, value)| name == key && !value.is_empty())
            .map(|(_, value)| value.clone())
    };
    let put = |field: &mut String, value: Option<String>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    put(&mut config.service_name, value("service.name"));
    put(&mut config.service_version, value("service.version"));
    put(
        &mut config.environment,
        value("deployment.environment.name").or_else(|| value("deployment.environment")),
    );
    let ours = ["service.name", "service.version", "deployment.environment.name", "deployment.environment"];
    attributes.into_iter().filter(|(key, _)| !ours.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attributes_are_read_by_the_rules_of_baggage() {
        for (value, expected) in [
            ("a=1,b=2", pairs(&[("a", "1"), ("b", "2")])),
            (" a = 1 ,, b = 2 ,", pairs(&[("a", "1"), ("b", "2")])),
            ("a=b=c;d", pairs(&[("a", "b=c;d")])),
            ("a=%2C%3D%25%20,b%2Cc=+", pairs(&[("a", ",=% "), ("b,c", "+")])),
            ("a=caf%C3%A9,b=%FF", pairs(&[("a", "café"), ("b", "\u{FFFD}")])),
            ("a=é", pairs(&[("a", "é")])),
            ("a=", pairs(&[("a", "")])),
        ] {
            assert_eq!(parse(value).as_ref(), Ok(&expected), "{value}");
        }
    }

    #[test]
    fn one_fault_makes_the_whole_value_unusable() {
        for (value, reason) in [
            ("a=1,b", "`b` has no ="),
            ("a=1,=2", "`=2` has no key"),
            ("a=%zz", "`%zz` is no percent-encoded character"),
            ("a=%2", "`%2` is no percent-encoded character"),
            ("a=%é1", "`%é1` is no percent-encoded character"),
            ("a=100%", "`%` is no percent-encoded character"),
            ("a=1%0A2", "contains the control character '\\n'"),
        ] {
            let told = parse(value).expect_err(value);
            assert!(told.contains(reason), "{value}: {told}");
        }
    }

    #[test]
    fn what_has_a_field_goes_there_and_the_newer_name_wins() {
        let mut config = TelemetryConfig { environment: "old".to_owned(), ..TelemetryConfig::default() };
        let attributes = pairs(&[
            ("deployment.environment.name", "new"),
            ("deployment.environment", "older"),
            ("service.name", "first"),
            ("service.name", "last"),
            ("service.version", ""),
            ("k8s.pod.name", "pod-1"),
        ]);
        assert_eq!(take_identity(attributes, &mut config), pairs(&[("k8s.pod.name", "pod-1")]));
        assert_eq!((config.environment.as_str(), config.service_name.as_str()), ("new", "last"));
        assert_eq!(config.service_version, "");
    }
}
