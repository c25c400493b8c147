//! tonic: unary calls over TCP on 127.0.0.1 between two pinned processes, each a current-thread runtime, at its
//! defaults. Both sleep while they wait, as they know nothing else.
//!
//! The program starts itself a second time.

use std::error::Error;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Instant;

use raw::second::{Second, be_second};
use raw::{Figure, PATIENCE, pin};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

use self::service::echo_client::EchoClient;
use self::service::echo_server::{Echo, EchoServer};
use crate::one_thread::{self, on_tokio};

mod service {
    include!(concat!(env!("OUT_DIR"), "/daedal.Echo.rs"));
}

/// Subcommand of the second process.
pub const ECHO: &str = "tonic-echo-process";
/// Bytes of a message, without what it is wrapped in.
pub const BYTES: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Both ways.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
}

struct Answers;

#[tonic::async_trait]
impl Echo for Answers {
    async fn say(
        &self,
        request: Request<Message>,
    ) -> std::result::Result<Response<Message>, Status> {
        Ok(Response::new(black_box(request.into_inner())))
    }
}

/// A round trip of 64 bytes, from process to process.
/// # Errors
/// Those of starting the second process, and one that cannot be reached.
pub fn tonic_ask() -> Result<Figure> {
    pin(0);
    // Free again when it goes.
    let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let _second = Second::start(&[ECHO, &at.to_string()])?;
    on_tokio(async move {
        let client = &meet(at).await?;
        let figure = one_thread::ask(|| async {
            let message = black_box(Message { body: vec![7; BYTES] });
            // As its documentation has it, a client is cloned for each call.
            black_box(client.clone().say(message).await.expect("the second process answers"));
        });
        Ok(figure.await)
    })
}

/// The other process may not be there yet.
async fn meet(at: SocketAddr) -> Result<EchoClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{at}"))?;
    let start = Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(EchoClient::new(channel)),
            Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// The second process: answers whatever is asked at that address.
/// # Errors
/// Those of sockets; returns in no other way.
pub fn second_process(at: &str) -> Result<()> {
    be_second()?;
    let at = at.parse()?;
    on_tokio(async move {
        let echo = EchoServer::new(Answers);
        Ok(Server::builder().add_service(echo).serve(at).await?)
    })
}
