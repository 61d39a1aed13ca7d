//! Exports on demand. In: HTTP requests. Out: an export's report as JSON, and its files. Listens on one address and talks to
//! Trakt through `export`; the caller's trace and correlation id go on there.
//!
//! A caller that goes away abandons its export.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::export::{Exporter, Part};
use crate::files::OwnedDirectory;
use crate::stop::Stop;

/// How long answers that are on their way may hold up the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

struct Service {
    exporter: Exporter,
    output: Arc<OwnedDirectory>,
    /// Held by the export that runs.
    running: Mutex<()>,
    stop: Stop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    what: Option<Part>,
}

/// Serves until it is told to stop; exports that run then have a few seconds left.
///
/// # Errors
/// The listener fails.
pub(crate) async fn run(exporter: Exporter, listener: TcpListener, stop: Stop) -> std::io::Result<()> {
    let output = exporter.output();
    let service = Arc::new(Service { exporter, output, running: Mutex::new(()), stop: stop.clone() });
    let routes = Router::new()
        .route("/exports", post(export))
        .route("/files/{name}", get(file))
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, "there are POST /exports[?what=movies] and GET /files/watched.csv")
        })
        .with_state(service);
    let serve = axum::serve(listener, routes).with_graceful_shutdown({
        let stop = stop.clone();
        async move { stop.requested().await }
    });
    let mut serve = pin!(serve.into_future());
    match stop.bounded(&mut serve).await {
        Some(ended) => ended,
        // Whose export was abandoned is still told so; a connection that is kept open without a request does not keep the
        // process.
        None => tokio::time::timeout(LAST_ANSWERS, serve).await.unwrap_or(Ok(())),
    }
}

async fn export(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let parts = match wanted {
        Ok(Query(Wanted { what: Some(part) })) => vec![part],
        Ok(Query(Wanted { what: None })) => Part::ALL.to_vec(),
        Err(error) => {
            let text =
                format!("{}; the only parameter is what=movies, ratings or watchlist", error.body_text());
            return answer(StatusCode::BAD_REQUEST, &text);
        }
    };
    let Ok(_running) = service.running.try_lock() else {
        return answer(StatusCode::CONFLICT, "an export is running; ask again when it is over");
    };
    let export = telemetry::extract_headers(&headers).run(service.exporter.run(&parts));
    match service.stop.bounded(export).await {
        Some(report) if report.is_success() => Json(report).into_response(),
        Some(report) => (StatusCode::BAD_GATEWAY, Json(report)).into_response(),
        None => answer(StatusCode::SERVICE_UNAVAILABLE, "the exporter is stopping; the export was abandoned"),
    }
}

async fn file(State(service): State<Arc<Service>>, Path(name): Path<String>) -> Response {
    if !is_export(&name) {
        return answer(
            StatusCode::NOT_FOUND,
            "files are watched.csv, ratings.csv, watchlist.csv, watched-2.csv, …",
        );
    }
    match tokio::fs::read(service.output.file(&name)).await {
        Ok(contents) => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], contents).into_response(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            answer(StatusCode::NOT_FOUND, "there is no such file yet; POST /exports makes it")
        }
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Whether a name is one that an export gives a file: `STEM.csv` or `STEM-N.csv`.
fn is_export(name: &str) -> bool {
    let Some(name) = name.strip_suffix(".csv") else { return false };
    Part::ALL.iter().filter_map(|part| name.strip_prefix(part.file_stem())).any(|rest| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.parse::<u16>().is_ok())
    })
}

fn answer(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"error": text}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exports_can_be_fetched() {
        for name in ["watched.csv", "ratings.csv", "watchlist.csv", "watched-2.csv"] {
            assert!(is_export(name), "{name}");
        }
        for name in [
            ".exporter.lock",
            "../watched.csv",
            "watched.csv/..",
            "watched-x.csv",
            "watchedx.csv",
            ".csv",
            "watched",
        ] {
            assert!(!is_export(name), "{name}");
        }
    }
}
