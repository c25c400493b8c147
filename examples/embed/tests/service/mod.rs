//! The service, with a system of its own in this process, and an HTTP client.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use daedal::running::RunningSystem;
use embed::http::{Service, serve};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for the slowest machine.
pub const LONG: Duration = Duration::from_secs(30);

/// A port that nobody has: behind those that the system gives away, as a box may be started again there.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = 10_000 + (std::process::id() % 400) as u16 * 20;
    let port = || from + NEXT.fetch_add(1, Ordering::Relaxed);
    let mut all = std::iter::repeat_with(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port())));
    let is_free =
        |it: &SocketAddr| UdpSocket::bind(it).is_ok() && std::net::TcpListener::bind(it).is_ok();
    all.find(is_free).unwrap()
}

/// The example's own system file, at ports that are free.
pub fn system_text() -> String {
    let text = include_str!("../../system.toml");
    ["127.0.0.1:7300", "127.0.0.1:7310", "127.0.0.1:7320"].iter().fold(
        text.to_owned(),
        |text, it| {
            assert!(text.contains(it));
            text.replace(it, &free_address().to_string())
        },
    )
}

/// The boxes of a service, in this process.
pub fn start_system() -> (RunningSystem, PathBuf) {
    let spec = daedal::system::parse(&system_text(), "system.toml").unwrap();
    let journal = format!("embed-test-{}.journal", spec.controller.address.port());
    let journal = std::env::temp_dir().join(journal);
    let templates = Arc::new(embed::templates());
    (RunningSystem::start(&spec, &templates, journal.clone()).unwrap(), journal)
}

/// A service that serves.
pub struct Served {
    pub system: RunningSystem,
    pub at: SocketAddr,
    journal: PathBuf,
    end: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub async fn start(patience: Duration) -> Served {
        let (system, journal) = tokio::task::spawn_blocking(start_system).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, (end, told)) = (listener.local_addr().unwrap(), oneshot::channel());
        let service = Service { handle: system.handle().clone(), patience };
        let until = async { told.await.unwrap() };
        let serving = tokio::spawn(serve(service, listener, until));
        Served { system, at, journal, end, serving }
    }

    /// Tells it to end, and waits until it has; its boxes run on.
    pub async fn end(self) -> RunningSystem {
        self.end.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
        std::fs::remove_file(self.journal).unwrap();
        self.system
    }

    pub async fn stop(self) {
        let system = self.end().await;
        tokio::task::spawn_blocking(move || system.stop().unwrap()).await.unwrap();
    }
}

/// An HTTP client that keeps its connections.
#[derive(Clone)]
pub struct Browser(Client<HttpConnector, Full<axum::body::Bytes>>, SocketAddr);

impl Browser {
    pub fn new(at: SocketAddr) -> Browser {
        Browser(Client::builder(TokioExecutor::new()).build_http(), at)
    }

    /// Status and text; an error of the connection as text.
    pub async fn say(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
        let uri = format!("http://{}{path}", self.1);
        let request = axum::http::Request::builder().method(method).uri(uri);
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let response = self.0.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        Ok((status, text.trim_end().to_owned()))
    }

    pub async fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.say("POST", path, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        self.say("GET", path, "").await.unwrap()
    }
}
