//! Writes a spec as a system file. Says what is not the default, and nothing else.

use std::fmt::Write;

use daedal_boxes::executor::Executor;

use super::{AgentSpec, BoxSpec, ControllerSpec, Idle, LinkSpec, SystemSpec, Transform};

impl SystemSpec {
    /// The system file that reads as this spec, if it is one that could be read.
    pub fn to_toml(&self) -> String {
        let mut sections = Vec::new();
        sections
            .extend(self.secret_file.as_ref().map(|it| format!("secret_file = {}\n", text(it))));
        if self.controller != ControllerSpec::default() {
            sections.push(controller(&self.controller));
        }
        sections.extend(self.agents.iter().map(|(name, spec)| agent(name, spec)));
        sections.extend(self.boxes.iter().map(|(name, spec)| agent_box(name, spec)));
        sections.join("\n")
    }
}

/// `[title]` and a line for each key that has a value.
fn section<'k>(title: &str, keys: impl IntoIterator<Item = (&'k str, Option<String>)>) -> String {
    let mut out = format!("[{title}]\n");
    for (key, value) in keys {
        if let Some(value) = value {
            writeln!(out, "{key} = {value}").expect("a String takes what is written");
        }
    }
    out
}

fn controller(spec: &ControllerSpec) -> String {
    let keys = [
        ("address", Some(text(spec.address.to_string()))),
        ("journal", spec.journal.as_ref().map(text)),
        ("executor", executor(spec.executor)),
        ("metrics", spec.metrics.map(|it| text(it.to_string()))),
    ];
    section("controller", keys.into_iter().chain(links(spec.links)))
}

fn agent(name: &str, spec: &AgentSpec) -> String {
    let (one, many) = match spec.boxes.as_slice() {
        [one] => (Some(text(one)), None),
        many => (None, texts(many)),
    };
    let keys = [
        ("kind", Some(text(&spec.kind))),
        ("transform", list(spec.transform.iter().map(transform))),
        ("box", one),
        ("boxes", many),
        ("reactor", spec.reactor.map(|reactor| reactor.to_string())),
        ("apart", texts(&spec.apart)),
    ];
    let parameters = spec.parameters.iter().map(|(key, value)| (key.as_str(), Some(text(value))));
    section(&format!("agent.{name}"), keys.into_iter().chain(parameters))
}

fn agent_box(name: &str, spec: &BoxSpec) -> String {
    let idle = spec.idle.map(|idle| match idle {
        Idle::Latency => "latency",
        Idle::Balanced => "balanced",
        Idle::Frugal => "frugal",
    });
    let driver = spec.driver.map(|it| text(it.to_string()));
    let keys = [
        ("address", Some(text(spec.address.to_string()))),
        ("reactors", (spec.reactors != 1).then(|| spec.reactors.to_string())),
        ("executor", executor(spec.executor)),
        ("idle", idle.map(text)),
        ("driver", driver),
        ("cpus", list(spec.cpus.iter().map(u16::to_string))),
        ("pcap", spec.pcap.as_ref().map(text)),
        ("metrics", spec.metrics.map(|it| text(it.to_string()))),
    ];
    section(&format!("box.{name}"), keys.into_iter().chain(links(spec.links)))
}

fn links(spec: LinkSpec) -> [(&'static str, Option<String>); 2] {
    let LinkSpec { queue_us, repeat_us } = spec;
    [("queue_us", queue_us), ("repeat_us", repeat_us)]
        .map(|(key, value)| (key, value.map(|it| it.to_string())))
}

fn executor(executor: Executor) -> Option<String> {
    (executor != Executor::default()).then(|| text(executor.to_string()))
}

fn transform(transform: &Transform) -> String {
    match transform {
        Transform::Ordered => text("ordered"),
        Transform::Shard(count) => format!("{{ shard = {count} }}"),
        Transform::Balance(count) => format!("{{ balance = {count} }}"),
    }
}

fn texts(items: &[String]) -> Option<String> {
    list(items.iter().map(text))
}

/// `None` when there is nothing to list.
fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(", ")))
}

/// A quoted text, with whatever must be escaped.
fn text(text: impl Into<String> + Clone) -> String {
    toml::Value::String(text.into()).to_string()
}
