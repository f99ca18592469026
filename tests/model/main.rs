//! A stop is linearizable: every order in which two brokers can release, stop, give anew, uphold, follow and crash on
//! one database, tried by a model checker.
//!
//! The model has what the promise rests on and nothing else: a release reads the person's row under a shared lock and
//! commits; whoever changes the row takes it alone; a handover keeps the stop number under which it was made; keys are
//! destroyed afterwards by the leader. Must never model a broker that remembers anything between transactions: none
//! does. Each variant that leaves one of these out must be caught, or the model proves nothing.

mod search;

use search::{Model, Property};
use std::fmt::Debug;

/// Processes that work at the same time, each on either broker.
const PROCESSES: usize = 4;
/// Times that something may crash.
const CRASHES_MAX: u8 = 2;

const NOTHING_LATE: &str = "nothing is delivered after the answer on what was made before";
const NO_KEY_LEFT: &str = "when nothing waits, what a stop ended has no key";

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    /// Releases the handover that was there at the beginning, or fetches from it.
    Release,
    /// The person stops: withdraws or refuses.
    Stop,
    /// The person consents anew.
    Give,
    /// An officer finds an objection right.
    Uphold,
    /// The leader does what follows from a stop.
    Follow,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    /// Not begun, or begun anew after a crash.
    Idle,
    /// The row is read, under a shared lock where there are locks.
    Read { permits: bool },
    /// The row is held alone.
    Alone,
    /// The mutant's leader has said that it is done, and is not.
    SaidDone,
    /// Committed, with the stop number then; the answer is not sent yet.
    Committed { number: u8 },
    /// The caller has its answer.
    Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Whether a consent stands, as committed.
    given: bool,
    /// The stop number on the person's row.
    number: u8,
    /// Whether something waits to follow from a stop.
    waits: bool,
    /// Whether the handover that was made under number 0 still has its key.
    has_key: bool,
    /// Whether a caller has the answer to a stop that ended it.
    stop_answered: bool,
    /// Whether something was delivered after that: what must never be.
    delivered_after: bool,
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
    SayDone(usize),
    Commit(usize),
    Answer(usize),
    Crash(u8),
}

/// What is left out, so that the model must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// Nothing: the program as it is.
    None,
    /// The row's lock.
    Lock,
    /// The stop number: a release looks at the consent alone.
    StopNumber,
    /// One transaction for what follows: the leader says that it is done before it is.
    ClearedEarly,
}

struct System {
    without: Mutant,
    tasks: [Task; PROCESSES],
}

impl System {
    fn is_read(state: &State) -> bool {
        let mut phases = state.processes.iter().map(|(_, phase)| phase);
        phases.any(|phase| matches!(phase, Phase::Read { .. }))
    }

    fn is_alone(state: &State) -> bool {
        state
            .processes
            .iter()
            .any(|(_, phase)| *phase == Phase::Alone)
    }

    /// Whether the handover may be released as the row is now.
    fn permits(&self, state: &State) -> bool {
        let made_before = state.number > 0 && self.without != Mutant::StopNumber;
        state.given && !made_before
    }

    fn commit(state: &mut State, task: Task, phase: Phase) {
        match (task, phase) {
            (Task::Stop, _) => {
                state.given = false;
                state.number += 1;
                state.waits = true;
            }
            (Task::Uphold, _) => {
                state.number += 1;
                state.waits = true;
            }
            (Task::Give, _) => state.given = true,
            (Task::Follow, _) => {
                state.has_key &= state.number == 0;
                state.waits = false;
            }
            (Task::Release, Phase::Read { permits: true }) => {
                state.delivered = true;
                state.delivered_after |= state.stop_answered;
            }
            // Refused: commits its entry and delivers nothing.
            (Task::Release, _) => {}
        }
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
                number: 0,
                waits: false,
                has_key: true,
                stop_answered: false,
                delivered_after: false,
                delivered: false,
                processes: self.tasks.map(|task| (task, Phase::Idle)),
                brokers: std::array::from_fn(|place| (spread >> place) & 1),
                crashes: 0,
            })
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let locks = self.without != Mutant::Lock;
        let is_free = !locks || (!Self::is_read(state) && !Self::is_alone(state));
        for (place, (task, phase)) in state.processes.iter().enumerate() {
            match (task, phase) {
                (Task::Release, Phase::Idle) => {
                    if !locks || !Self::is_alone(state) {
                        actions.push(Action::Read(place));
                    }
                }
                (Task::Follow, Phase::Idle) => {
                    if self.without == Mutant::ClearedEarly {
                        actions.push(Action::SayDone(place));
                    } else if is_free {
                        actions.push(Action::TakeAlone(place));
                    }
                }
                (_, Phase::Idle | Phase::SaidDone) => {
                    if is_free {
                        actions.push(Action::TakeAlone(place));
                    }
                }
                (_, Phase::Read { .. } | Phase::Alone) => actions.push(Action::Commit(place)),
                (_, Phase::Committed { .. }) => actions.push(Action::Answer(place)),
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
                let permits = self.permits(&state);
                state.processes[place].1 = Phase::Read { permits };
            }
            Action::TakeAlone(place) => state.processes[place].1 = Phase::Alone,
            Action::SayDone(place) => {
                state.waits = false;
                state.processes[place].1 = Phase::SaidDone;
            }
            Action::Commit(place) => {
                let (task, phase) = state.processes[place];
                Self::commit(&mut state, task, phase);
                let number = state.number;
                state.processes[place].1 = Phase::Committed { number };
            }
            Action::Answer(place) => {
                let stops = matches!(state.processes[place].0, Task::Stop | Task::Uphold);
                state.stop_answered |= stops;
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
            Property::<Self>::always(NOTHING_LATE, |_, state| !state.delivered_after),
            Property::<Self>::always("an answered stop is committed", |_, state| {
                !state.stop_answered || state.number > 0
            }),
            Property::<Self>::always(NO_KEY_LEFT, |_, state| {
                let is_done = |(task, phase): &(Task, Phase)| {
                    *task != Task::Follow || !matches!(phase, Phase::SaidDone | Phase::Alone)
                };
                let at_rest = !state.waits && state.processes.iter().all(is_done);
                !at_rest || state.number == 0 || !state.has_key
            }),
            Property::<Self>::sometimes("something is delivered", |_, state| state.delivered),
            Property::<Self>::sometimes("a stop is answered after a crash", |_, state| {
                state.stop_answered && state.crashes > 0
            }),
        ]
    }
}

fn system(without: Mutant, tasks: [Task; PROCESSES]) -> System {
    System { without, tasks }
}

/// The programs that are tried: a stop with a new consent right after it, and a decision about an objection.
const PROGRAMS: [[Task; PROCESSES]; 3] = [
    [Task::Release, Task::Stop, Task::Give, Task::Follow],
    [Task::Release, Task::Uphold, Task::Give, Task::Follow],
    [Task::Release, Task::Stop, Task::Stop, Task::Follow],
];

#[test]
fn nothing_is_delivered_after_a_stop_was_answered() {
    for tasks in PROGRAMS {
        let checker = system(Mutant::None, tasks).explore();
        checker.assert_properties();
        assert!(
            checker.unique_state_count() > 1_000,
            "the model is not empty"
        );
    }
}

#[test]
fn whatever_is_left_out_is_found() {
    for (without, property) in [
        (Mutant::Lock, NOTHING_LATE),
        (Mutant::StopNumber, NOTHING_LATE),
        (Mutant::ClearedEarly, NO_KEY_LEFT),
    ] {
        let checker = system(without, PROGRAMS[0]).explore();
        let found = checker.discovery(property);
        assert!(found.is_some(), "{without:?} was not caught");
    }
}
