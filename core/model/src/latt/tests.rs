use super::*;
use crate::id::Point;
use crate::merge::MergeFunction;
use crate::refine::{AgentState, Requirement};
use crate::route::{Action, PickBy, Share};

/// Cuts an agent into parts by point: what the tree's and the controller's tests transform with.
#[derive(Debug)]
pub(crate) struct Cut(pub usize);

impl Transformation for Cut {
    fn label(&self) -> String {
        format!("cut = {}", self.0)
    }

    fn requires(&self) -> &'static [Requirement] {
        &[Requirement::Keyed]
    }

    fn expand(&self, path: &AgentPath, range: PointRange) -> Result<Vec<Child>, RefineError> {
        let child = |(n, range)| Ok(Child { path: path.join(&format!("part{n}"))?, range });
        range.split(self.0).into_iter().enumerate().map(child).collect()
    }

    fn routes(&self, children: &[Child]) -> Action {
        let share = |(n, child): (usize, &Child)| {
            let last = if n + 1 == children.len() { Point::MAX } else { child.range.last };
            Share { last, child: child.id() }
        };
        let among = children.iter().enumerate().map(share).collect();
        Action::Pick { by: PickBy::Point, among }
    }

    fn merge(&self, children: &[Child]) -> MergeFunction {
        MergeFunction::new(1, children.iter().map(Child::id).collect()).expect("one of several")
    }

    fn done(&self, _: &[Child], _: Option<Point>, done: &[bool]) -> bool {
        done.contains(&true)
    }

    fn recut(&self, children: usize) -> Option<Rc<dyn Transformation>> {
        Some(Rc::new(Cut(children)))
    }

    fn get_state(
        &self,
        _: &[Child],
        states: Vec<Option<AgentState>>,
    ) -> Result<AgentState, RefineError> {
        AgentState::union(states.into_iter().flatten().collect(), false)
    }

    fn init_state(
        &self,
        children: &[Child],
        state: AgentState,
    ) -> Result<Vec<AgentState>, RefineError> {
        let ranges: Vec<_> = children.iter().map(|child| child.range).collect();
        let variables = state.variables.clone().split(&ranges)?;
        Ok(state.part(variables, &ranges))
    }

    fn stages(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(crate) fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).unwrap()
}

/// A keyed agent that is cut into parts, again and again.
pub(crate) fn keyed(cuts: &[usize]) -> Specification {
    let cut = |n: &usize| Rc::new(Cut(*n)) as Rc<dyn Transformation>;
    Specification {
        template: "KeyValue".to_owned(),
        qualities: Qualities { keyed: true, stateless: false, deterministic: true },
        transforms: cuts.iter().map(cut).collect(),
        ..Specification::default()
    }
}

#[test]
fn the_tree_is_drawn() {
    let mut latt = Latt::default();
    latt.add(&path("counter"), &keyed(&[])).unwrap();
    latt.add(&path("kvs:v2"), &keyed(&[2, 2])).unwrap();
    latt.add(&path("last"), &keyed(&[2])).unwrap();
    let tree = latt.to_string();
    let expect = "\
system
├── counter        KeyValue
├── kvs:v2         cut = 2
│   ├── part0      cut = 2 0000000000000000..=7fffffffffffffff
│   │   ├── part0  KeyValue 0000000000000000..=3fffffffffffffff
│   │   └── part1  KeyValue 4000000000000000..=7fffffffffffffff
│   └── part1      cut = 2 8000000000000000..=ffffffffffffffff
│       ├── part0  KeyValue 8000000000000000..=bfffffffffffffff
│       └── part1  KeyValue c000000000000000..=ffffffffffffffff
└── last           cut = 2
    ├── part0      KeyValue 0000000000000000..=7fffffffffffffff
    └── part1      KeyValue 8000000000000000..=ffffffffffffffff
";
    assert_eq!(tree, expect);
}

#[test]
fn parts_send_as_the_agent_that_was_transformed() {
    let mut latt = Latt::default();
    latt.add(&path("kvs:v2"), &keyed(&[2, 2])).unwrap();
    let leaves: Vec<_> = latt.leaves().map(|(node, leaf)| (&node.path, &leaf.source)).collect();
    assert_eq!(leaves.len(), 4);
    assert_eq!(leaves[0], (&path("kvs:v2/part0/part0"), &path("kvs")));
    assert!(leaves.iter().all(|(_, source)| **source == path("kvs")));
    assert_eq!(latt.get(AgentId::of("kvs/part1/part0")).unwrap().path, path("kvs:v2/part1/part0"));
}

#[test]
fn one_part_may_differ_from_its_siblings() {
    let mut latt = Latt::default();
    let mut spec = keyed(&[2]);
    spec.parts.insert(path("kvs/part1"), vec![Rc::new(Cut(3))]);
    latt.add(&path("kvs"), &spec).unwrap();
    let paths: Vec<_> = latt.leaves().map(|(node, _)| node.path.to_string()).collect();
    assert_eq!(paths, ["kvs/part0", "kvs/part1/part0", "kvs/part1/part1", "kvs/part1/part2"]);
}

#[test]
fn what_is_removed_is_gone_with_its_parts() {
    let mut latt = Latt::default();
    latt.add(&path("kvs"), &keyed(&[2])).unwrap();
    assert!(latt.remove(&path("kvs/part0")).is_empty());
    assert_eq!(latt.remove(&path("kvs")), [path("kvs/part0"), path("kvs/part1")]);
    assert_eq!(latt.to_string(), "system\n");
    latt.add(&path("kvs"), &keyed(&[])).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut latt = Latt::default();
    latt.add(&path("kvs"), &keyed(&[2])).unwrap();
    let before = latt.to_string();
    let mut check = |at: &str, spec: Specification, expect: &str| {
        let error = latt.add(&path(at), &spec).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
        assert_eq!(latt.to_string(), before);
    };
    check("kvs:v2", keyed(&[]), "kvs:v2 has the same id as kvs, which is in the tree");
    check("a/b", keyed(&[]), "a/b lies inside of another agent");
    check("controller", keyed(&[]), "controller: `controller`");
    check("box-a", keyed(&[]), "box-a: `controller`");
    check("deep", keyed(&[1; 16]), "path \"deep/");
    check("wide", keyed(&[300, 300]), "wide/part");
    let plain = Specification { qualities: Qualities::default(), ..keyed(&[2]) };
    check(
        "plain",
        plain,
        "plain: `cut = 2` requires a keyed agent: mark its state's maps #[keyed]",
    );
}
