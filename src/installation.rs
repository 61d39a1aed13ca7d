//! What one installation of the operator is called, and what its objects are called after it. In: a name from the command line.
//! Out: names. No cluster.

use std::fmt;
use std::str::FromStr;

/// The installation of somebody who gives it no name.
pub const DEFAULT: &str = "telemetry-operator";
/// The longest name: with `-webhook` it is still a DNS label of 63 characters. Helm's releases are no longer than this either.
const LONGEST: usize = 53;

/// Name of an installation. Its objects in the cluster have names made from it, so that two installations do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation(String);

impl Installation {
    /// The name itself: also that of the Lease, the account and the Deployment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Name of the admission policy and of its binding.
    #[must_use]
    pub fn policy(&self) -> String {
        format!("{self}-sidecar")
    }

    /// Name of the webhook's Service, Secret and MutatingWebhookConfiguration.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("{self}-webhook")
    }

    /// Name of the role that managed Prometheuses are bound to.
    #[must_use]
    pub fn prometheus_role(&self) -> String {
        format!("{self}-prometheus")
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for Installation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_label = text.chars().all(allowed)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-');
        if is_label && text.len() <= LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "write a name of at most {LONGEST} lower-case letters, digits and `-` that begins with a letter, for example {DEFAULT}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_called_after_the_installation() {
        let ours: Installation = "observe".parse().unwrap();
        assert_eq!(ours.policy(), "observe-sidecar");
        assert_eq!(ours.webhook(), "observe-webhook");
        assert_eq!(ours.prometheus_role(), "observe-prometheus");
    }

    #[test]
    fn a_name_that_no_object_could_have_is_refused() {
        for wrong in ["", "A", "a_b", "-a", "a-", "1a", &"a".repeat(54)] {
            assert!(wrong.parse::<Installation>().is_err(), "{wrong}");
        }
    }
}
