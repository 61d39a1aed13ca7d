//! What starts a Grafana that shows profiles: its provisioning files and a compose file. In: the ConfigMaps of dashboards and data
//! sources, as the operator has written them, and where the addresses in them are reached from this machine. Out: a directory. Does
//! not talk to the cluster, and starts nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The files that are the same for all profiles, by their path in the directory.
const FILES: [(&str, &str); 2] = [
    ("compose.yaml", include_str!("grafana/compose.yaml")),
    ("provisioning/dashboards/profiles.yaml", include_str!("grafana/dashboards.yaml")),
];

/// Writes the directory anew; each address in `addresses` takes the place of the one before it in the data sources.
///
/// # Errors
/// When a file cannot be written, or there is no dashboard among the ConfigMaps.
pub fn provision(directory: &Path, config_maps: &[Value], addresses: &[(String, String)]) -> Result<()> {
    // What an earlier profile has left would be shown, too. The directory itself stays: a running Grafana has it mounted.
    for part in ["provisioning", "dashboards"] {
        crate::directory::remove_if_present(&directory.join(part))?;
    }
    for (path, text) in FILES {
        write(&directory.join(path), text)?;
    }
    let mut dashboards = 0;
    for config_map in config_maps {
        let folder = config_map["metadata"]["annotations"]["grafana_folder"].as_str();
        for (name, text) in config_map["data"].as_object().into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            if let Some(folder) = folder.filter(|_| name.ends_with(".json")) {
                write(&directory.join("dashboards").join(folder).join(name), text)?;
                dashboards += 1;
            } else if name.ends_with(".datasources.yaml") {
                let text = addresses.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
                write(&directory.join("provisioning/datasources").join(name), &text)?;
            }
        }
    }
    ensure!(dashboards > 0, "there is no dashboard among {} ConfigMaps", config_maps.len());
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
