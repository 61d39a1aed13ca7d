//! In: the text of a TOML file. Out: a [`TelemetryConfig`] and the line of each key, or every problem with file, line and
//! key. Pure.

mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Problem, TelemetryConfig};
use value::Field;

/// A configuration as a file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    /// The values.
    pub config: TelemetryConfig,
    /// The line, from 1, of each key that the file has: `telemetry.tracing.jaeger_endpoint` → 8.
    pub lines: BTreeMap<String, usize>,
}

/// A key: its table, its name, and the value that it stands for.
type Key = (&'static str, &'static str, fn(&mut TelemetryConfig) -> Field<'_>);

/// Every key that a file may have.
const KEYS: [Key; 12] = [
    (ROOT, "enabled", |config| Field::Flag(&mut config.enabled)),
    (ROOT, "service_name", |config| Field::Text(&mut config.service_name)),
    (ROOT, "service_version", |config| Field::Text(&mut config.service_version)),
    (ROOT, "environment", |config| Field::Text(&mut config.environment)),
    (ROOT, "sample_rate", |config| Field::Share(&mut config.sample_rate)),
    ("telemetry.tracing", "jaeger_endpoint", |config| Field::Url(&mut config.jaeger_endpoint)),
    ("telemetry.tracing", "enabled", |config| Field::Flag(&mut config.tracing_enabled)),
    ("telemetry.metrics", "prometheus_enabled", |config| Field::Flag(&mut config.prometheus_enabled)),
    ("telemetry.metrics", "prometheus_port", |config| Field::Port(&mut config.prometheus_port)),
    ("telemetry.metrics", "custom_metrics", |config| Field::Flag(&mut config.custom_metrics)),
    ("telemetry.logging", "correlation_enabled", |config| Field::Flag(&mut config.correlation_enabled)),
    ("telemetry.logging", "structured_format", |config| Field::Flag(&mut config.structured_format)),
];

/// The table that all others are in.
const ROOT: &str = "telemetry";
/// How alike two names must be for one to be meant by the other, 1 being equal: within a table of ours, and among the tables
/// of an application, which has every right to names of its own.
const ALIKE: f64 = 0.8;
const ALMOST_EQUAL: f64 = 0.9;

impl TelemetryConfig {
    /// Reads the `[telemetry]` tables of `text`; `name` is the file's name, for error messages. Other tables belong to the
    /// application and are left alone.
    ///
    /// # Errors
    /// Every problem at once: TOML that cannot be read, unknown keys, wrong types, values out of range, bad URLs.
    pub fn from_toml(name: &str, text: &str) -> Result<ConfigFile, ConfigError> {
        let mut reader =
            Reader { name, text, config: Self::default(), lines: BTreeMap::new(), problems: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            reader.document(document.get_ref());
        } else {
            errors.iter().for_each(|error| reader.syntax(error));
        }
        reader.finish()
    }
}

struct Reader<'t> {
    name: &'t str,
    text: &'t str,
    config: TelemetryConfig,
    lines: BTreeMap<String, usize>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        let Some((key, value)) = document.get_key_value(ROOT) else {
            self.no_table(document);
            return;
        };
        let line = self.line(key.span().start);
        self.table(ROOT, line, value.get_ref());
        if value.get_ref().is_table() && !self.lines.contains_key("telemetry.service_name") {
            self.problem(line, "telemetry.service_name", "is missing: write service_name = \"NAME\"");
        }
        // What has no line has its default, and nothing is wrong with that.
        for (key, reason) in self.config.faults() {
            let said = self.problems.iter().any(|problem| problem.key == key);
            if let Some(line) = self.lines.get(key).copied().filter(|_| !said) {
                self.problem(line, key, reason);
            }
        }
    }

    fn no_table(&mut self, document: &DeTable<'_>) {
        let names = document.keys().map(|key| key.get_ref().as_ref());
        let meant = most_alike(ROOT, names, ALMOST_EQUAL);
        match meant.and_then(|name| document.get_key_value(name)) {
            Some((key, _)) => {
                let line = self.line(key.span().start);
                self.problem(line, shown(key.get_ref()), "did you mean [telemetry]? That table is missing");
            }
            None => self.problem(
                1,
                ROOT,
                "the table is missing: write [telemetry] and under it service_name = \"NAME\"",
            ),
        }
    }

    fn table(&mut self, path: &str, line: usize, value: &DeValue<'_>) {
        let DeValue::Table(table) = value else {
            let what = value::kind(value);
            self.problem(
                line,
                path,
                format!("must be a table, not {what}: write [{path}] and its keys under it"),
            );
            return;
        };
        for (key, value) in table {
            self.entry(path, key, value);
        }
    }

    fn entry(&mut self, table: &str, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let name = key.get_ref().as_ref();
        let line = self.line(key.span().start);
        let path = format!("{table}.{}", shown(name));
        if let Some((.., field)) = KEYS.iter().find(|key| key.0 == table && key.1 == name) {
            self.lines.insert(path.clone(), line);
            if let Err(reason) = field(&mut self.config).read(name, value.get_ref()) {
                self.problem(line, path, reason);
            }
        } else if KEYS.iter().any(|key| key.0 == path) {
            self.table(&path, line, value.get_ref());
        } else {
            self.problem(line, path, unknown(table, name, value.get_ref().is_table()));
        }
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let start = error.span().map_or(0, |span| span.start);
        let line = self.line(start);
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        let column = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(column).chars().count() + 1;
        // What follows a fault in the same line is mostly its echo.
        let echo = |problem: &Problem| problem.place.as_ref().is_some_and(|(_, other)| *other == line);
        if !self.problems.iter().any(echo) {
            self.problem(line, "", format!("column {column}: this is not TOML: {}", error.message()));
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn problem(&mut self, line: usize, key: impl Into<String>, reason: impl Into<String>) {
        let place = Some((self.name.to_owned(), line));
        self.problems.push(Problem { place, key: key.into(), reason: reason.into() });
    }

    fn finish(mut self) -> Result<ConfigFile, ConfigError> {
        if self.problems.is_empty() {
            return Ok(ConfigFile { config: self.config, lines: self.lines });
        }
        self.problems.sort_by_key(|problem| problem.place.as_ref().map(|(_, line)| *line));
        Err(ConfigError { problems: self.problems })
    }
}

/// What to say of a name that `table` does not have.
fn unknown(table: &str, name: &str, is_table: bool) -> String {
    let keys: Vec<_> = KEYS.iter().filter(|key| key.0 == table).map(|key| key.1).collect();
    let mut tables: Vec<_> =
        KEYS.iter().filter_map(|key| key.0.strip_prefix(table)?.strip_prefix('.')).collect();
    tables.dedup();
    let here = if is_table { &tables } else { &keys };
    let tail = format!("_{name}");
    let meant = most_alike(name, here.iter().copied(), ALIKE)
        .or_else(|| here.iter().copied().find(|known| known.ends_with(&tail)));
    let elsewhere = KEYS.iter().find(|key| key.1 == name && !is_table).map(|key| key.0);
    let in_brackets = |name: &str| format!("[{table}.{name}]");
    let hint = match (meant, elsewhere) {
        (Some(meant), _) if is_table => format!("; did you mean {}?", in_brackets(meant)),
        (Some(meant), _) => format!("; did you mean {meant}?"),
        (None, Some(elsewhere)) => format!("; it belongs to [{elsewhere}]."),
        (None, None) => ".".to_owned(),
    };
    let known: Vec<_> =
        keys.iter().map(|key| (*key).to_owned()).chain(tables.iter().map(|name| in_brackets(name))).collect();
    let what = if is_table { "table" } else { "key" };
    format!("there is no such {what}{hint} [{table}] has {}", known.join(", "))
}

fn most_alike<'k>(name: &str, known: impl Iterator<Item = &'k str>, at_least: f64) -> Option<&'k str> {
    let name = name.to_lowercase();
    known
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(alike, _)| *alike >= at_least)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// A name as TOML would write it, on one line.
fn shown(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") }
}
