//! Exact decimals for thresholds and texts: a rule says 14.4 and 0.001, never 0.0009999999999999432. In: integers. Out:
//! text. No cluster.

use std::fmt;

/// `units` of 10^-`scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    units: u64,
    scale: u32,
}

impl Decimal {
    /// `units` of 10^-`scale`.
    #[must_use]
    pub const fn new(units: u64, scale: u32) -> Self {
        Self { units, scale }
    }

    /// The nearest float, which prints as this decimal does.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        // Both are exact below 2^53, so the quotient is the nearest one.
        self.units as f64 / 10_u64.pow(self.scale) as f64
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u64.pow(self.scale);
        let (whole, fraction) = (self.units / one, self.units % one);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:0width$}", width = self.scale as usize);
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_without_noise() {
        for (units, scale, text) in [
            (1440, 2, "14.4"),
            (100, 2, "1"),
            (1, 6, "0.000001"),
            (1000, 6, "0.001"),
            (0, 4, "0"),
            (7, 0, "7"),
        ] {
            assert_eq!(Decimal::new(units, scale).to_string(), text);
            assert_eq!(Decimal::new(units, scale).to_f64().to_string(), text);
        }
    }
}
