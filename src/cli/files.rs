//! Reading and writing the command line's files. In: paths, `-` for standard input. Out: text. No cluster.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::CliError;

/// Name for messages and text of a file, or of standard input for `-`.
pub(super) fn read(path: &Path) -> Result<(String, String), CliError> {
    let name = if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.display().to_string() };
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map(|text| (name.clone(), text)).map_err(|source| CliError::File { path: name, source })
}

/// Writes a file and the folders above it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let error = |source| CliError::File { path: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(error)?;
    }
    fs::write(path, text).map_err(error)
}
