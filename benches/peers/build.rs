//! The service of `src/tonic_peer.rs`: client and server, as tonic makes them from a description.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let say = Method::builder()
        .name("say")
        .route_name("Say")
        .input_type("crate::tonic_peer::Message")
        .output_type("crate::tonic_peer::Message")
        .codec_path("tonic_prost::ProstCodec");
    let echo = Service::builder().name("Echo").package("daedal").method(say.build());
    Builder::new().compile(&[echo.build()]);
}
