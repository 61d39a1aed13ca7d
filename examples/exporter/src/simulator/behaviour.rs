//! How well the service works. In: JSON. Out: values that make sense, or what does not. Pure.

use serde::{Deserialize, Serialize};

use super::films::random;

/// How the service behaves. By default it is well.
///
/// `error_rate`, `drop_rate` and `malformed_rate` are shares of the requests, 0 to 1, and 1 together at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// How long every answer takes, in milliseconds, 60000 at most.
    pub latency_ms: u64,
    /// Answers of status 500, 502, 503 or 504.
    pub error_rate: f64,
    /// Answers that end in the middle, with the connection.
    pub drop_rate: f64,
    /// Answers of status 200 that are not JSON.
    pub malformed_rate: f64,
    /// More requests than this are answered with 429.
    pub rate_limit: Option<RateLimit>,
    /// What happens to the history while it is read.
    pub changes: Option<Changes>,
}

/// At most `requests` in each window of `window_seconds`, both from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// How many.
    pub requests: u64,
    /// In how many seconds.
    pub window_seconds: u64,
}

/// Before every `every`th page of the history that is read, one film is added and one is removed, as long as there are some
/// left to add and to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// From 1 on.
    pub every: u64,
    /// Films to add.
    #[serde(default)]
    pub additions: u64,
    /// Films to remove.
    #[serde(default)]
    pub removals: u64,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Error(u16),
    Drop,
    Malformed,
}

impl Behaviour {
    /// Whether the values make sense.
    ///
    /// # Errors
    /// The first one that does not, with what it may be.
    pub fn check(&self) -> Result<(), String> {
        let rates = [
            ("error_rate", self.error_rate),
            ("drop_rate", self.drop_rate),
            ("malformed_rate", self.malformed_rate),
        ];
        if self.latency_ms > 60_000 {
            return Err(format!("latency_ms: {} is more than a minute (60000)", self.latency_ms));
        }
        if let Some((name, rate)) = rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(format!("{name}: {rate} is no share; it must be 0 to 1"));
        }
        let sum: f64 = rates.iter().map(|(_, rate)| rate).sum();
        if sum > 1.0 {
            return Err(format!(
                "error_rate, drop_rate and malformed_rate make {sum} together; 1 is the most"
            ));
        }
        match (self.rate_limit, self.changes) {
            (Some(RateLimit { requests: 0, .. } | RateLimit { window_seconds: 0, .. }), _) => {
                Err("rate_limit: requests and window_seconds must be 1 at least; leave it out for no limit"
                    .to_owned())
            }
            (_, Some(Changes { every: 0, .. })) => Err("changes: every must be 1 at least".to_owned()),
            _ => Ok(()),
        }
    }

    /// What goes wrong with this request; the same for the same seed and number.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(super) fn fault(&self, seed: u64, number: u64) -> Option<Fault> {
        let draw = random(seed ^ 0xfa17, number);
        let share = (draw >> 11) as f64 / (1_u64 << 53) as f64;
        if share < self.error_rate {
            Some(Fault::Error([500, 502, 503, 504][(draw % 4) as usize]))
        } else if share < self.error_rate + self.drop_rate {
            Some(Fault::Drop)
        } else {
            (share < self.error_rate + self.drop_rate + self.malformed_rate).then_some(Fault::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_faults_is_the_rate_and_the_same_seed_gives_the_same_ones() {
        let behaviour = Behaviour { error_rate: 0.2, drop_rate: 0.1, ..Behaviour::default() };
        let faults = |seed| (0..10_000).map(|number| behaviour.fault(seed, number)).collect::<Vec<_>>();
        let errors = faults(1).iter().filter(|fault| matches!(fault, Some(Fault::Error(_)))).count();
        let drops = faults(1).iter().filter(|fault| **fault == Some(Fault::Drop)).count();
        assert!((1_800..2_200).contains(&errors), "{errors} errors");
        assert!((850..1_150).contains(&drops), "{drops} drops");
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (json, message) in [
            (r#"{"error_rate": 1.5}"#, "error_rate: 1.5 is no share"),
            (r#"{"drop_rate": -0.1}"#, "drop_rate: -0.1 is no share"),
            (r#"{"error_rate": 0.6, "malformed_rate": 0.6}"#, "make 1.2 together"),
            (r#"{"latency_ms": 60001}"#, "more than a minute"),
            (r#"{"rate_limit": {"requests": 0, "window_seconds": 1}}"#, "must be 1 at least"),
            (r#"{"changes": {"every": 0}}"#, "every must be 1 at least"),
        ] {
            let error = serde_json::from_str::<Behaviour>(json).unwrap().check().unwrap_err();
            assert!(error.contains(message), "{json}: {error}");
        }
        let error = serde_json::from_str::<Behaviour>(r#"{"eror_rate": 1}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `eror_rate`, expected one of"), "{error}");
    }
}
