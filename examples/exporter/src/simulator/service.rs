//! Trakt's side. In: an API request. Out: HTTP as Trakt speaks it, sound or damaged.

use std::convert::Infallible;
use std::io;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};

use super::Shared;
use super::behaviour::Fault;
use super::world::Answer;

pub(super) async fn answer(
    State(world): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Infallible> {
    let (latency, answer) = world.lock().answer(&uri, &headers);
    tokio::time::sleep(latency).await;
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(match answer {
        Answer::Page { body, page, limit, pages, total } => {
            let headers = [("page", page), ("limit", limit), ("page-count", pages), ("item-count", total)]
                .into_iter()
                .filter_map(|(name, value)| {
                    Some((HeaderName::try_from(format!("x-pagination-{name}")).ok()?, value.into()))
                });
            (HeaderMap::from_iter(headers), Json(body)).into_response()
        }
        Answer::Other(body) => Json(body).into_response(),
        Answer::Refused { reason, .. } => (status, Json(json!({"error": reason}))).into_response(),
        Answer::RateLimited { wait, limit } => {
            let detail = json!({"name": "AUTHED_API_GET_LIMIT", "period": limit.window_seconds,
                "limit": limit.requests, "remaining": 0});
            let headers = [("retry-after", wait.to_string()), ("x-ratelimit", detail.to_string())];
            (status, headers, "").into_response()
        }
        Answer::Faulty(Fault::Error(_), _) => {
            (status, Html("<h1>The service is in trouble</h1>")).into_response()
        }
        Answer::Faulty(Fault::Drop, body) => cut(&body),
        Answer::Faulty(Fault::Malformed, body) => {
            let text = body.to_string();
            let end = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(index, _)| index);
            ([(header::CONTENT_TYPE, "application/json")], text[..end].to_owned()).into_response()
        }
    })
}

/// Announces the whole answer, sends half of it, and closes the connection.
fn cut(body: &Value) -> Response {
    let text = body.to_string().into_bytes();
    let half = Bytes::copy_from_slice(&text[..text.len() / 2]);
    let rest = stream::iter([Ok(half), Err(io::Error::from(io::ErrorKind::BrokenPipe))]);
    (
        [(header::CONTENT_LENGTH, text.len())].map(|(name, length)| (name, length.to_string())),
        Body::from_stream(rest),
    )
        .into_response()
}
