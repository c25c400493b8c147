//! Each counter of each process at the end of a run, when nothing is under way any more, and what accounts for it.
//!
//! What must be so exactly, or within what else was counted, is asserted; what only has a cause is shown with it.
//! Of a process that was killed the last tenth of a second is not known, so that sums over all lives are asserted
//! as bounds with that much room, or where nobody was killed.

use daedal::net::limits::CONTROL_FRAMES;
use serde::Serialize;

use crate::mesh::Mesh;
use crate::system::NAMES;
use crate::watch::{Life, Watch};

/// What happened in a run, as far as counters depend on it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Happened {
    /// Boxes killed.
    pub boxes_killed: u64,
    /// Controllers killed.
    pub controllers_killed: u64,
    /// Processes stopped for a while.
    pub pauses: u64,
    /// Links cut for a while.
    pub cuts: u64,
    /// Changes of the number of shards that were asked for.
    pub reshards: u64,
    /// Commands, such as `daedal tree`, each a guest of the system.
    pub commands: u64,
    /// Commands of clients that were answered.
    pub answered: u64,
    /// Agents that ran in both boxes beside shards, when all began.
    pub agents_beside: u64,
    /// Shards at the end.
    pub shards: u64,
}

/// How a figure is accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is what it must be.
    Exact,
    /// It is within what else was counted.
    Within,
    /// It has a cause, and no bound is known.
    Told,
    /// It is not.
    Wrong,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Whose; `all`: of all lives of all processes.
    pub process: String,
    /// Which counter.
    pub metric: String,
    /// What it says.
    pub value: u64,
    /// What accounts for it.
    pub account: String,
    /// Whether that holds.
    pub verdict: Verdict,
}

/// What may be said of a counter of one process.
enum Rule {
    /// It is this at rest.
    Is(u64, &'static str),
    /// It is at most this.
    AtMost(u64, String),
    /// What makes it.
    Told(&'static str),
}

/// The whole table.
pub fn account(watch: &Watch, lab: &Mesh, happened: &Happened) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in NAMES {
        let Some(life) = watch.living(name) else { continue };
        for (metric, value) in &life.counts {
            let rule = rule(metric, life, watch, happened);
            rows.push(row(format!("{name} life {}", life.life), metric, *value, rule));
        }
    }
    rows.extend(of_all(watch, lab, happened));
    rows
}

fn row(process: String, metric: &str, value: u64, rule: Rule) -> Row {
    let right = |is: bool, verdict| if is { verdict } else { Verdict::Wrong };
    let (account, verdict) = match rule {
        Rule::Is(expect, why) => {
            (format!("= {expect}: {why}"), right(value == expect, Verdict::Exact))
        }
        Rule::AtMost(most, why) => {
            (format!("≤ {most}: {why}"), right(value <= most, Verdict::Within))
        }
        Rule::Told(why) => (why.to_owned(), Verdict::Told),
    };
    Row { process, metric: metric.to_owned(), value, account, verdict }
}

fn rule(metric: &str, life: &Life, watch: &Watch, happened: &Happened) -> Rule {
    use Rule::{AtMost, Is, Told};
    let died = happened.boxes_killed + happened.controllers_killed;
    let own = |name: &str| life.counts.get(name).copied().unwrap_or(0);
    let moved = died + happened.reshards;
    match metric {
        // Nothing that is sent here is not understood.
        "unknown_schema" => Is(0, "all processes are of one release"),
        "invalid" => Is(0, "who sends archives what its type says"),
        "frames_malformed" => Is(0, "links alone send here, and whole frames"),
        "drops_too_short"
        | "drops_bad_version"
        | "drops_wrong_endpoint"
        | "drops_bad_format"
        | "drops_bad_control"
        | "drops_bad_message"
        | "drops_bad_segment" => Is(0, "links alone send here, and what they say is well formed"),
        "drops_large_too_long" | "drops_large_too_many" => Is(0, "nothing large is sent"),
        "drops_out_of_window" => Is(0, "no sender goes beyond the window"),
        "walk_notes_lost" => Is(0, "no walk is sampled"),
        // Nothing is under way any more.
        "routes_starved_now" => Is(0, "at rest nobody waits for room"),
        "leaves_full_now" => Is(0, "at rest everybody takes what he is sent"),
        "asks_unanswered_now" => Is(0, "at rest everybody is answered"),
        "agents_runnable_now" => Is(0, "at rest nothing is parked that could run"),
        "packets_undone_now" => Is(0, "at rest all that was sent is done"),
        "ring_lines" => Is(0, "a box of one reactor has no rings"),
        "handle_calls" => Is(0, "nobody calls from outside"),
        // Within what else was counted.
        "refused" => AtMost(died, "agents that were not there, after a death".into()),
        "returned" if moved == 0 => Is(0, "no agent moved, and none died"),
        "returned" => Told("sent to where an agent had been, before a death or a change of shards"),
        "stray_answers" if moved == 0 => Is(0, "nobody who asked is gone"),
        "stray_answers" => Told("answers whose asker had died, or had been told already"),
        "frames_refused" if happened.cuts == 0 => Is(0, "every address has a route"),
        "frames_refused" => Told("no route while a link was cut at this end"),
        "drops_unknown_session" | "drops_stale_hello" | "drops_no_schemas" => Told(
            "of sessions that were replaced, after deaths, cuts and pauses; late frames of them",
        ),
        "drops_duplicate" => AtMost(
            watch.sum("faults_doubled") + watch.sum("packets_repeated"),
            "frames doubled on purpose, and packets repeated, by all".into(),
        ),
        "packets_repeated_copied" => AtMost(own("packets_repeated"), "are repeated packets".into()),
        "control_frames" => AtMost(
            own("frames_sent") + own("frames_refused") + own("faults_dropped"),
            "are frames, that were taken, refused, or lost on purpose".into(),
        ),
        "links" => AtMost(2 + happened.commands, "the two others, and guests by address".into()),
        "send_frames" => Is(
            own("links") * (CONTROL_FRAMES as u64 + 1),
            "at rest each link has what it keeps back for control and for one notice, and no other",
        ),
        "receive_buffers" => AtMost(
            own("receive_buffers_max") / 4,
            "buffers posted to the kernel, and none on loan to an agent".into(),
        ),
        it if it.ends_with("_max") => Told("the bound of that beside it"),
        "agents_now" => Told("see below, for both boxes"),
        "updated_ns_now" => Told("when the reactor wrote this"),
        "turns_busy" | "visits_found" | "parks" => {
            Told("rounds of the reactor: by load and by chance")
        }
        "delivered" => Told("requests, replies and the control plane's: see below"),
        "copied_out" if own("copied_out") < own("held_back") => {
            Is(own("held_back"), "at least what is held back is copied")
        }
        "copied_out" => Told(
            "held back for others that it must be processed after, or parked: a change, a start",
        ),
        "handed_back" => Told("came for who wanted nothing, and had his fill: a change, a capture"),
        "cycles" | "cycles_now" => Is(0, "no agents wait for each other"),
        "held_back" => {
            Told("came before what it must be processed after: loss, reordering, restarts")
        }
        "kept" => Told("waited for a route, or for an agent that was away or changed"),
        "duplicates" => Told("sent again in a new session, or by a new way, and done before"),
        "frames_received" | "frames_sent" | "faults_dropped" | "faults_doubled" => {
            Told("see below, for all")
        }
        "frames_aside"
        | "xdp_receive_dropped"
        | "xdp_receive_wrong"
        | "xdp_send_wrong"
        | "xdp_receive_full"
        | "xdp_fill_empty"
        | "xdp_send_empty" => Is(0, "the driver is the kernel's"),
        "drops_not_sealed" | "drops_sealed" | "drops_bad_seal" | "drops_no_frame" => {
            Is(0, "no frame is sealed")
        }
        "receive_starved" => Told("bursts larger than the pool of buffers, after a pause"),
        "packets_repeated" => {
            Told("lost on purpose or while a process was away, or acknowledged late")
        }
        "repeats_held" => Told("due again while delayed on purpose"),
        "sessions" => Told("one with each life of each peer and guest; more after pauses"),
        "rtt_ns_now" => {
            Told("the slowest link, smoothed; guests that have gone count with their last")
        }
        _ => Told("NOBODY ACCOUNTS FOR IT"),
    }
}

/// What is so of all processes together.
fn of_all(watch: &Watch, lab: &Mesh, happened: &Happened) -> Vec<Row> {
    let sum = |name| watch.sum(name);
    let all = |metric: &str, value, rule| row("all".into(), metric, value, rule);
    let died = happened.boxes_killed + happened.controllers_killed;
    let kernel =
        |name| -> u64 { (0..NAMES.len()).filter_map(|end| lab.udp_counter(end, name)).sum() };
    let overflowed = kernel("RcvbufErrors");
    let (nobody, errors) = (kernel("NoPorts"), kernel("InErrors"));
    let (sent, received) = (sum("frames_sent"), sum("frames_received"));
    let lost = sent.saturating_sub(received);
    let was_lost = overflowed + nobody + errors + happened.cuts + died + happened.commands;
    let agents: u64 = ["a", "b"]
        .iter()
        .filter_map(|name| watch.living(name))
        .filter_map(|life| life.counts.get("agents_now"))
        .sum();
    let mut rows = vec![
        all(
            "agents_now",
            agents,
            Rule::Is(
                happened.agents_beside + happened.shards,
                "in both boxes: gateways, ports, managers, as at the start, and the shards of now",
            ),
        ),
        all(
            "frames_sent",
            sent,
            Rule::Told("= frames_received + frames lost in the kernel, the next two lines"),
        ),
        all(
            "frames_received",
            received,
            match died + happened.commands {
                0 => Rule::AtMost(sent, "no frame comes from nothing".into()),
                // The last tenth of a second of who was killed, and guests, whose counters nobody reads.
                lives => Rule::AtMost(
                    sent + lives * 20_000,
                    "sent, and what those who died or were guests sent and had not counted".into(),
                ),
            },
        ),
        all(
            "frames_lost",
            lost,
            match was_lost {
                0 => Rule::Is(0, "nobody was killed, cut off or overrun"),
                _ => Rule::Told(
                    "to processes that were dead or had no room, over links that were cut; by the datagrams below, each of up to 64 frames",
                ),
            },
        ),
        all(
            "datagrams_overflowed",
            overflowed,
            Rule::Told(
                "UDP RcvbufErrors of all namespaces: a process stood still, or others had the processor",
            ),
        ),
        all(
            "datagrams_nobody_had",
            nobody,
            match died + happened.commands {
                0 => Rule::Is(0, "UDP NoPorts: nobody died"),
                _ => Rule::Told(
                    "UDP NoPorts of all namespaces: to processes that were dead, and guests that had gone",
                ),
            },
        ),
        all(
            "datagrams_bad",
            errors - overflowed.min(errors),
            Rule::Is(0, "UDP InErrors but for overflows: checksums hold"),
        ),
    ];
    let delivered = sum("delivered");
    let least = 2 * happened.answered;
    let rule = match delivered + died * 20_000 >= least {
        true => Rule::Told("at least twice the commands answered: each request and each reply"),
        false => Rule::AtMost(
            0,
            format!("fewer than {least}, a request and a reply of each command answered"),
        ),
    };
    rows.push(all("delivered", delivered, rule));
    rows
}

#[cfg(test)]
mod tests {
    use daedal::boxes::counters::names;
    use std::path::Path;

    use super::*;

    #[test]
    fn somebody_accounts_for_every_counter() {
        let mut watch = Watch::new(Path::new("/nowhere"));
        watch.began("a", 1, 0, 0.0);
        let life = &watch.lives()[0];
        for name in names() {
            let rule = rule(&name, life, &watch, &Happened::default());
            assert!(!matches!(rule, Rule::Told(text) if text.contains("NOBODY")), "{name}");
        }
    }

    #[test]
    fn what_is_not_as_it_must_be_is_wrong() {
        let verdict = |value, rule| row("a".into(), "x", value, rule).verdict;
        assert_eq!(verdict(0, Rule::Is(0, "")), Verdict::Exact);
        assert_eq!(verdict(1, Rule::Is(0, "")), Verdict::Wrong);
        assert_eq!(verdict(2, Rule::AtMost(2, String::new())), Verdict::Within);
        assert_eq!(verdict(3, Rule::AtMost(2, String::new())), Verdict::Wrong);
    }
}
