//! From what a system file says to what a controller holds.

use std::rc::Rc;

use daedal_boxes::template::{Templates, to_text};
use daedal_model::controller::{Controller, System as Stated};
use daedal_model::latt::Specification;
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::refine::Transformation;
use daedal_transforms::balance::Policy;
use daedal_transforms::{Balance, Ordered, Shard};

use crate::system::{AgentSpec, SystemSpec, Transform};

/// Name of the box that the controller runs in.
pub const HOME: &str = "controller";

/// The controller of a system.
/// # Errors
/// A text for people: kinds that the program does not have, transformations that an agent does not bear,
/// agents that fit into no box.
pub fn controller(spec: &SystemSpec, templates: &Templates) -> Result<Controller, String> {
    let agents = spec.agents.iter().map(|(name, agent)| {
        let path = AgentPath::parse(name).map_err(|error| error.to_string())?;
        Ok((path, specification(name, agent, templates)?))
    });
    let boxes = spec.boxes.iter();
    let site = |(name, it): (&String, &crate::system::BoxSpec)| Site {
        name: name.clone(),
        reactors: it.reactors,
    };
    let stated = Stated {
        agents: agents.collect::<Result<_, String>>()?,
        templates: Default::default(),
        boxes: boxes.map(site).collect(),
        home: HOME.to_string(),
    };
    Controller::new(&stated).map_err(|error| error.to_string())
}

fn specification(
    name: &str,
    agent: &AgentSpec,
    templates: &Templates,
) -> Result<Specification, String> {
    let qualities =
        templates.qualities(&agent.kind).map_err(|why| format!("agent \"{name}\": {why}"))?;
    Ok(Specification {
        template: agent.kind.clone(),
        parameters: to_text(&agent.parameters),
        qualities,
        transforms: agent.transform.iter().map(transformation).collect(),
        parts: Default::default(),
        wish: Wish {
            boxes: agent.boxes.clone(),
            reactor: agent.reactor,
            apart: agent.apart.clone(),
        },
    })
}

fn transformation(transform: &Transform) -> Rc<dyn Transformation> {
    match transform {
        Transform::Ordered => Rc::new(Ordered),
        Transform::Shard(count) => Rc::new(Shard(usize::from(*count))),
        Transform::Balance(count) => {
            Rc::new(Balance { copies: usize::from(*count), by: Policy::LeastOutstanding })
        }
    }
}
