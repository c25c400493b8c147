//! A system file that states a million counters of one name: they run, are reached by number and by key, and each
//! has its own count.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use daedal::model::control::{FromPort, ToPort};
use daedal::model::port::Port;
use daedal::model::state::Captured;
use daedal::prelude::*;
use daedal::running::RunningSystem;

/// Count on by so much, under this name if there is one; answered with number and count.
#[message]
#[derive(Debug)]
pub enum Add {
    /// Whoever is named by number.
    One(u64),
    /// Whoever the name falls to.
    Named(#[point] String, u64),
}

#[state]
#[derive(Debug)]
struct Counter {
    #[combine(constant)]
    number: u64,
    #[combine(sum)]
    count: u64,
}

impl Agent for Counter {
    type Message = Add;
    type Reply = (u64, u64);

    fn transition(&mut self, add: &Archived<Add>, context: &mut Context<'_, Self>) {
        let (ArchivedAdd::One(by) | ArchivedAdd::Named(_, by)) = add;
        self.count = self.count.wrapping_add(by.to_native());
        context.reply(&(self.number, self.count));
    }
}

const COUNT: u32 = 1_000_000;

fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_million_counters_are_one_line_of_a_system_file() {
    let text = format!(
        "[controller]\naddress = \"{}\"\n[box.a]\naddress = \"{}\"\n\
         [agent.counters]\nkind = \"Counter\"\ncount = 1_000_000\n",
        free(),
        free()
    );
    let spec = daedal::system::parse(&text, "system.toml").unwrap();
    let mut templates = Templates::new();
    templates.many("Counter", |_, number| Ok(Counter { number: number.into(), count: 0 }));
    templates.talks_to::<Port>();
    let journal = format!("daedal-many-{}.journal", std::process::id());
    let journal = std::env::temp_dir().join(journal);
    let system = RunningSystem::start(&spec, &Arc::new(templates), journal.clone()).unwrap();
    let handle = system.handle();

    let add = |to: &str, add| handle.ask_blocking::<Counter>(to, &add);
    assert_eq!(add("counters/7", Add::One(3)), Ok((7, 3)));
    assert_eq!(add("counters/999999", Add::One(1)), Ok((999_999, 1)));
    assert_eq!(add("counters/7", Add::One(4)), Ok((7, 7)));
    let (whose, _) = add("counters", Add::Named("anne".to_owned(), 5)).unwrap();
    assert_eq!(add("counters", Add::Named("anne".to_owned(), 5)), Ok((whose, 10)));
    assert_eq!(add(&format!("counters/{whose}"), Add::One(1)), Ok((whose, 11)));
    let nobody = add(&format!("counters/{COUNT}"), Add::One(1)).unwrap_err().to_string();
    assert!(nobody.contains("no such agent"), "{nobody}");

    let port = |to_port| handle.ask_blocking::<Port>("box-a-0", &to_port).unwrap();
    let FromPort::Described(text) = port(ToPort::Describe) else { panic!("it describes itself") };
    assert!(text.ends_with("; counters: 1000000 agents"), "{text}");
    let FromPort::Captured(state) =
        port(ToPort::Capture { path: "counters/7".to_owned(), held_by: None })
    else {
        panic!("it is there")
    };
    let state = Captured::from_bytes(&state).unwrap().to_string();
    assert!(state.contains("number: 7 (constant)") && state.contains("count: 7 (sum)"), "{state}");
    let why = |path: &str| match port(ToPort::Capture { path: path.to_owned(), held_by: None }) {
        FromPort::Refused(failure) => failure.why,
        other => panic!("{other:?}"),
    };
    assert!(why("counters").contains("write which, counters/0 to counters/999999"));
    assert!(why("counters/1000000").contains("from counters/0 on"));
    system.stop().unwrap();
    std::fs::remove_file(journal).unwrap();
}
