//! The service over HTTP: right and wrong requests, load, overload, agents that are away, the end.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod service;

use std::time::Duration;

use embed::counts::{Counts, Request};
use embed::http::{NAME_BYTES_MAX, Service, serve};
use service::{Browser, LONG, Served};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn ok(count: u64) -> (u16, String) {
    (200, count.to_string())
}

#[tokio::test]
async fn counts_are_kept_by_sharded_agents_and_shown_over_http() {
    let served = Served::start(LONG).await;
    let browser = Browser::new(served.at);
    assert_eq!(browser.get("/counts").await, ok(0));
    for index in 0..32 {
        assert_eq!(browser.post(&format!("/counts/name{index}"), "2").await, ok(2));
        assert_eq!(browser.post(&format!("/counts/name{index}"), "").await, ok(3));
        assert_eq!(browser.get(&format!("/counts/name{index}")).await, ok(3));
    }
    assert_eq!(browser.get("/counts").await, ok(96));
    assert_eq!(browser.get("/counts/nobody").await, ok(0));
    assert_eq!(browser.post("/counts/most", &u64::MAX.to_string()).await, ok(u64::MAX));
    assert_eq!(browser.post("/counts/most", "1").await, ok(u64::MAX));
    served.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong_and_change_nothing() {
    let served = Served::start(LONG).await;
    let browser = Browser::new(served.at);
    let name = "a name has 1 to 64 letters, digits and hyphens";
    let number = "the body is a number from 0 to 18446744073709551615, or empty";
    let longest = "n".repeat(NAME_BYTES_MAX);
    for (method, path, body, status, told) in [
        ("POST", "/counts/a%20b", "1", 400, name),
        ("POST", "/counts/%F0%9F%8D%8E", "1", 400, name),
        ("GET", &format!("/counts/{longest}n"), "", 400, name),
        ("POST", "/counts/%ff", "1", 400, "Invalid"),
        ("POST", "/counts/a", "-1", 400, number),
        ("POST", "/counts/a", "18446744073709551616", 400, number),
        ("POST", "/counts/a", "one", 400, number),
        ("POST", "/counts/a", &"1".repeat(65), 413, "length limit"),
        ("DELETE", "/counts/a", "", 405, ""),
        ("GET", "/", "", 404, ""),
        ("GET", "/counts/", "", 404, ""),
        ("GET", "/counts/a/b", "", 404, ""),
    ] {
        let answer = browser.say(method, path, body).await.unwrap();
        assert!(answer.0 == status && answer.1.contains(told), "{method} {path}: {answer:?}");
    }
    assert_eq!(browser.post(&format!("/counts/{longest}"), "0").await, ok(0));
    assert_eq!(browser.get("/counts").await, ok(0));
    // Not HTTP at all.
    let mut stream = tokio::net::TcpStream::connect(served.at).await.unwrap();
    stream.write_all(b"\0\x01 what\r\n\r\n").await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 400"), "{heard}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_is_lost_and_nothing_is_counted_twice() {
    const CLIENTS: u64 = 64;
    const EACH: u64 = 50;
    let served = Served::start(LONG).await;
    let browser = Browser::new(served.at);
    let client = |index: u64| {
        let browser = browser.clone();
        tokio::spawn(async move {
            let mut heard = Vec::new();
            for turn in 0..EACH {
                let (status, text) =
                    browser.post(&format!("/counts/n{}", (index + turn) % 8), "").await;
                assert_eq!(status, 200, "{text}");
                heard.push(((index + turn) % 8, text.parse::<u64>().unwrap()));
            }
            heard
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let mut heard = Vec::new();
    for client in clients {
        heard.extend(client.await.unwrap());
    }
    // Of each name every number, once.
    heard.sort_unstable();
    let expect = (0..8).flat_map(|name| (1..=CLIENTS * EACH / 8).map(move |count| (name, count)));
    assert!(heard.iter().copied().eq(expect), "{heard:?}");
    assert_eq!(browser.get("/counts").await, ok(CLIENTS * EACH));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_under_load_it_answers_what_it_has_taken() {
    let served = Served::start(LONG).await;
    let browser = Browser::new(served.at);
    assert_eq!(browser.post("/counts/n", "").await, ok(1));
    let client = |_| {
        let browser = browser.clone();
        tokio::spawn(async move {
            let mut answered = 0u64;
            while let Ok((status, text)) = browser.say("POST", "/counts/n", "").await {
                assert_eq!(status, 200, "{text}");
                answered += 1;
            }
            answered
        })
    };
    let clients: Vec<_> = (0..16).map(client).collect();
    while browser.get("/counts").await.1.parse::<u64>().unwrap() < 200 {}
    let (at, mut answered) = (served.at, 1);
    let system = served.end().await;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert!(tokio::net::TcpStream::connect(at).await.is_err());
    let name = "n".to_owned();
    let counted = system.handle().ask::<Counts>("counts", &Request::Get { name }).await;
    // A request that had reached the agent when its connection was closed may have been done.
    let counted = counted.unwrap();
    assert!(
        (answered..=answered + 16).contains(&counted),
        "{answered} answered, {counted} counted"
    );
    let handle = system.handle().clone();
    tokio::task::spawn_blocking(move || system.stop().unwrap()).await.unwrap();
    let late = handle.ask::<Counts>("counts", &Request::Sum).await;
    assert_eq!(late, Err(daedal::AskError::Stopped));
}

/// A service on a box whose controller is not there: no agent is ever found.
#[tokio::test]
async fn a_service_whose_agents_are_away_says_so_in_time_and_refuses_what_it_cannot_keep() {
    let spec = daedal::system::parse(&service::system_text(), "system.toml").unwrap();
    let config = daedal::running::config_of(&spec, "a").unwrap();
    let templates = std::sync::Arc::new(embed::templates());
    let alone = daedal::running::RunningBox::start(config, &templates).unwrap();
    let handle = alone.handle().clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let service = Service { handle: handle.clone(), patience: Duration::from_millis(50) };
    let (end, told) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(service, listener, async { told.await.unwrap() }));
    let browser = Browser::new(at);
    let (status, text) = browser.post("/counts/a", "").await;
    assert!(
        status == 504 && text.contains("it may have been done, or may yet be"),
        "{status} {text}"
    );
    // What others ask fills the queue, as nothing is answered. Its reactor may still take some in.
    let mut kept = Vec::new();
    let text = loop {
        while let Ok(ask) = handle.try_ask::<Counts>("counts", &Request::Sum) {
            kept.push(ask);
        }
        match browser.get("/counts").await {
            (503, text) => break text,
            (status, text) => assert_eq!(status, 504, "{text}"),
        }
    };
    assert!(text.contains("at its bound; try again later"), "{text}");
    // Whoever gives up makes room.
    drop(kept);
    while browser.get("/counts").await.0 != 504 {}
    end.send(()).unwrap();
    serving.await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || alone.stop().unwrap()).await.unwrap();
}
