//! Thousands of small worlds in which anything may go wrong, and what must hold in each.
//!
//! One seed is one world: a core in virtual time, a compositor, a network between them, and a user
//! who changes their mind. After a bad time all is well, and what was last asked for must come up.
//! `PUAD_SEED=17 cargo test --test it NAME -- --nocapture` lives one world again and tells it.

mod compositor;
mod dice;
mod judge;
mod message;
mod plan;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use plan::{Plan, Trouble};
use world::{Summary, World};

#[test]
fn pub_11_whatever_gets_lost_one_publish_per_request_uri_and_the_last_state_arrives() {
    explore(Trouble::Loss, 2500);
}

#[test]
fn pub_13_a_compositor_that_forgets_everything_gets_it_all_back() {
    explore(Trouble::Restarts, 2500);
}

#[test]
fn pub_23_push_back_errors_and_missing_tags_end_in_the_wanted_state() {
    explore(Trouble::Answers, 2500);
}

#[test]
fn pub_18_connections_that_break_refuse_or_hang_lose_nothing() {
    explore(Trouble::Connections, 2500);
}

#[test]
fn whatever_happens_together_the_last_state_of_every_key_arrives() {
    explore(Trouble::Everything, 4000);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for trouble in TROUBLES {
        for seed in 1_000_000..1_000_020 {
            let plan = Plan::new(trouble, seed);
            let [first, second] = [0, 1].map(|_| {
                let mut world = World::new(&plan);
                world.is_thorough = true;
                world.live().unwrap_or_else(|problem| panic!("{trouble:?} {seed}: {problem}"))
            });
            assert_eq!(first, second, "{trouble:?} {seed}");
        }
    }
}

/// Lives the worlds of `count` seeds on all cores; panics with the story of the first that fails.
fn explore(trouble: Trouble, count: u64) {
    if let Some(seed) = std::env::var("PUAD_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let (story, result) = retell(trouble, seed);
        eprintln!("{story}\n{:#?}", Plan::new(trouble, seed));
        result.unwrap_or_else(|problem| panic!("{trouble:?}, seed {seed}: {problem}"));
        return;
    }
    let count = std::env::var("PUAD_SEEDS").ok().and_then(|c| c.parse().ok()).unwrap_or(count);
    let started = Instant::now();
    let (next, transactions) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count || failures.lock().expect("no panic inside").len() >= MOST_TOLD
                    {
                        return;
                    }
                    match live(trouble, seed) {
                        Ok(summary) => {
                            transactions.fetch_add(summary.transactions, Ordering::Relaxed);
                        }
                        Err(problem) => {
                            failures.lock().expect("no panic inside").push((seed, problem));
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic inside");
    failures.sort();
    if let Some((seed, _)) = failures.first() {
        let (story, _) = retell(trouble, *seed);
        let lines: Vec<_> = story.lines().collect();
        let last = lines[lines.len().saturating_sub(60)..].join("\n");
        panic!("{trouble:?}: {failures:#?}\nthe last of seed {seed}:\n{last}");
    }
    let took = started.elapsed().as_secs_f64();
    eprintln!(
        "{trouble:?}: {count} worlds, {} transactions, {:.0} worlds a second",
        transactions.load(Ordering::Relaxed),
        count as f64 / took
    );
}

fn live(trouble: Trouble, seed: u64) -> Result<Summary, String> {
    let plan = Plan::new(trouble, seed);
    let mut world = World::new(&plan);
    run(&mut world)
}

/// Lives a world again, with every step told.
fn retell(trouble: Trouble, seed: u64) -> (String, Result<Summary, String>) {
    let plan = Plan::new(trouble, seed);
    let mut world = World::new(&plan);
    world.trace = Some(Vec::new());
    let result = run(&mut world);
    (world.trace.take().unwrap_or_default().join("\n"), result)
}

fn run(world: &mut World<'_>) -> Result<Summary, String> {
    catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).into())).unwrap_or_default())
    })
}

const TROUBLES: [Trouble; 5] =
    [Trouble::Loss, Trouble::Restarts, Trouble::Answers, Trouble::Connections, Trouble::Everything];
const MOST_TOLD: usize = 8;
