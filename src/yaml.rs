//! YAML as every file that the operator produces is written. In: anything serializable. Out: text. No cluster.
//!
//! Strings that a YAML 1.1 reader takes for something else (`on`, `no`, `1_000`, `12:30:00`) come out quoted: collector,
//! Prometheus and kubectl do not agree on such words, and a service may well be called `on`.

use serde::Serialize;

/// `value` as one YAML document in block style, with a line break at its end.
///
/// # Errors
/// When the value cannot be represented, for example a map with a map as key.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, YamlError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: true, folded_wrap_chars: usize::MAX };
    let mut text = serde_saphyr::to_string_with_options(value, options)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A value that YAML cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as YAML: {0}")]
pub struct YamlError(#[from] serde_saphyr::ser::Error);
