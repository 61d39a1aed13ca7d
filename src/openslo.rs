//! SLOs as OpenSLO v1 documents, and back: [`export`](export()) and [`import`](import()). Pure, no cluster.
//!
//! Both can say: a share of good events, counted by two Prometheus counters, over a rolling period of days. Latency is that, too:
//! a histogram's bucket among its count. Whatever else an OpenSLO document asks for is refused, with its line. What it only
//! tells (a description, a display name) or what a profile does in its own way (alerts) is named in a comment, and so is what of
//! an SLO OpenSLO has no words for.

mod export;
mod fields;
mod import;
mod query;
#[cfg(test)]
mod tests;

use std::fmt;

pub use export::export;
pub use import::import;

use crate::yaml::YamlError;

/// `apiVersion` of the documents.
const VERSION: &str = "openslo/v1";

/// Something in an OpenSLO file that a profile cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file as it was named.
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Path of the field; empty for the whole document.
    pub path: String,
    /// What cannot be, and why.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}\n    fix: {}", self.message, self.fix)
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum OpenSloError {
    /// The file says what a profile cannot.
    #[error("{} of the file cannot be taken over{}", count(.0), lines(.0))]
    Refused(Vec<Refusal>),
    /// It cannot be written.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

fn count(refusals: &[Refusal]) -> String {
    if refusals.len() == 1 { "one thing".to_owned() } else { format!("{} things", refusals.len()) }
}

fn lines(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| format!("\n{refusal}")).collect()
}
