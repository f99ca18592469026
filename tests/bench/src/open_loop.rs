//! Latency at a steady rate, without coordinated omission: offers, answers to them, and pairs of Prepare and
//! Offer, begun at their scheduled moments whatever became of those before.
//!
//! Must never say that a rate was kept up when it was not.

use crate::desks::{Desks, FOUR};
use crate::flow::open;
use crate::servers::{Sandbox, Site};
use crate::table::Table;
use rules::limits::QUOTA_PREPARE_PER_DAY;
use std::sync::Arc;

/// Calls a second.
const RATES: [u32; 2] = [50, 200];
/// The rate at which the design bounds an offer's latency, and the bound.
const BOUND: (u32, f64) = (50, 25.0);
/// The most seconds of each loop: two handovers for each moment of each rate are within four
/// organisations' quotas.
pub(crate) const SECONDS_MAX: usize =
    FOUR.len() * QUOTA_PREPARE_PER_DAY as usize / (2 * (50 + 200));

/// Measures and prints.
pub(crate) async fn measure(site: &Site, seconds: usize, concurrency: usize, table: &mut Table) {
    let sandbox = site.start("open-loop").await;
    let moments = RATES.map(|rate| rate as usize * seconds);
    let persons = 2 * moments.iter().sum::<usize>();
    let desks = Desks::open(&sandbox.folder, &sandbox.stores, FOUR, persons).await;
    for (rate, count) in RATES.into_iter().zip(moments) {
        let (first, ids, _) = desks.prepare_all(count, concurrency).await;
        table.heading(&format!(
            "{}: open loop, {rate} a second for {seconds} s, four organisations (latency from the scheduled moment)",
            site.engine
        ));
        let (sent, list) = (desks.clone(), Arc::clone(&ids));
        let flow = open(rate, count, move |index| {
            let (desks, id) = (sent.clone(), list[index]);
            async move {
                let offered = desks.offer(first + index, &id).await;
                offered.map_err(|error| error.to_string())
            }
        })
        .await;
        let bound = (rate == BOUND.0).then_some(BOUND.1);
        flow.print(&format!("CreateOffer at {rate}/s"), bound, table);

        let (answering, list) = (desks.clone(), Arc::clone(&ids));
        let flow = open(rate, count, move |index| {
            let (desks, id) = (answering.clone(), list[index]);
            async move {
                let accepted = desks.accept(first + index, &id).await;
                accepted.map_err(|error| error.to_string())
            }
        })
        .await;
        flow.print(&format!("FetchOffer + Accept at {rate}/s"), None, table);

        let (sending, begin) = (desks.clone(), desks.fresh(count));
        let flow = open(rate, count, move |index| {
            let (desks, person) = (sending.clone(), begin + index);
            async move {
                let why = |error: client::ClientError| error.to_string();
                let id = desks.prepare(person).await.map_err(why)?;
                desks.offer(person, &id).await.map_err(why)
            }
        })
        .await;
        flow.print(&format!("Prepare + Offer at {rate}/s"), None, table);
    }
    Sandbox::stop(sandbox).await;
}
