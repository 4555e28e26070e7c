//! The schedule in virtual time: phases, steps of the wall clock, suspension, jitter, many timers.

use super::{
    calendar::Calendar,
    plan::{Appointments, Plan},
    *,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// A machine with two clocks, and the timers on it.
struct World {
    schedule: Schedule,
    now: Instant,
    wall: Timestamp,
    /// Firings so far: by which timer, at which time of day, how late and after how many missed.
    fired: Vec<(TimerId, String, u64, u64)>,
    /// Firings that were only counted.
    passed_over: u64,
    looks: u64,
}

impl World {
    fn at(wall: &str) -> Self {
        Self {
            schedule: Schedule::default(),
            now: Instant::now(),
            wall: wall.parse().expect("a time"),
            fired: Vec::new(),
            passed_over: 0,
            looks: 0,
        }
    }

    fn add(&mut self, plan: &Plan) -> TimerId {
        let id = self.schedule.number();
        let entry = plan.begin(self.now, self.wall).expect("there is something to come");
        self.schedule.enter(id, entry);
        id
    }

    /// Lets both clocks pass, looking when the schedule asks for it and no more often.
    fn run(&mut self, seconds: i64) {
        let end = self.now + Duration::from_secs(seconds.unsigned_abs());
        loop {
            let next = self.schedule.next(self.now, self.wall).filter(|next| *next <= end);
            let to = next.unwrap_or(end).max(self.now);
            self.wall = self.wall.checked_add(to - self.now).expect("a time");
            self.now = to;
            self.looks += 1;
            while let Some(Firing { turn, id }) = self.schedule.pop_due(self.now, self.wall) {
                if turn.fires {
                    let at = self.wall.checked_sub(turn.late).expect("a time");
                    let at = at.strftime("%H:%M:%S").to_string();
                    self.fired.push((id, at, turn.late.as_secs(), turn.missed));
                } else {
                    self.passed_over += turn.missed;
                }
            }
            if next.is_none() {
                return;
            }
        }
    }

    /// Sets the wall clock, as an operator does, or suspends the machine: only wall time passes.
    fn set(&mut self, seconds: i64) {
        self.wall = self.wall.checked_add(SignedDuration::from_secs(seconds)).expect("a time");
    }

    fn times(&mut self) -> Vec<String> {
        self.fired.drain(..).map(|(_, at, ..)| at).collect()
    }
}

fn cron(line: &str) -> Appointments {
    let calendar = Calendar::cron(line, Some("UTC".into()), Timestamp::UNIX_EPOCH).expect("valid");
    Appointments { calendar, offset: Duration::ZERO, catches_up: false }
}

fn at(text: &str) -> Plan {
    let calendar = Calendar::at(text, Some("UTC".into())).expect("valid");
    Plan::Calendar(Appointments { calendar, offset: Duration::ZERO, catches_up: false })
}

fn every(interval: Duration) -> Plan {
    Plan::Every { interval, is_immediate: false, offset: Duration::ZERO }
}

#[test]
fn an_interval_keeps_its_phase_and_counts_what_it_missed() {
    let start = Instant::now();
    let wall = Timestamp::UNIX_EPOCH;
    let mut schedule = Schedule::default();
    let id = schedule.number();
    schedule.enter(id, every(SECOND).begin(start, wall).expect("begins"));
    let late = Duration::from_millis(300);
    let turn = Turn { late, missed: 0, fires: true, is_last: false };
    assert_eq!(schedule.pop_due(start + SECOND + late, wall), Some(Firing { id, turn }));
    assert_eq!(schedule.next(start + SECOND + late, wall), Some(start + SECOND * 2));
    // Asleep for three and a half intervals.
    let turn = Turn { late: SECOND / 2, missed: 3, fires: true, is_last: false };
    let woken = start + SECOND * 5 + SECOND / 2;
    assert_eq!(schedule.pop_due(woken, wall), Some(Firing { id, turn }));
    assert_eq!(schedule.next(woken, wall), Some(start + SECOND * 6));
}

#[test]
fn a_cancelled_timer_leaves_nothing_to_wait_for() {
    let mut world = World::at("2026-01-01T00:00:00Z");
    for plan in [Plan::After { delay: SECOND }, every(SECOND), Plan::Calendar(cron("* * * * *"))] {
        let id = world.add(&plan);
        assert!(world.schedule.remove(id).is_some());
        assert!(world.schedule.remove(id).is_none());
        assert_eq!(world.schedule.next(world.now, world.wall), None);
        assert_eq!(world.schedule.elapsed.len() + world.schedule.wall.len(), 0, "nothing is left");
    }
}

#[test]
fn jitter_is_stable_and_differs_by_script() {
    let offset = |script| jitter_offset(SECOND, script, "t", "host");
    assert_eq!(offset("a"), offset("a"));
    assert_ne!(offset("a"), offset("b"));
    assert!(offset("a") < SECOND);
}

#[test]
fn jitter_moves_every_firing_by_the_same_and_loses_none() {
    // Longer than the time between two firings, even.
    for seconds in [7, 150] {
        let mut world = World::at("2026-01-01T00:00:30Z");
        let offset = Duration::from_secs(seconds);
        world.add(&Plan::Calendar(Appointments { offset, ..cron("* * * * *") }));
        world.run(3 * MINUTE);
        let second = format!(":{:02}", seconds % 60);
        let times = world.times();
        assert_eq!(times.len(), 3, "{times:?}");
        assert!(times.iter().all(|at| at.ends_with(&second)), "{times:?}");
    }
    let mut world = World::at("2026-01-01T00:00:00Z");
    let offset = Duration::from_secs(4);
    world.add(&Plan::Every { interval: SECOND * 10, is_immediate: true, offset });
    world.run(30);
    assert_eq!(world.times(), ["00:00:04", "00:00:14", "00:00:24"]);
}

#[test]
fn huge_durations_are_far_away_and_nothing_else() {
    let thousand_years = Duration::from_secs(1000 * 366 * 86_400);
    let mut world = World::at("2026-01-01T00:00:00Z");
    world.add(&Plan::After { delay: thousand_years });
    world.add(&Plan::Every {
        interval: thousand_years,
        is_immediate: false,
        offset: thousand_years,
    });
    world.add(&Plan::Calendar(Appointments { offset: thousand_years * 7, ..cron("* * * * *") }));
    world.run(24 * HOUR);
    assert_eq!(world.times(), Vec::<String>::new());
}

#[test]
fn a_line_fires_at_its_times_and_is_looked_at_every_half_minute() {
    let mut world = World::at("2026-01-01T11:59:50Z");
    world.add(&Plan::Calendar(cron("0,5 12 * * *")));
    world.run(10 * MINUTE);
    assert_eq!(world.times(), ["12:00:00", "12:05:00"]);
    assert!(world.looks < 40, "{} looks in ten minutes", world.looks);
}

#[test]
fn a_step_forward_is_seen_within_half_a_minute() {
    let mut world = World::at("2026-01-01T11:00:00Z");
    world.add(&Plan::Calendar(cron("0 12 * * *")));
    world.run(10);
    // To ten seconds before the firing: looked at last at 11:00:00.
    world.set(HOUR - 20);
    world.run(HOUR);
    let (_, at, late, missed) = world.fired.pop().expect("fired");
    assert_eq!((at.as_str(), missed), ("12:00:00", 0));
    assert!(late <= 30, "{late} s late");
    assert!(world.fired.is_empty());
}

#[test]
fn a_firing_that_was_stepped_over_is_counted_or_made_up_for_once() {
    for catches_up in [false, true] {
        let mut world = World::at("2026-01-01T11:50:00Z");
        world.add(&Plan::Calendar(Appointments { catches_up, ..cron("0 * * * *") }));
        world.run(MINUTE);
        world.set(3 * HOUR);
        world.run(30);
        if catches_up {
            let (_, at, late, missed) = world.fired.remove(0);
            assert_eq!((at.as_str(), missed), ("14:00:00", 2), "12:00 and 13:00");
            assert!((51 * 60..=52 * 60).contains(&late), "{late}");
            assert_eq!(world.passed_over, 0);
        } else {
            assert_eq!((world.fired.len(), world.passed_over), (0, 3));
        }
        world.run(10 * MINUTE);
        assert_eq!(world.times(), ["15:00:00"], "and goes on");
    }
}

#[test]
fn a_suspended_machine_fires_what_is_not_long_ago() {
    // For the timers, a night with the lid closed is a step forward.
    let mut world = World::at("2026-01-01T22:00:45Z");
    let minutely = world.add(&Plan::Calendar(cron("* * * * *")));
    let nightly =
        world.add(&Plan::Calendar(Appointments { catches_up: true, ..cron("30 2 * * *") }));
    let once = world.add(&at("03:00"));
    let interval = world.add(&every(Duration::from_secs(600)));
    world.run(0);
    world.set(8 * HOUR);
    world.run(10);
    let fired: Vec<_> = world.fired.drain(..).map(|(id, at, ..)| (id, at)).collect();
    // Elapsed time did not pass; what happens once is late rather than lost.
    assert_eq!(fired, [(nightly, "02:30:00".into()), (once, "03:00:00".into())]);
    assert_eq!(world.passed_over, 480, "minutes of that night");
    world.run(10);
    assert_eq!(world.fired.pop().map(|(id, at, ..)| (id, at)), Some((minutely, "06:01:00".into())));
    world.run(10 * MINUTE);
    assert!(world.fired.iter().any(|(id, ..)| *id == interval));
}

#[test]
fn a_step_back_fires_no_minute_twice() {
    let mut world = World::at("2026-01-01T11:30:00Z");
    world.add(&Plan::Calendar(cron("*/10 * * * *")));
    world.add(&Plan::Calendar(cron("45 11 * * *")));
    world.run(35 * MINUTE);
    assert_eq!(world.times(), ["11:40:00", "11:45:00", "11:50:00", "12:00:00"]);
    // 12:05 again becomes 11:05; what has not had its turn yet gets it.
    world.set(-HOUR);
    world.run(70 * MINUTE);
    assert_eq!(world.times(), ["11:10:00", "11:20:00", "11:30:00", "12:10:00"]);
    // A little, across a firing: 12:20:01 becomes 12:19:59.
    world.run(4 * MINUTE + 61);
    assert_eq!(world.times(), ["12:20:00"]);
    world.set(-2);
    world.run(10 * MINUTE);
    assert_eq!(world.times(), Vec::<String>::new());
    // Back over times that have come and times that have not, twice.
    world.set(-30 * MINUTE);
    world.run(5 * MINUTE);
    world.set(-75 * MINUTE);
    world.run(115 * MINUTE);
    assert_eq!(world.times(), ["10:50:00", "11:00:00", "12:30:00", "12:40:00"]);
}

#[test]
fn a_clock_that_was_wrong_by_far_is_followed_at_once() {
    let mut world = World::at("2030-06-01T12:00:30Z");
    world.add(&Plan::Calendar(cron("* * * * *")));
    world.add(&at("12:05"));
    world.add(&at("2026-01-01 11:58"));
    world.run(90);
    // The date had passed by then.
    assert_eq!(world.times(), ["11:58:00", "12:01:00", "12:02:00"]);
    world.set(-4 * 366 * 24 * HOUR);
    world.run(4 * MINUTE);
    assert_eq!(world.times(), ["12:03:00", "12:04:00", "12:05:00", "12:05:00", "12:06:00"]);
}

#[test]
fn a_date_waits_for_its_date_wherever_the_clock_goes() {
    let mut world = World::at("2026-01-01T12:00:00Z");
    world.add(&at("2026-01-01 13:00"));
    world.run(MINUTE);
    world.set(-24 * HOUR);
    world.run(24 * HOUR);
    assert_eq!(world.times(), Vec::<String>::new());
    world.run(HOUR);
    assert_eq!(world.times(), ["13:00:00"]);
}

#[test]
fn a_leap_of_years_over_a_line_of_seconds_takes_no_time_at_all() {
    let mut world = World::at("2026-01-01T12:00:00Z");
    world.add(&Plan::Calendar(cron("* * * * * *")));
    world.run(0);
    world.set(20 * 365 * 24 * HOUR);
    let began = Instant::now();
    world.run(0);
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    let (_, _, late, missed) = world.fired.pop().expect("the latest is not late");
    assert_eq!((late, world.fired.len()), (0, 0));
    assert!(missed >= 999, "{missed}");
}

#[test]
fn a_timer_that_asks_for_the_same_takes_up_where_another_stands() {
    let mut world = World::at("2026-01-01T11:59:50Z");
    let plans = [
        every(Duration::from_secs(60)),
        Plan::After { delay: Duration::from_secs(60) },
        Plan::Calendar(cron("0 12 * * *")),
    ];
    let stood: Vec<Entry> =
        plans.iter().map(|plan| plan.begin(world.now, world.wall).expect("begins")).collect();
    world.run(30);
    let mut taken_up = Vec::new();
    for (plan, entry) in plans.iter().zip(&stood) {
        for (other, stands) in plans.iter().zip(&stood) {
            let resumed = plan.resume(stands);
            assert_eq!(resumed.is_some(), plan.words() == other.words(), "{plan:?} {other:?}");
        }
        let id = world.schedule.number();
        world.schedule.enter(id, plan.resume(entry).expect("the same"));
        taken_up.push(id);
    }
    world.run(40);
    // Noon was due while nobody looked; the others keep their phase.
    let fired: Vec<_> = world.fired.iter().map(|(id, at, ..)| (*id, at.as_str())).collect();
    assert_eq!(
        fired,
        [(taken_up[2], "12:00:00"), (taken_up[0], "12:00:50"), (taken_up[1], "12:00:50")]
    );
    assert!(every(SECOND * 61).resume(&stood[0]).is_none());
    assert!(Plan::Calendar(cron("1 12 * * *")).resume(&stood[2]).is_none());
}

#[test]
fn ten_thousand_timers_cost_no_more_per_firing_than_a_few() {
    let cost = |timers: u32| {
        let mut world = World::at("2026-01-01T00:00:00Z");
        let monthly = Plan::Calendar(cron("0 0 1 * *"));
        for at in 0..timers {
            // Spread, so that each look finds one of them.
            world.add(&Plan::Every {
                interval: Duration::from_secs(10_000),
                is_immediate: false,
                offset: SECOND * at,
            });
            world.add(&monthly);
        }
        world.run(9_999);
        let began = Instant::now();
        world.run(100);
        let fired = world.fired.len();
        assert!(fired >= 99, "{fired}");
        began.elapsed()
    };
    let few = cost(100);
    let many = (0..3).map(|_| cost(10_000)).min().expect("three");
    assert!(many < few * 20 + Duration::from_millis(5), "{few:?} for 100, {many:?} for 10,000");
}
