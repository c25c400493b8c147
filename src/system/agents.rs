//! Reads `[agent.NAME]`: what an agent is, what it becomes, and where that may run.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::error::{Problem, SystemError, shown};
use super::section::{Key, Placed, Section};
use super::{AgentSpec, BoxSpec, CHILDREN_MAX, SEGMENTS_MAX, Transform, names};

type Boxes = BTreeMap<String, BoxSpec>;

const KEYS: [&str; 6] = ["kind", "transform", "boxes", "box", "reactor", "apart"];
const BUILT: [&str; 3] = ["shard", "balance", "ordered"];
const PLANNED: [&str; 8] = [
    "replicate",
    "primary-backup",
    "encrypt",
    "compress",
    "batch",
    "deduplicate",
    "monitor",
    "audit",
];

pub(super) fn read_agents(
    section: Option<Section<'_>>,
    boxes: &Boxes,
) -> Result<BTreeMap<String, AgentSpec>, SystemError> {
    let mut agents = BTreeMap::new();
    for (name, section) in section.map(Section::into_sections).transpose()?.unwrap_or_default() {
        agents.insert(name.value.to_owned(), read_agent(name, section, boxes)?);
    }
    Ok(agents)
}

fn read_agent(
    name: Key<'_>,
    mut section: Section<'_>,
    boxes: &Boxes,
) -> Result<AgentSpec, SystemError> {
    section.expect_segment(&name)?;
    section.expect_spelling(&KEYS)?;
    let Some(kind) = section.take_text("kind", "the name of a state machine")? else {
        let example = "the state machine's name, such as kind = \"KeyValue\"";
        return Err(section.error(name.span, Problem::Missing { key: "kind", example }));
    };
    section.expect_word(&kind)?;
    let transform = take_transform(&mut section)?;
    let on = take_boxes(&mut section, boxes)?;
    let reactor = take_reactor(&mut section, &on, boxes)?;
    let runs_on = if on.is_empty() { boxes.len() } else { on.len() };
    let apart = take_apart(&mut section, &transform, runs_on)?;
    let parameters = section.take_parameters()?;
    Ok(AgentSpec { kind: kind.value.to_owned(), transform, boxes: on, reactor, apart, parameters })
}

fn take_transform(section: &mut Section<'_>) -> Result<Vec<Transform>, SystemError> {
    let list = section.take_list("transform", "a list, such as [{ shard = 4 }]")?;
    let Some(deepest) = list.last() else { return Ok(Vec::new()) };
    let span = deepest.span();
    if list.len() >= SEGMENTS_MAX {
        return Err(section.error(span, Problem::TooDeep { count: list.len() }));
    }
    let transform: Vec<Transform> =
        list.into_iter().map(|value| read_transform(section, value)).collect::<Result<_, _>>()?;
    // At most 15 factors of at most 4096: the product can pass 64 bits, so it stops at their end.
    let leaves = transform
        .iter()
        .fold(1u64, |leaves, transform| leaves.saturating_mul(transform.children().into()));
    if leaves > CHILDREN_MAX.into() {
        return Err(section.error(span, Problem::TooManyLeaves { leaves }));
    }
    Ok(transform)
}

fn read_transform<'t>(
    section: &Section<'t>,
    value: &'t Spanned<DeValue<'t>>,
) -> Result<Transform, SystemError> {
    let (name, span, count) = match value.get_ref() {
        DeValue::String(name) => (name.as_ref(), value.span(), None),
        DeValue::Table(table) => match table.iter().next() {
            Some((key, count)) if table.len() == 1 => {
                (key.get_ref().as_ref(), key.span(), Some(count))
            }
            _ => return Err(section.error(value.span(), Problem::TransformShape)),
        },
        _ => return Err(section.error(value.span(), Problem::TransformShape)),
    };
    let has_count = count.is_some();
    let count = |what| match count {
        Some(count) => Ok(section.number(name, what, count, 1, CHILDREN_MAX)?.value),
        None => Err(section.error(span.clone(), Problem::TransformShape)),
    };
    match name {
        "ordered" if !has_count => Ok(Transform::Ordered),
        "ordered" => Err(section.error(span, Problem::TransformShape)),
        "shard" => Ok(Transform::Shard(count("shard count")?)),
        "balance" => Ok(Transform::Balance(count("balance count")?)),
        other => Err(section.error(span.clone(), unknown_transform(other))),
    }
}

fn unknown_transform(name: &str) -> Problem {
    let nearest = names::nearest(name, BUILT);
    let name = shown(name);
    if PLANNED.contains(&name.as_str()) {
        return Problem::NotBuilt { what: "transformation", name, built: &BUILT };
    }
    Problem::NotOneOf { key: "transform", found: name, nearest, known: &BUILT }
}

/// `box = "a"` is `boxes = ["a"]`.
fn take_boxes(section: &mut Section<'_>, boxes: &Boxes) -> Result<Vec<String>, SystemError> {
    let one = section.take_text("box", "a box's name, such as \"a\"")?;
    let many = section.take_texts("boxes", "a list of boxes' names, such as [\"a\", \"b\"]")?;
    let named = match (one, many.is_empty()) {
        (Some(one), true) => vec![one],
        (Some(one), false) => return Err(section.error(one.span, Problem::BoxAndBoxes)),
        (None, _) => many,
    };
    named.into_iter().map(|name| known_box(section, name, boxes)).collect()
}

fn known_box(
    section: &Section<'_>,
    name: Placed<&str>,
    boxes: &Boxes,
) -> Result<String, SystemError> {
    if boxes.contains_key(name.value) {
        return Ok(name.value.to_owned());
    }
    let nearest = names::nearest(name.value, boxes.keys().map(String::as_str)).map(str::to_owned);
    let problem = match names::is_segment(name.value) {
        true => Problem::UnknownBox { name: name.value.to_owned(), nearest },
        false => Problem::segment(name.value),
    };
    Err(section.error(name.span, problem))
}

fn take_reactor(
    section: &mut Section<'_>,
    on: &[String],
    boxes: &Boxes,
) -> Result<Option<u8>, SystemError> {
    let Some(reactor) = section.take_number("reactor", 0, 254)? else { return Ok(None) };
    let [name] = on else {
        return Err(section.error(reactor.span, Problem::ReactorWithoutBox));
    };
    let reactors = boxes.get(name).map_or(0, |spec| spec.reactors);
    match u8::try_from(reactor.value) {
        Ok(value) if value < reactors => Ok(Some(value)),
        _ => {
            let (name, reactor_number) = (name.clone(), reactor.value);
            let problem = Problem::UnknownReactor { name, reactor: reactor_number, reactors };
            Err(section.error(reactor.span, problem))
        }
    }
}

fn take_apart(
    section: &mut Section<'_>,
    transform: &[Transform],
    boxes: usize,
) -> Result<Vec<String>, SystemError> {
    let want = "a list of the beginnings of children's names, such as [\"shard\"]";
    let named = section.take_texts("apart", want)?;
    let check = |name: Placed<&str>| {
        let like = transform.iter().filter(|transform| transform.child() == name.value);
        let problem = match like.map(|transform| transform.children()).max() {
            Some(count) if usize::from(count) <= boxes => return Ok(name.value.to_owned()),
            Some(count) => Problem::ApartTooMany { name: name.value.to_owned(), count, boxes },
            None => {
                let mut made: Vec<&str> = transform.iter().map(Transform::child).collect();
                made.sort_unstable();
                made.dedup();
                let name = shown(name.value);
                Problem::ApartFromNothing { name, made }
            }
        };
        Err(section.error(name.span, problem))
    };
    named.into_iter().map(check).collect()
}
