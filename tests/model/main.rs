//! Withdrawal is linearizable: every order in which two brokers can release, fetch, withdraw and crash on
//! one database, tried by a model checker.
//!
//! The model has what the promise rests on and nothing else: a step reads the consent under a shared lock,
//! writes, and commits; a withdrawal takes the lock alone. Must never model a broker that remembers a
//! consent between transactions: none does. A variant without the lock must be caught, or the model
//! proves nothing.

mod search;

use search::{Model, Property};
use std::fmt::Debug;

/// Processes that work at the same time, each on either broker.
const PROCESSES: usize = 3;
/// Times that something may crash.
const CRASHES_MAX: u8 = 2;

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    Release,
    Fetch,
    Withdraw,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    /// Not begun, or begun anew after a crash.
    Idle,
    /// The row is read, under a shared lock where there are locks.
    Read { given: bool },
    /// A withdrawal holds the row alone.
    Alone,
    /// Committed; the answer is not sent yet.
    Committed,
    /// The caller has its answer.
    Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Whether the consent stands, as committed.
    given: bool,
    /// Whether a caller has the answer to its withdrawal.
    withdrawn_answered: bool,
    /// Whether something was delivered after that: what must never be.
    delivered_after: bool,
    /// Whether anything was ever delivered.
    delivered: bool,
    processes: [(Task, Phase); PROCESSES],
    /// Broker of each process; a crash of a broker takes all of its processes down.
    brokers: [u8; PROCESSES],
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Read(usize),
    TakeAlone(usize),
    Commit(usize),
    Answer(usize),
    Crash(u8),
}

/// The system, with the row's lock or without it.
struct System {
    locks: bool,
    tasks: [Task; PROCESSES],
}

impl System {
    fn shared(state: &State) -> bool {
        state
            .processes
            .iter()
            .any(|(_, phase)| matches!(phase, Phase::Read { .. }))
    }

    fn alone(state: &State) -> bool {
        state
            .processes
            .iter()
            .any(|(_, phase)| *phase == Phase::Alone)
    }
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // Every way to spread the processes over two brokers, up to the brokers' names.
        (0..1_u8 << (PROCESSES - 1))
            .map(|spread| State {
                given: true,
                withdrawn_answered: false,
                delivered_after: false,
                delivered: false,
                processes: self.tasks.map(|task| (task, Phase::Idle)),
                brokers: std::array::from_fn(|place| (spread >> place) & 1),
                crashes: 0,
            })
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, (task, phase)) in state.processes.iter().enumerate() {
            match (task, phase) {
                (Task::Withdraw, Phase::Idle) => {
                    let free = !Self::shared(state) && !Self::alone(state);
                    if free || !self.locks {
                        actions.push(Action::TakeAlone(place));
                    }
                }
                (Task::Release | Task::Fetch, Phase::Idle) => {
                    if !Self::alone(state) || !self.locks {
                        actions.push(Action::Read(place));
                    }
                }
                (_, Phase::Read { .. } | Phase::Alone) => actions.push(Action::Commit(place)),
                (_, Phase::Committed) => actions.push(Action::Answer(place)),
                (_, Phase::Answered) => {}
            }
        }
        if state.crashes < CRASHES_MAX {
            actions.extend([Action::Crash(0), Action::Crash(1)]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Read(place) => {
                state.processes[place].1 = Phase::Read { given: state.given };
            }
            Action::TakeAlone(place) => state.processes[place].1 = Phase::Alone,
            Action::Commit(place) => {
                let (task, phase) = state.processes[place];
                match (task, phase) {
                    (Task::Withdraw, _) => state.given = false,
                    (_, Phase::Read { given: true }) => {
                        state.delivered = true;
                        state.delivered_after |= state.withdrawn_answered;
                    }
                    // Refused: commits its entry and delivers nothing.
                    (_, _) => {}
                }
                state.processes[place].1 = Phase::Committed;
            }
            Action::Answer(place) => {
                state.withdrawn_answered |= state.processes[place].0 == Task::Withdraw;
                state.processes[place].1 = Phase::Answered;
            }
            Action::Crash(broker) => {
                state.crashes += 1;
                for (place, (_, phase)) in state.processes.iter_mut().enumerate() {
                    // What was not committed is undone with its locks; what was committed stays, and
                    // the caller, who has no answer, asks again.
                    if state.brokers[place] == broker && *phase != Phase::Answered {
                        *phase = Phase::Idle;
                    }
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("nothing is delivered after the answer", |_, state| {
                !state.delivered_after
            }),
            Property::<Self>::always("an answered withdrawal is committed", |_, state| {
                !state.withdrawn_answered || !state.given
            }),
            Property::<Self>::sometimes("something is delivered", |_, state| state.delivered),
            Property::<Self>::sometimes("a withdrawal is answered after a crash", |_, state| {
                state.withdrawn_answered && state.crashes > 0
            }),
        ]
    }
}

fn system(locks: bool) -> System {
    System {
        locks,
        tasks: [Task::Release, Task::Fetch, Task::Withdraw],
    }
}

#[test]
fn nothing_is_delivered_after_a_withdrawal_was_answered() {
    let checker = system(true).explore();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 500, "the model is not empty");
}

#[test]
fn without_the_lock_the_model_finds_the_late_delivery() {
    let checker = system(false).explore();
    let found = checker.discovery("nothing is delivered after the answer");
    assert!(found.is_some(), "the mutant was not caught");
}
