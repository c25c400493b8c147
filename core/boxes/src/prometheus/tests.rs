use std::collections::BTreeMap;

use daedal_model::id::Stamp;

use super::*;
use crate::counters::Board;

/// A board of two reactors that nobody writes, and its folder.
fn board(name: &str) -> (Board, std::path::PathBuf) {
    let folder = std::env::temp_dir().join(format!("daedal-{name}-{}", std::process::id()));
    let board = Board::create(&folder, ("a", "127.0.0.1:1"), 2, Stamp(7)).unwrap();
    (board, folder)
}

/// What the listener says to these bytes.
fn ask(at: SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(at).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads the format as a scraper does: samples by name and labels, each behind its type.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_string(), kind.to_string()).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, _) = sample.split_once('{').unwrap();
            let is_total = name.ends_with("_total");
            assert_eq!(kinds[name] == "counter", is_total, "{name}");
            assert!(samples.insert(sample.to_string(), value.parse().unwrap()).is_none());
        }
    }
    samples
}

#[test]
fn a_get_gives_all_counters_of_all_reactors_in_a_form_that_parses() {
    let (board, folder) = board("prometheus");
    let reading = BoxReading::open(board.path()).unwrap();
    let server = Server::start("127.0.0.1:0".parse().unwrap(), reading).unwrap();
    let answer = ask(server.address(), "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    let samples = parse(body);
    assert_eq!(samples.len(), 2 * crate::counters::names().len());
    for sample in [
        "daedal_delivered_total{box=\"a\",reactor=\"1\"}",
        "daedal_links_max{box=\"a\",reactor=\"0\"}",
        "daedal_agents{box=\"a\",reactor=\"0\"}",
        "daedal_drops_total{box=\"a\",reactor=\"0\",reason=\"too_short\"}",
    ] {
        assert!(samples.contains_key(sample), "{sample} in {body}");
    }
    drop((server, board));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_no_get_of_the_metrics_is_told_so_or_cut_off() {
    let (board, folder) = board("refusals");
    let reading = BoxReading::open(board.path()).unwrap();
    let server = Server::start("127.0.0.1:0".parse().unwrap(), reading).unwrap();
    let at = server.address();
    assert!(ask(at, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask(at, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(ask(at, "GET /metrics?x HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    // Whoever hangs up in the middle of it keeps nobody from asking.
    drop(TcpStream::connect(at).unwrap());
    let mut endless = TcpStream::connect(at).unwrap();
    let written = endless.write_all(&vec![b'x'; 2 * REQUEST_BYTES_MAX]);
    let read = endless.read(&mut [0; 1]);
    assert!(written.is_err() || !matches!(read, Ok(1..)), "{read:?}");
    assert!(ask(at, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    drop((server, board));
    std::fs::remove_dir_all(folder).unwrap();
}
