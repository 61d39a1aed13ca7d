//! Kubernetes quantities (`500m`, `1Gi`, `1e3`), exact. In: text. Out: a number of billionths. No cluster.
//!
//! The API server rewrites quantities (`1000m` becomes `1`): to compare a planned object with the live one, both sides
//! are read as numbers.

/// Billionths of one unit: the finest step that Kubernetes keeps.
const NANO: i128 = 1_000_000_000;

/// The quantity in billionths of its unit, or `None` when the text is no quantity.
///
/// Grammar: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
#[must_use]
pub fn nanos(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (mantissa, decimals) = decimal(number)?;
    let (factor, divisor) = scale(suffix)?;
    let value = mantissa.checked_mul(factor)?.checked_mul(NANO)?;
    let divisor = divisor.checked_mul(10_i128.checked_pow(decimals)?)?;
    Some(value / divisor)
}

/// The quantity in whole bytes, rounded down, or `None` when the text is no quantity or negative.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    u64::try_from(nanos(text)? / NANO).ok()
}

/// Digits without the point, and how many of them stand behind it.
fn decimal(number: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains(['+', '-', '.'])
        || (fraction.is_empty() && number.ends_with('.') && whole.is_empty())
    {
        return None;
    }
    let mantissa = format!("{whole}{fraction}").parse().ok()?;
    Some((mantissa, u32::try_from(fraction.len()).ok()?))
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let power = |base: i128, exponent| base.checked_pow(exponent);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (power(1000, 2)?, 1),
        "G" => (power(1000, 3)?, 1),
        "T" => (power(1000, 4)?, 1),
        "P" => (power(1000, 5)?, 1),
        "E" => (power(1000, 6)?, 1),
        "Ki" => (1024, 1),
        "Mi" => (power(1024, 2)?, 1),
        "Gi" => (power(1024, 3)?, 1),
        "Ti" => (power(1024, 4)?, 1),
        "Pi" => (power(1024, 5)?, 1),
        "Ei" => (power(1024, 6)?, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = power(10, exponent.unsigned_abs())?;
            if exponent < 0 { (1, size) } else { (size, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_amounts_in_other_words_are_equal() {
        for (a, b) in [("1000m", "1"), ("1Gi", "1024Mi"), ("1e3", "1k"), ("0.5", "500m"), ("1.5Gi", "1536Mi")]
        {
            assert_eq!(nanos(a), nanos(b), "{a} and {b}");
            assert!(nanos(a).is_some(), "{a}");
        }
        assert_ne!(nanos("1M"), nanos("1Mi"));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "Mi", "1MB", "1.2.3", "abc", "--1", "1e", "."] {
            assert_eq!(nanos(text), None, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_whole() {
        assert_eq!(bytes("512Mi"), Some(536_870_912));
        assert_eq!(bytes("1500m"), Some(1));
        assert_eq!(bytes("-1"), None);
    }
}
