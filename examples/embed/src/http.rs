//! What HTTP shows of the counts. A request is one ask, whose future the runtime polls: no thread waits for it.
//!
//! | request | answer |
//! |---|---|
//! | `POST /counts/NAME`, body: a number, or nothing for 1 | the new count |
//! | `GET /counts/NAME` | the count |
//! | `GET /counts` | all counts together |
//!
//! Load is refused where it enters: when the handle's queue is full the answer is 503, at once. A request that
//! is not answered in time is 504 and says that it may have been done; its ask is dropped.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daedal::{AskError, Handle, Refusal};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::counts::{Counts, Request};

/// Longest name, in bytes: what people read on one line.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest body, in bytes: a number of 64 bits has 20 digits.
const BODY_BYTES_MAX: usize = 64;
/// How long a request waits for its agent, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long clients may take to hear their answers once the service is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// What the service asks, and for how long.
#[derive(Clone, Debug)]
pub struct Service {
    /// Of a box in this process.
    pub handle: Handle,
    /// How long a request waits for its agent.
    pub patience: Duration,
}

/// Serves until `end`, then lets the requests end that are under way.
/// # Errors
/// Those of the listener.
pub async fn serve(
    service: Service,
    listener: TcpListener,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (tell, told) = oneshot::channel();
    let end = async move {
        end.await;
        // Nobody hears it when the server has failed meanwhile.
        let _ = tell.send(());
    };
    let serving = axum::serve(listener, routes(service)).with_graceful_shutdown(end);
    tokio::select! {
        served = serving.into_future() => served,
        // A client that never says its request to the end is not waited for.
        () = async { _ = told.await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

fn routes(service: Service) -> Router {
    Router::new()
        .route("/counts", get(sum))
        .route("/counts/{name}", get(read).post(add))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

async fn add(
    State(service): State<Service>,
    Path(name): Path<String>,
    body: String,
) -> Result<String, Wrong> {
    let by = match body.trim() {
        "" => 1,
        text => text.parse().map_err(|_| Wrong::Number)?,
    };
    service.ask(&Request::Add { name: checked(name)?, by }).await
}

async fn read(State(service): State<Service>, Path(name): Path<String>) -> Result<String, Wrong> {
    service.ask(&Request::Get { name: checked(name)? }).await
}

async fn sum(State(service): State<Service>) -> Result<String, Wrong> {
    service.ask(&Request::Sum).await
}

fn checked(name: String) -> Result<String, Wrong> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
    is_name.then_some(name).ok_or(Wrong::Name)
}

impl Service {
    async fn ask(&self, request: &Request) -> Result<String, Wrong> {
        let asked = self.handle.try_ask::<Counts>("counts", request)?;
        // Past its time the ask is dropped, which frees all that it held.
        let answer = timeout(self.patience, asked).await.map_err(|_| AskError::Unknown)?;
        Ok(format!("{}\n", answer?))
    }
}

/// Why a request has no count for an answer.
#[derive(Debug)]
enum Wrong {
    Name,
    Number,
    Ask(AskError),
}

impl From<AskError> for Wrong {
    fn from(error: AskError) -> Wrong {
        Wrong::Ask(error)
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Wrong::Name => (
                StatusCode::BAD_REQUEST,
                format!("a name has 1 to {NAME_BYTES_MAX} letters, digits and hyphens"),
            ),
            Wrong::Number => {
                let most = u64::MAX;
                (
                    StatusCode::BAD_REQUEST,
                    format!("the body is a number from 0 to {most}, or empty"),
                )
            }
            Wrong::Ask(error @ AskError::Unknown) => {
                (StatusCode::GATEWAY_TIMEOUT, error.to_string())
            }
            Wrong::Ask(error @ (AskError::Stopped | AskError::Refused(Refusal::Overloaded))) => {
                let again = [("retry-after", "1")];
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return (status, again, format!("{error}\n")).into_response();
            }
            Wrong::Ask(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
        };
        (status, format!("{text}\n")).into_response()
    }
}
