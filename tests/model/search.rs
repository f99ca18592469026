//! A search through every state that a model can reach, nearest first.
//!
//! Must never leave a state out: what was not looked at is not proven.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

/// What can happen, and what must hold whatever happens.
pub(crate) trait Model: Sized {
    type State: Clone + Debug + Eq + Hash;
    type Action: Debug;

    /// Where it can begin.
    fn init_states(&self) -> Vec<Self::State>;
    /// What can happen in a state.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);
    /// What comes of it; nothing where it comes to nothing.
    fn next_state(&self, last: &Self::State, action: Self::Action) -> Option<Self::State>;
    /// What must hold.
    fn properties(&self) -> Vec<Property<Self>>;

    /// Goes to every state that can be reached.
    fn explore(&self) -> Explored<Self> {
        let mut found = Explored::new(self.properties());
        for state in self.init_states() {
            found.add(self, state, None);
        }
        let (mut place, mut actions) = (0, Vec::new());
        while let Some(step) = found.steps.get(place) {
            let state = step.state.clone();
            self.actions(&state, &mut actions);
            for action in actions.drain(..) {
                let text = format!("{action:?}");
                if let Some(next) = self.next_state(&state, action) {
                    found.add(self, next, Some((place, text)));
                }
            }
            place += 1;
        }
        found
    }
}

/// Something that must hold.
pub(crate) struct Property<M: Model> {
    name: &'static str,
    /// Whether it must hold in every state, or in one at least.
    always: bool,
    holds: fn(&M, &M::State) -> bool,
}

impl<M: Model> Property<M> {
    /// Holds in every state.
    pub(crate) const fn always(name: &'static str, holds: fn(&M, &M::State) -> bool) -> Self {
        Self {
            name,
            always: true,
            holds,
        }
    }

    /// Holds in one state at least, or the model does not do what it is about.
    pub(crate) const fn sometimes(name: &'static str, holds: fn(&M, &M::State) -> bool) -> Self {
        Self {
            name,
            always: false,
            holds,
        }
    }
}

/// A state, and how it was reached first.
struct Step<S> {
    state: S,
    from: Option<(usize, String)>,
}

/// Every state, and for each property the nearest one that decides it.
pub(crate) struct Explored<M: Model> {
    properties: Vec<(Property<M>, Option<usize>)>,
    steps: Vec<Step<M::State>>,
    places: HashMap<M::State, usize>,
}

impl<M: Model> Explored<M> {
    fn new(properties: Vec<Property<M>>) -> Self {
        Self {
            properties: properties.into_iter().map(|one| (one, None)).collect(),
            steps: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn add(&mut self, model: &M, state: M::State, from: Option<(usize, String)>) {
        if self.places.contains_key(&state) {
            return;
        }
        let place = self.steps.len();
        for (property, decided) in &mut self.properties {
            if decided.is_none() && (property.holds)(model, &state) != property.always {
                *decided = Some(place);
            }
        }
        self.places.insert(state.clone(), place);
        self.steps.push(Step { state, from });
    }

    /// How many states there are.
    pub(crate) fn unique_state_count(&self) -> usize {
        self.steps.len()
    }

    /// The shortest way to a state that breaks an `always` or shows a `sometimes`.
    pub(crate) fn discovery(&self, name: &str) -> Option<String> {
        let found = self.properties.iter().find(|(one, _)| one.name == name);
        let (_, decided) = found.unwrap_or_else(|| panic!("no property `{name}`"));
        decided.map(|place| self.way(place))
    }

    fn way(&self, place: usize) -> String {
        let step = &self.steps[place];
        let before = match &step.from {
            Some((from, action)) => format!("{}{action}\n", self.way(*from)),
            None => String::new(),
        };
        format!("{before}{:?}\n", step.state)
    }

    /// Fails when a property does not hold, with the shortest way there.
    #[track_caller]
    pub(crate) fn assert_properties(&self) {
        for (property, decided) in &self.properties {
            let way = decided.map(|place| self.way(place)).unwrap_or_default();
            assert_eq!(
                decided.is_none(),
                property.always,
                "{}:\n{way}",
                property.name
            );
        }
    }
}
