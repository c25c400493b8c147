//! The store beside a real redis-server: the same commands, the same bytes; called like a function,
//! and through gateway and agent over TCP.
//!
//! Left out: INFO, COMMAND, and times to live but for their magnitude. The order of keys means
//! nothing, so KEYS and SCAN are compared as sets.

#![expect(clippy::disallowed_methods, reason = "redis-server lives in the wall clock's time")]
#![expect(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvs::local::Local;

mod server;
use server::{Server, read_answer};

/// A redis-server of our own, on a socket file; gone when dropped.
struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    /// `None` when there is no redis-server here.
    fn start(test: &str) -> Option<Redis> {
        let folder = std::env::temp_dir().join(format!("kvs-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let started = Command::new("redis-server")
            .current_dir(&folder)
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--databases", "1"])
            .args(["--proto-max-bulk-len", "16mb", "--logfile", ""])
            .stdout(Stdio::piped())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("skipped: redis-server not found");
                std::fs::remove_dir_all(&folder).unwrap();
                return None;
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        };
        let mut redis = Redis { process, folder };
        let log = redis.process.stdout.take().unwrap();
        let ready = |line: &std::io::Result<String>| {
            line.as_ref().is_ok_and(|line| line.contains("accept connections at"))
        };
        assert!(BufReader::new(log).lines().any(|line| ready(&line)), "redis-server ended early");
        Some(redis)
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.join("redis.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// What the store answers.
fn ask(ours: &mut Local, bytes: &[u8]) -> Vec<u8> {
    let now_ns = now_ns();
    let answer = ours.say(bytes, now_ns);
    ours.reclaim(now_ns);
    answer
}

/// A seeded xorshift: the same commands every time.
struct Choice {
    state: u64,
    lifetimes: u64,
}

impl Choice {
    fn new(seed: u64) -> Choice {
        Choice { state: seed, lifetimes: 0 }
    }

    fn below(&mut self, count: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % count
    }

    /// Never the same twice, nor nearly: GT and LT would hang on the millisecond.
    fn lifetime(&mut self) -> String {
        self.lifetimes += 7919;
        (1_000_000 * (1 + self.lifetimes % 10_007) + 200).to_string()
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn key(&mut self) -> String {
        format!("k{}", self.below(12))
    }

    fn value(&mut self) -> String {
        let values = ["", "a", "hello world", "0", "-1", "41", "9223372036854775807", " 1", "01"];
        self.of(&values).to_owned()
    }

    fn number(&mut self) -> String {
        // None that is a short while from now: both would have to look in the same millisecond.
        let numbers =
            ["0", "7000000", "-7", "x", "1.5", "9223372036854775807", "-9223372036854775808"];
        self.of(&numbers).to_owned()
    }

    fn pattern(&mut self) -> String {
        self.of(&["*", "k?", "k1*", "k[0-4]", "k[^0-4]", "\\k1", "", "k[1", "*1*0*", "K*"]).into()
    }

    fn set(&mut self) -> Vec<String> {
        let mut words = vec!["SET".to_owned(), self.key(), self.value()];
        for _ in 0..self.below(4) {
            match self.below(10) {
                0 => words.push("nx".into()),
                1 => words.push("XX".into()),
                2 | 3 => words.push("Get".into()),
                4 => words.push("keepttl".into()),
                5 => words.extend([self.of(&["EX", "px"]).into(), "5000000".into()]),
                6 => words.extend([self.of(&["exat", "PXAT"]).into(), "9000000000000".into()]),
                7 => words.extend([self.of(&["EX", "PX", "EXAT", "PXAT"]).into(), self.number()]),
                8 => words.extend([self.of(&["EXAT", "PXAT"]).into(), "1".into()]),
                _ => words.push(self.of(&["foo", "EX", "PXAT"]).into()),
            }
        }
        words
    }

    fn expire(&mut self) -> Vec<String> {
        let mut words = vec![self.of(&["EXPIRE", "PEXPIRE"]).to_owned(), self.key()];
        words.push(match self.below(4) {
            0 => self.number(),
            _ => self.lifetime(),
        });
        for _ in 0..self.below(3) {
            words.push(self.of(&["NX", "xx", "gt", "LT", "foo"]).into());
        }
        words
    }

    fn keys(&mut self, step: usize) -> Vec<String> {
        (0..step * (1 + self.below(4))).map(|_| self.key()).collect()
    }

    fn command(&mut self) -> Vec<String> {
        let word = |word: &str| vec![word.to_owned()];
        match self.below(26) {
            0..=3 => self.set(),
            4..=5 => self.expire(),
            6 => [word("MGET"), self.keys(1)].concat(),
            7 => [word("mset"), self.keys(2)].concat(),
            8 => [word("DEL"), self.keys(1)].concat(),
            9 => [word("Exists"), self.keys(1)].concat(),
            10 => vec![self.of(&["INCRBY", "DECRBY"]).into(), self.key(), self.number()],
            11 => vec![self.of(&["INCR", "decr"]).into(), self.key()],
            12 => vec!["APPEND".into(), self.key(), self.value()],
            13 => vec![self.of(&["TTL", "PTTL"]).into(), self.key()],
            14 => vec![self.of(&["STRLEN", "TYPE", "PERSIST", "GETDEL"]).into(), self.key()],
            15 => vec!["KEYS".into(), self.pattern()],
            16 => word("DBSIZE"),
            17 if self.below(20) == 0 => vec!["FLUSHALL".into(), self.of(&["SYNC", "x"]).into()],
            18 => vec!["SELECT".into(), self.of(&["0", "1", "x"]).into()],
            19 => vec![self.of(&["PING", "ECHO"]).into(), self.value()],
            // A name with some arguments: wrong arity, unknown commands, wrong options.
            20 => {
                let names = ["get", "nope", "SET", "client", "config", "mset", "ping", "hello"];
                let mut words = word(self.of(&names));
                words.extend((0..self.below(4)).map(|_| self.value()));
                words
            }
            21 => {
                let mut words = vec!["SCAN".to_owned(), self.of(&["x", "0"]).into()];
                words.extend([self.of(&["COUNT", "foo", "match"]).to_owned()]);
                words.extend((0..self.below(2)).map(|_| self.of(&["0", "x", "-1"]).into()));
                words
            }
            _ => vec!["GET".into(), self.key()],
        }
    }
}

fn encode(words: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| bytes += &format!("${}\r\n{word}\r\n", word.len()));
    bytes.into_bytes()
}

/// Takes out what depends on the clock.
fn comparable(words: &[String], (bytes, mut items): (Vec<u8>, Vec<Vec<u8>>)) -> Vec<Vec<u8>> {
    match words[0].to_lowercase().as_str() {
        "keys" => {
            items.sort();
            items
        }
        "ttl" | "pttl" if bytes.starts_with(b":") && !bytes.starts_with(b":-") => {
            let unit = if words[0] == "TTL" { 1 } else { 1000 };
            let left: u64 =
                std::str::from_utf8(&bytes[1..bytes.len() - 2]).unwrap().parse().unwrap();
            // Both clocks are one, but the commands are not given in the same instant.
            vec![((left / unit + 500) / 1000).to_string().into_bytes()]
        }
        // A SCAN that is answered depends on the order of keys.
        "scan" if !items.is_empty() => vec![],
        _ => vec![bytes],
    }
}

#[test]
fn random_commands_are_answered_as_by_redis() {
    let Some(redis) = Redis::start("random") else { return };
    let mut ours = Local::new(3);
    check_random(&redis, 6000, 0x9e37_79b9_7f4a_7c15, |bytes| ask(&mut ours, bytes));
}

#[test]
fn random_commands_are_answered_as_by_redis_through_the_gateway() {
    let Some(redis) = Redis::start("gateway") else { return };
    let server = Server::start(3, &[]);
    let mut ours = BufReader::new(server.connect());
    check_random(&redis, 4000, 0x7f4a_7c15_9e37_79b9, |bytes| {
        ours.get_mut().write_all(bytes).unwrap();
        read_answer(&mut ours).0
    });
}

/// Gives both the same commands, one after another.
fn check_random(redis: &Redis, steps: usize, seed: u64, mut ours: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut theirs = BufReader::new(redis.connect());
    let mut choice = Choice::new(seed);
    for step in 0..steps {
        let words = choice.command();
        if words[0] == "hello" && words.get(1).is_none_or(|word| word.is_empty()) {
            continue; // answers with the connection's number
        }
        // Redis removes what expired when it is next asked for; so it is asked at once.
        let look = vec!["GET".to_owned(), words.get(1).cloned().unwrap_or_default()];
        let looks = words[0] == "SET" && words.len() > 2;
        for words in std::iter::once(words).chain(looks.then_some(look)) {
            let bytes = encode(&words);
            theirs.get_mut().write_all(&bytes).unwrap();
            let expect = comparable(&words, read_answer(&mut theirs));
            let answer = ours(&bytes);
            let got = comparable(&words, read_answer(&mut answer.as_slice()));
            let show = |answer: &[Vec<u8>]| String::from_utf8_lossy(&answer.concat()).into_owned();
            assert_eq!(show(&got), show(&expect), "step {step}: {words:?}");
        }
    }
}

#[test]
fn a_pipeline_is_answered_in_order_as_by_redis() {
    let Some(redis) = Redis::start("pipeline") else { return };
    let mut theirs = BufReader::new(redis.connect());
    let mut ours = Local::new(3);
    let mut choice = Choice::new(77);
    for _ in 0..40 {
        let mut commands = Vec::new();
        while commands.len() < 60 {
            let words = choice.command();
            let name = words[0].to_lowercase();
            let timeless =
                !["set", "ttl", "pttl", "keys", "scan", "hello"].contains(&name.as_str());
            if timeless {
                commands.push(words);
            }
        }
        let bytes: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
        theirs.get_mut().write_all(&bytes).unwrap();
        let pieces = bytes.chunks(1 + choice.below(500));
        let output: Vec<u8> = pieces.flat_map(|piece| ask(&mut ours, piece)).collect();
        let mut output = output.as_slice();
        for words in commands {
            let (expect, got) = (read_answer(&mut theirs).0, read_answer(&mut output).0);
            assert_eq!(got, expect, "{words:?}: {}", String::from_utf8_lossy(&got));
        }
        assert!(output.is_empty());
    }
}

#[test]
fn a_scan_finds_what_redis_finds() {
    let Some(redis) = Redis::start("scan") else { return };
    let mut theirs = BufReader::new(redis.connect());
    let mut ours = Local::new(4);
    for index in 0..500 {
        let bytes = encode(&["SET".into(), format!("key:{index}"), "v".into()]);
        theirs.get_mut().write_all(&bytes).unwrap();
        read_answer(&mut theirs);
        ask(&mut ours, &bytes);
    }
    for options in ["", "MATCH *7*", "COUNT 1", "count 1000", "TYPE string", "TYPE list"] {
        let command = |cursor: &str| {
            let words = ["SCAN", cursor].into_iter().chain(options.split_whitespace());
            encode(&words.map(str::to_owned).collect::<Vec<_>>())
        };
        let expect = scan(|cursor| {
            theirs.get_mut().write_all(&command(cursor)).unwrap();
            read_answer(&mut theirs).1
        });
        let mut seen = 0;
        let got = scan(|cursor| {
            let page = read_answer(&mut ask(&mut ours, &command(cursor)).as_slice()).1;
            seen += read_answer(&mut page[1].as_slice()).1.len();
            page
        });
        assert_eq!(got, expect, "{options}");
        assert_eq!(seen, got.len(), "{options}: no key comes twice");
    }
}

/// Goes through all pages.
fn scan(mut page: impl FnMut(&str) -> Vec<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    let mut cursor = "0".to_owned();
    let mut keys = BTreeSet::new();
    loop {
        let items = page(&cursor);
        cursor = String::from_utf8_lossy(&items[0]).split("\r\n").nth(1).unwrap().to_owned();
        keys.extend(read_answer(&mut items[1].as_slice()).1);
        if cursor == "0" {
            return keys;
        }
    }
}

#[test]
fn broken_and_inline_input_is_answered_as_by_redis() {
    let Some(redis) = Redis::start("input") else { return };
    let long = "1".repeat(70_000);
    let inputs = [
        "*-1\r\nPING\r\n",
        "*0\r\nPING\r\n",
        "*x\r\n",
        "*2147483648\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n+4\r\n",
        "*1\r\n\r\n",
        "*1\r\n$16777217\r\n",
        "*\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$-0\r\n",
        "*-0\r\n",
        "*+1\r\n",
        "*01\r\n",
        "* 1\r\n",
        "*1 \r\n",
        "*1\n$4\r\nPING\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
        "*1\rX$4\rXPINGXX",
        "*1\r\n$0\r\n\r\n",
        "\"\" a\r\n",
        "set \"a\r\n",
        "set a\"b\"\r\n",
        "get 'a'b\r\n",
        "\r\n\r\nPING\r\n",
        "PING\n",
        "   \r\nPING\r\n",
        "set q \"a\\x41\\n\\z\"\r\nget q\r\n",
        "set q 'a\\'b\\n'\r\nget q\r\n",
        "set q \"a\"\t\"b\\xzz\"\x0bc\r\n",
        "ECHO \"\\r\\t\\b\\a\"\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nb",
        "PING\r\nquit\r\nPING\r\n",
        "\x0b PING\r\n",
        "FOO 'b\\rb' \"c\\r\\nd\"\r\nPING\r\n",
        "*1\r\n$5\r\n\0ping\r\n",
        &long,
        &format!("*{long}"),
        &format!("*1\r\n${long}"),
        &format!("nope {}\r\n", &long[..300]),
        &format!("{} x\r\n", &long[..300]),
        "config get appendonly nope save-no\r\n",
        "config get\r\n",
        "config get maxmemory-p*\r\n",
        "client getname\r\nclient setname x\r\nclient getname\r\n",
        "client id x\r\nclient setname \"a b\"\r\nclient\r\n",
        "command foo\r\ncommand count x\r\n",
        "config foo\r\n",
        "hello 4\r\nhello x\r\nhello 3 foo\r\nhello 3 setname\r\nhello 3 auth x y\r\n",
        "scan 0 count\r\nscan 18446744073709551616\r\nscan 0 count 0\r\n",
        "flushall a\r\n",
        "set a b\r\nttl a\r\nexpire a 10 gt\r\nexpire a -1\r\nget a\r\n",
        "info foo\r\n",
    ];
    for input in inputs {
        let mut stream = redis.connect();
        let expect = say_all(&mut stream, input, |stream| stream.shutdown(Shutdown::Write));
        let got = ask(&mut Local::new(2), input.as_bytes());
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(show(&got), show(&expect), "{:?}", &input[..input.len().min(80)]);
        let server = Server::start(2, &[]);
        let got = say_all(&mut server.connect(), input, |stream: &mut TcpStream| {
            stream.shutdown(Shutdown::Write)
        });
        assert_eq!(show(&got), show(&expect), "{:?}", &input[..input.len().min(80)]);
    }
}

/// Says it all and hears what there is until the other side hangs up, which may be before all was said.
fn say_all<S: Read + Write>(
    stream: &mut S,
    input: &str,
    end: impl FnOnce(&mut S) -> std::io::Result<()>,
) -> Vec<u8> {
    let mut heard = Vec::new();
    let _ = stream.write_all(input.as_bytes());
    let _ = end(stream);
    let _ = stream.read_to_end(&mut heard);
    heard
}

#[test]
fn after_hello_3_the_bytes_are_those_of_resp3() {
    let Some(redis) = Redis::start("resp3") else { return };
    let input = "HELLO 3\r\nGET none\r\nMGET none q\r\nSET q 1\r\nGET q\r\nSET q 2 NX\r\nTTL q\r\n\
        CONFIG GET maxmemory\r\nSCAN 0\r\nKEYS *\r\nCOMMAND LIST x\r\nINFO nothing\r\nTYPE q\r\n\
        GETDEL q\r\nCLIENT GETNAME\r\nHELLO 2\r\nGET q\r\n";
    let mut stream = redis.connect();
    stream.write_all(input.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut expect = Vec::new();
    stream.read_to_end(&mut expect).unwrap();
    // Connections have numbers of their own.
    let show = |bytes: &[u8]| -> Vec<String> {
        let lines = String::from_utf8_lossy(bytes).into_owned();
        let mut lines: Vec<_> = lines.split("\r\n").map(str::to_owned).collect();
        for at in 0..lines.len() - 1 {
            if lines[at] == "id" {
                lines[at + 1].clear();
            }
        }
        lines
    };
    assert_eq!(show(&ask(&mut Local::new(2), input.as_bytes())), show(&expect));
}

#[test]
fn the_longest_value_goes_in_and_out_and_grows_no_further() {
    let Some(redis) = Redis::start("longest") else { return };
    let mut theirs = BufReader::new(redis.connect());
    let mut ours = Local::new(2);
    let value = "x".repeat(kvs::limits::VALUE_BYTES_MAX);
    let set = vec!["SET".to_owned(), "key".to_owned(), value];
    for words in [set, words("STRLEN key"), words("APPEND key y"), words("GET key")] {
        let bytes = encode(&words);
        theirs.get_mut().write_all(&bytes).unwrap();
        let got: Vec<u8> = bytes.chunks(64 << 10).flat_map(|piece| ask(&mut ours, piece)).collect();
        assert!(got == read_answer(&mut theirs).0, "{}", words[0]);
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
