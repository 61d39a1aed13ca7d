//! The side of whoever plays with it. In: `/sim/…` requests. Out: JSON, and an error that says what may be sent.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::behaviour::Behaviour;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    title: String,
    year: Option<i32>,
    watched_at: Option<Timestamp>,
}

pub(super) async fn behaviour(State(world): State<Shared>) -> Json<Behaviour> {
    Json(world.lock().behaviour.clone())
}

/// The whole behaviour: what the body does not name is well again.
pub(super) async fn behave(State(world): State<Shared>, body: Bytes) -> Response {
    let behaviour = match serde_json::from_slice::<Behaviour>(&body) {
        Ok(behaviour) => behaviour,
        Err(error) => return wrong(&error.to_string()),
    };
    if let Err(error) = behaviour.check() {
        return wrong(&error);
    }
    world.lock().behave(behaviour.clone());
    Json(behaviour).into_response()
}

pub(super) async fn account(State(world): State<Shared>) -> Response {
    Json(&world.lock().account).into_response()
}

pub(super) async fn add(State(world): State<Shared>, body: Bytes) -> Response {
    match serde_json::from_slice::<Addition>(&body) {
        Ok(Addition { title, year, watched_at }) => {
            let watch = world.lock().account.add(Some(title), year, watched_at);
            (StatusCode::CREATED, Json(watch)).into_response()
        }
        Err(error) => wrong(&error.to_string()),
    }
}

pub(super) async fn requests(State(world): State<Shared>) -> Response {
    Json(&world.lock().requests).into_response()
}

fn wrong(reason: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": reason}))).into_response()
}
