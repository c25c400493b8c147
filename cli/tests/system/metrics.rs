//! What a box gives out to scrapers.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Process, await_some};

/// All samples of a box, of one moment.
pub struct Metrics(String);

impl Metrics {
    /// GET of what a box says is the address of its metrics.
    pub fn of(process: &Process) -> Metrics {
        let line = await_some("the address of the metrics", || {
            let said = process.said();
            let (_, rest) = said.split_once("metrics at http://")?;
            Some(rest.split_once("/metrics")?.0.to_string())
        });
        let mut client = TcpStream::connect(&line).unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {line}\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        Metrics(body.to_string())
    }

    /// A field of one reactor, if there is one of that name.
    pub fn find(&self, field: &str, reactor: usize) -> Option<u64> {
        let labels = format!(",reactor=\"{reactor}\"}} ");
        self.0.lines().find_map(|line| {
            let (name, rest) = line.split_once('{')?;
            let name = name.strip_prefix("daedal_").filter(|it| *it == field)?;
            let (_, value) = rest.split_once(&labels)?;
            Some(value.parse().expect(name))
        })
    }

    /// The same, which is there.
    #[track_caller]
    pub fn sample(&self, field: &str, reactor: usize) -> u64 {
        self.find(field, reactor).expect(field)
    }
}
