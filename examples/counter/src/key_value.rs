//! Ovid's key-value store (Ovid §3.1, figure 1). What can become of it, unchanged: `examples/kvs`.

use std::collections::BTreeMap;

use daedal::prelude::*;

#[message]
#[derive(Debug)]
pub enum Request {
    Put {
        #[point]
        key: String,
        value: Vec<u8>,
    },
    Get {
        #[point]
        key: String,
    },
}

#[state]
#[derive(Debug, Default)]
pub struct KeyValue {
    #[keyed]
    map: BTreeMap<String, Vec<u8>>,
}

impl Agent for KeyValue {
    type Message = Request;
    type Reply = Option<Vec<u8>>;

    fn transition(&mut self, request: &Archived<Request>, context: &mut Context<'_, Self>) {
        match request {
            ArchivedRequest::Put { key, value } => {
                context.reply(&self.map.insert(key.to_string(), value.to_vec()));
            }
            ArchivedRequest::Get { key } => context.reply(&self.map.get(key.as_str())),
        }
    }
}
