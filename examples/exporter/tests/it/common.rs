//! What the tests share: a simulator, an exporter, and the files that an account must become, worked out from the simulator's
//! JSON and without any of the exporter's code.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use exporter::export::{Exporter, Options, Part, Report};
use exporter::simulator::{self, Simulator, Size};
use exporter::trakt::{Access, Patience};
use serde_json::Value;
use telemetry::{TelemetryConfig, TelemetryManager};
use testbed::{Daemon, Directory, Readiness, free_ports};

pub const TOKEN: &str = "sim-token";

pub fn size(films: u64, ratings: u64, watchlist: u64) -> Size {
    Size { films, ratings, watchlist }
}

pub async fn simulator(size: Size, seed: u64) -> Simulator {
    let options = simulator::Options { size, seed, token: TOKEN.to_owned() };
    Simulator::start(([127, 0, 0, 1], 0).into(), options).await.expect("the simulator")
}

/// An exporter in this process, in directories of its own.
pub struct Fixture {
    pub directory: Directory,
    pub exporter: Exporter,
}

impl Fixture {
    pub fn new(simulator: &Simulator) -> Self {
        let directory = Directory::create("exporter").expect("a directory");
        let exporter =
            Exporter::open(&options(&simulator.url(), directory.path()), &telemetry()).expect("an exporter");
        Self { directory, exporter }
    }

    pub fn output(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    pub async fn run(&self) -> Report {
        self.exporter.run(&Part::ALL).await
    }
}

/// With a cache, and impatient enough for tests.
pub fn options(url: &str, directory: &Path) -> Options {
    let access =
        Access { url: url.to_owned(), client_id: "client".to_owned(), access_token: TOKEN.to_owned() };
    let patience = Patience {
        total: Duration::from_secs(30),
        first_pause: Duration::from_millis(2),
        answer: Duration::from_secs(10),
    };
    Options { access, patience, output: directory.join("out"), cache: Some(directory.join("cache")) }
}

pub fn telemetry() -> TelemetryManager {
    TelemetryManager::new(TelemetryConfig {
        service_name: "exporter-test".to_owned(),
        prometheus_port: 0,
        log_filter: "off".to_owned(),
        ..TelemetryConfig::default()
    })
    .expect("telemetry")
}

/// The exporter's own program with these arguments, without whatever this environment says about telemetry and Trakt.
/// What the arguments leave open is good for tests.
pub fn program(url: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_export-trakt-4-letterboxd"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("TRAKT_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    let config = directory.join("telemetry.toml");
    // The port of /metrics is one for all; these tests do not look at it.
    let text =
        "[telemetry]\nservice_name = \"exporter-test\"\n[telemetry.metrics]\nprometheus_enabled = false\n";
    std::fs::write(&config, text).expect("the configuration");
    command.env("TRAKT_CLIENT_ID", "client").env("TRAKT_ACCESS_TOKEN", TOKEN).args(arguments);
    let defaults = [
        ("--trakt-url", url.as_ref()),
        ("--patience", "5s".as_ref()),
        ("--config", config.as_os_str()),
        ("--output", directory.join("out").as_os_str()),
    ]
    .map(|(name, value): (&str, &OsStr)| (name, value.to_owned()));
    for (name, value) in defaults.iter().filter(|(name, _)| !arguments.contains(name)) {
        command.arg(name).arg(value);
    }
    command
}

/// `serve` in a process of its own.
pub struct Service {
    pub process: Daemon,
    pub url: String,
    pub directory: Directory,
}

impl Service {
    /// Starts it and waits until it listens. Blocks.
    pub fn start(trakt: &str, arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let directory = Directory::create("exporter").expect("a directory");
        let [port] = free_ports().expect("a port");
        let listen = format!("127.0.0.1:{port}");
        let arguments = [&["serve", "--listen", &listen], arguments].concat();
        let mut command = program(trakt, directory.path(), &arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut listens = || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let readiness =
            Readiness::When { what: "its port", deadline: Duration::from_secs(20), check: &mut listens };
        let process = Daemon::start("exporter", command, &directory.path().join("log"), readiness)
            .expect("the exporter");
        Self { process, url: format!("http://{listen}"), directory }
    }

    pub fn output(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    /// One export of everything, for a caller with this trace and span, if there is one.
    pub async fn export(&self, caller: Option<(&str, &str)>) -> Report {
        let mut post = client().post(format!("{}/exports", self.url));
        if let Some((trace, span)) = caller {
            post = post.header("traceparent", format!("00-{trace}-{span}-01"));
        }
        post.send().await.expect("an answer").json().await.expect("a report")
    }
}

pub fn client() -> reqwest::Client {
    // The first exporter of this process installs one, too; whoever comes second is refused, and that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// The files of an output directory, without the lock.
pub fn files(output: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(output).into_iter().flatten().map(|entry| entry.expect("an entry"));
    let named = entries.map(|entry| (entry.file_name().into_string().expect("a name"), entry.path()));
    named
        .filter(|(name, _)| name != ".exporter.lock")
        .map(|(name, path)| (name, std::fs::read_to_string(path).expect("a file")))
        .collect()
}

/// The files that an account must become, as tables.
pub fn expected(account: &Value) -> BTreeMap<String, Vec<Vec<String>>> {
    let items = |name: &str| account[name].as_array().expect("a list").clone();
    let ratings: BTreeMap<_, _> =
        items("ratings").iter().map(|item| (id(item), item["rating"].to_string())).collect();

    let mut history = items("history");
    history.reverse();
    let mut seen = BTreeSet::new();
    let watched = history.iter().map(|item| {
        let mut row = film(item);
        row.push(ratings.get(&id(item)).cloned().unwrap_or_default());
        row.push(item["watched_at"].as_str().expect("a time")[..10].to_owned());
        row.push((!seen.insert(id(item))).to_string());
        row.push(format!("trakt,{}", item["action"].as_str().expect("an action")));
        row
    });
    let rated = items("ratings").into_iter().map(|item| {
        let mut row = film(&item);
        row.push(item["rating"].to_string());
        row
    });
    let header = |more: &[&str]| {
        ["Title", "Year", "imdbID", "tmdbID"].iter().chain(more).map(ToString::to_string).collect::<Vec<_>>()
    };
    let table = |more: &[&str], rows: Vec<Vec<String>>| std::iter::once(header(more)).chain(rows).collect();
    BTreeMap::from([
        ("watched.csv".to_owned(), table(&["Rating10", "WatchedDate", "Rewatch", "Tags"], watched.collect())),
        ("ratings.csv".to_owned(), table(&["Rating10"], rated.collect())),
        ("watchlist.csv".to_owned(), table(&[], items("watchlist").iter().map(film).collect())),
    ])
}

/// Files as tables.
pub fn tables(files: &BTreeMap<String, String>) -> BTreeMap<String, Vec<Vec<String>>> {
    let table = |text: &String| {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let rows = reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect());
        rows.collect()
    };
    files.iter().map(|(name, text)| (name.clone(), table(text))).collect()
}

/// That the files are those of the account, nothing lost and nothing twice.
pub fn assert_exported(output: &Path, simulator: &Simulator) {
    let expected = expected(&simulator.account().expect("the account"));
    let found = tables(&files(output));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in &expected {
        assert_eq!(found[name].len(), expected.len(), "rows of {name}");
        for (number, (found, expected)) in found[name].iter().zip(expected).enumerate() {
            assert_eq!(found, expected, "row {number} of {name}");
        }
    }
}

fn id(item: &Value) -> u64 {
    item["movie"]["ids"]["trakt"].as_u64().expect("an id")
}

fn film(item: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let movie = &item["movie"];
    [&movie["title"], &movie["year"], &movie["ids"]["imdb"], &movie["ids"]["tmdb"]].map(text).to_vec()
}
