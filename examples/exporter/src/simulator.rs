//! A Trakt to play with. In: the size of an account, and how well the service should work. Out: Trakt's API on a local address,
//! and `/sim/…` to change its behaviour, and to look behind it, while it runs. Listens on one address.
//!
//! It shares no type with the exporter: a field that both sides misspelled would look right to both.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /sim/behaviour`, `PUT` | how well the service works: [`Behaviour`] |
//! | `GET /sim/account` | everything that the account holds |
//! | `POST /sim/account/history` | adds a film: `{"title": "…", "year": 1999, "watched_at": "2024-05-01T20:00:00Z"}`; the title is enough |
//! | `GET /sim/requests` | what was asked: counts, and the latest requests with their trace context |

mod account;
mod behaviour;
mod control;
mod films;
mod requests;
mod service;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use account::Size;
pub use behaviour::{Behaviour, Changes, RateLimit};
use world::World;

/// What an account holds, and how to get in.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much is in the account.
    pub size: Size,
    /// The same seed gives the same account and the same incidents.
    pub seed: u64,
    /// The access token that is accepted.
    pub token: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: Size::default(), seed: 1, token: "sim-token".to_owned() }
    }
}

/// A simulator that runs until it is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    world: Shared,
    server: JoinHandle<io::Result<()>>,
}

#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulator {
    /// Starts one. Port 0 is any free port.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(listen: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let world = Shared(Arc::new(Mutex::new(World::new(options))));
        let routes = Router::new()
            .route("/sim/behaviour", get(control::behaviour).put(control::behave))
            .route("/sim/account", get(control::account))
            .route("/sim/account/history", axum::routing::post(control::add))
            .route("/sim/requests", get(control::requests))
            .fallback(service::answer)
            .with_state(world.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, world, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to give the exporter as `TRAKT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it behaves from the next request on.
    ///
    /// # Errors
    /// A value that makes no sense; nothing changes then.
    pub fn behave(&self, behaviour: Behaviour) -> Result<(), String> {
        behaviour.check()?;
        self.world.lock().behave(behaviour);
        Ok(())
    }

    /// Everything that the account holds, as Trakt's API gives it: `history`, `ratings`, `watchlist`.
    ///
    /// # Errors
    /// Never for data of these types; whatever the JSON writer says.
    pub fn account(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(&self.world.lock().account)
    }

    /// How often a path of the API was asked for, as in `/sync/history/movies`, whatever the answer was.
    pub fn requests(&self, path: &str) -> u64 {
        self.world.lock().requests.count(path)
    }

    /// Removes one film of the history. False when there is none.
    pub fn remove_film(&self) -> bool {
        self.world.lock().account.remove(0)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
