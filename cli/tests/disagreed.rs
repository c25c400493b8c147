//! Two boxes whose programs disagree about what an agent is sent: told to who asks, and survived.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::sync::Arc;

use daedal::running::{RunningBox, Word, config_of};
use daedal::{Agent, Archived, Context, Templates, message, state};
use system::{AT_MOST, Client, System, until};

/// What the other program calls a key-value store.
#[message]
#[derive(Debug)]
pub struct Ask {
    #[point]
    key: u64,
}

#[state]
#[derive(Debug, Default)]
pub struct Other {
    #[combine(sum)]
    asked: u64,
}

impl Agent for Other {
    type Message = Ask;
    type Reply = u64;

    fn transition(&mut self, ask: &Archived<Ask>, context: &mut Context<'_, Self>) {
        self.asked += 1;
        context.reply(&ask.key.to_native());
    }
}

#[test]
fn boxes_that_disagree_about_a_message_say_so_and_serve_what_they_agree_on() {
    let mut system = System::stated();
    system.start_box("controller");
    system.start_box("a");
    let spec = daedal::system::load(&system.folder.path().join("system.toml")).unwrap();
    let mut templates = Templates::new();
    templates.agent::<Other>("KeyValue", |_| Ok(Other::default()));
    let config = config_of(&spec, "b").unwrap();
    let other = RunningBox::start(config, &Arc::new(templates)).unwrap();
    assert!(matches!(other.next_word(AT_MOST), Some(Word::Member(_))));
    until("both shards run", || {
        system.look(&["tree"]).is_ok_and(|tree| {
            tree.contains("in b.0 as kvs/shard1, ") && tree.contains("in a.0 as kvs/shard2, ")
        })
    });
    until("the gateway", || Client::connect(system.serves).is_ok());
    let mut client = system.client();
    for index in 0..100 {
        let key = format!("key{index}");
        let told = client.ask(&format!("SET {key} {index}")).unwrap();
        // The first shard, in the other program's box, has the lower half of the points.
        match daedal::Point::of(key.as_str()).0 < 1 << 63 {
            true => {
                assert_eq!(told, "-ERR the agent does not take messages of this type or version")
            }
            false => assert_eq!(told, "+OK"),
        }
    }
    // What goes to both cannot be done either.
    let told = client.ask("DBSIZE").unwrap();
    assert!(told.starts_with('-'), "{told}");
    let why = system.look(&["state", "kvs"]).unwrap_err();
    assert!(why.contains("the parts' states do not join: this is a state of "), "{why}");
    assert!(system.look(&["state", "kvs/shard2"]).unwrap().contains(" keys: key"));
    other.stop().unwrap();

    // The box of the right program follows it.
    system.start_box("b");
    until("all keys can be set", || {
        let Ok(mut client) = Client::connect(system.serves) else { return false };
        (0..20)
            .all(|index| client.ask(&format!("SET key{index} {index}")).is_ok_and(|it| it == "+OK"))
    });
}
