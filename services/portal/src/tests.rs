//! The portal with a broker of paper: what a person sees, chooses and stops, and what lies in the
//! database meanwhile.

mod choices;
mod feed;
mod finds;
mod mends;
mod sentences;
mod stops;
mod world;

use super::Need;
use papers::author::Choice;
use world::World;

/// More than an errand rests.
const REST_MILLIS: i64 = 5_000;

/// A person's no to the choice of this world.
fn no(world: &World) -> Choice {
    Choice {
        categories: [].into(),
        refused: true,
        ..world.choice()
    }
}

/// A while later the portal's own work is done once more.
async fn later(world: &World) {
    world.pass(REST_MILLIS);
    for need in [Need::Broker, Need::Holders] {
        drop(world.portal.run_errands(need).await);
    }
}
