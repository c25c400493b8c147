//! `cargo run --release -p kvs`: the store on one thread, for redis-cli and redis-benchmark.

use std::process::ExitCode;

use daedal::Parameters;

const USAGE: &str = "usage: kvs [ADDRESS] [SHARDS], such as: kvs 127.0.0.1:6379 4";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let listen = words.next().unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    let shards = words.next().map_or(Ok(1), |word| word.parse());
    let (Ok(shards @ 1..=1024), None) = (shards, words.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let parameters = Parameters::from([("listen".to_owned(), listen)]);
    let listens = |address: std::net::SocketAddr| println!("redis-cli -p {}", address.port());
    match kvs::serve::serve(&parameters, shards, listens, || false) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvs: {error}");
            ExitCode::FAILURE
        }
    }
}
