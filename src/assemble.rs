//! From what a system file says to what a controller holds.

use std::path::Path;
use std::rc::Rc;

use daedal_boxes::template::{Templates, to_text};
use daedal_model::controller::{Controller, System as Stated};
use daedal_model::latt::{Latt, LattError, Specification};
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::refine::Transformation;
use daedal_transforms::balance::Policy;
use daedal_transforms::{Balance, Ordered, Shard};

use crate::system::{self, AgentSpec, SystemError, SystemSpec, Transform, Unfit};

/// Name of the box that the controller runs in.
pub const HOME: &str = "controller";

/// Reads the file of a system that a program is to run.
/// # Errors
/// As [`system::load`]; also what [`controller`] refuses, with file and line.
pub fn load(file: &Path, templates: &Templates) -> Result<SystemSpec, SystemError> {
    system::load_checked(file, |spec| check(spec, templates))
}

/// Each agent by itself, so that what is wrong is known to be its; then all together.
fn check(spec: &SystemSpec, templates: &Templates) -> Result<(), Unfit> {
    for (name, agent) in &spec.agents {
        let unfit = |key, why| Unfit { agent: Some(name.clone()), key, why };
        let stated = specification(agent, templates).map_err(|why| unfit("kind", why))?;
        let path = AgentPath::parse(name).map_err(|error| unfit("", error.to_string()))?;
        Latt::default().add(&path, &stated).map_err(|error| match error {
            LattError::Refine(error) => unfit("transform", error.to_string()),
            other => unfit("", other.to_string()),
        })?;
    }
    let all = controller(spec, templates).map(drop);
    all.map_err(|why| Unfit { agent: None, key: "", why })
}

/// The controller of a system.
/// # Errors
/// A text for people: kinds that the program does not have, transformations that an agent does not bear,
/// agents that fit into no box.
pub fn controller(spec: &SystemSpec, templates: &Templates) -> Result<Controller, String> {
    let agents = spec.agents.iter().map(|(name, agent)| {
        let path = AgentPath::parse(name).map_err(|error| error.to_string())?;
        let stated = specification(agent, templates);
        Ok((path, stated.map_err(|why| format!("agent \"{name}\": {why}"))?))
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

fn specification(agent: &AgentSpec, templates: &Templates) -> Result<Specification, String> {
    let qualities = templates.qualities(&agent.kind)?;
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
