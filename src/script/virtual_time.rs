//! Scripts on virtual time: days of timers in a moment, clocks that are set, versions that follow
//! one another.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Limits, Permissions, ScriptSpec,
    clock::Clock,
    commons::Commons,
    generation::{Ground, Heritage, Modules},
    host::Mail,
    life::Reason,
    status::Vitals,
    thread::{Setup, serve},
    threads::Threads,
    watch::Hub,
};
use crate::{
    command::Command,
    driver::{self, Envelope, Inbox},
};

/// What `say` sends is what the tests look at.
const SAY: &str = r#"
local function say(text)
    pua.send_publish { presentity_uri = "sip:a@example.com", event = "presence", body = text }
end
local function at(unix, form) return os.date(form or "!%d %H:%M:%S", unix) end
"#;

/// A script on virtual time, one version after the other.
struct Play {
    ground: Ground,
    inbox: Inbox,
    versions: Vec<mpsc::UnboundedSender<Mail>>,
    vitals: Vec<Arc<Mutex<Vitals>>>,
}

impl Play {
    fn new(begins: &str) -> Self {
        let (core, inbox) = driver::channel();
        let hub = Hub::start();
        hub.stop();
        let ground = Ground {
            core,
            hub,
            commons: Arc::new(Commons::default()),
            clock: Clock::beginning_at(begins.parse().expect("a time")),
            threads: Threads::new(1),
            orphan_patience: Duration::from_secs(60),
            stopping: tokio::sync::watch::channel(false).1,
            is_rehearsal: false,
            fakes: None,
        };
        Self { ground, inbox, versions: Vec::new(), vitals: Vec::new() }
    }

    /// Runs the top level of a version, the second one beside the first.
    async fn load(&mut self, source: &str) {
        let (mail, inbox) = mpsc::unbounded_channel();
        let (told, loaded) = oneshot::channel();
        let (keeper, _) = mpsc::unbounded_channel();
        let vitals = Arc::new(Mutex::new(Vitals::default()));
        let spec = ScriptSpec {
            name: "test".into(),
            path: "/nowhere/test.lua".into(),
            source: format!("{}{source}", SAY.replace('\n', " ")),
            config: toml::Table::new(),
            config_dir: "/nowhere".into(),
            lib_dirs: Vec::new(),
            allow: Permissions::default(),
            limits: Limits::default(),
        };
        spawn_local(serve(Setup {
            ground: self.ground.clone(),
            spec,
            number: self.versions.len() as u64 + 1,
            heritage: (!self.versions.is_empty()).then(Heritage::default),
            mail: mail.clone(),
            inbox,
            vitals: vitals.clone(),
            modules: Modules::default(),
            keeper,
            loaded: told,
        }));
        self.versions.push(mail);
        self.vitals.push(vitals);
        loaded.await.expect("a script that says how it went").expect("no error at top level");
    }

    /// Has the second version take over from the first, `span` after that has ended.
    async fn take_over(&mut self, span: Duration) {
        let (reply, carried) = oneshot::channel();
        self.versions[0].send(Mail::Retire(Reason::Reload, reply)).expect("it runs");
        let carried = carried.await.expect("an heir");
        sleep(span).await;
        let (reply, done) = oneshot::channel();
        self.versions[1].send(Mail::TakeOver(carried, reply)).expect("it runs");
        done.await.expect("it takes over");
    }

    /// Lets time pass, and returns what was said.
    async fn run(&mut self, span: Duration) -> Vec<String> {
        let end = Instant::now() + span;
        let mut said = Vec::new();
        while let Ok(Some(envelope)) = timeout_at(end, self.inbox.recv()).await {
            said.extend(text_of(envelope));
        }
        for vitals in &self.vitals {
            let error = vitals.lock().expect("no panic").last_error.clone();
            assert_eq!(error, None, "{said:?}");
        }
        said
    }
}

/// Runs a script from `begins` on for some virtual time, while `meanwhile` has its way with the
/// clock, and returns what it said.
fn play<F: Future<Output = ()>>(
    source: &str,
    begins: &str,
    span: Duration,
    meanwhile: impl FnOnce(Clock) -> F,
) -> Vec<String> {
    let mut play = Play::new(begins);
    let clock = play.ground.clock.clone();
    paused(async move {
        let heard = async {
            play.load(source).await;
            play.run(span).await
        };
        tokio::join!(heard, meanwhile(clock)).0
    })
}

/// Runs on a runtime whose clock stands still while anything is to do, and leaps when not.
fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, future)
}

fn text_of(envelope: Envelope) -> Option<String> {
    match envelope {
        Envelope::Call(Command::Publish(publish), _) => {
            let body = publish.document.expect("a body").body;
            Some(String::from_utf8(body.to_vec()).expect("UTF-8"))
        }
        Envelope::Call(..) | Envelope::Listen(..) | Envelope::Observe(_) => None,
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[test]
fn a_script_sees_virtual_time_everywhere() {
    let source = r#"
        local start = os.time()
        say(`{start} {os.date("!%Y-%m-%dT%H:%M:%S")} {os.clock()}`)
        sleep("1h")
        local now = os.date("!*t")
        say(`{os.time() - start} {now.hour}:{now.min} {os.clock()} {os.date("*t").year} {#os.date()}`)
        say(`{os.time { year = 1970, month = 1, day = 2, hour = 0 }} {os.date("!%d", 86400)} {os.difftime(5, 3)}`)
        local ok, why = pcall(os.date, "%Ez")
        say(`{ok}`)
        timer.after("1d", function(t) say(`{at(t.scheduled)} {t.lateness}`) end)
    "#;
    let said = play(source, "2026-03-29T00:00:00Z", minutes(3 * 24 * 60), async |_| {});
    assert_eq!(said[0], "1774742400 2026-03-29T00:00:00 0");
    assert_eq!(said[1], format!("3600 1:0 3600 2026 {}", "Sun Mar 29 01:00:00 2026".len()));
    assert_eq!(said[2], "86400 02 2");
    assert_eq!(said[3], "false");
    // Sleeps end with the millisecond after.
    assert!(said[4].starts_with("30 01:00:0"), "{said:?}");
}

#[test]
fn lines_and_times_fire_through_a_night_without_two_o_clock() {
    let source = r#"
        local opts = { tz = "Europe/Berlin" }
        timer.cron("30 2 * * *", function(t) say(`daily {at(t.scheduled)} {t.run} {t.missed} {t.lateness < 0.01}`) end, opts)
        timer.cron("@hourly", function(t) if t.run <= 3 then say(`hourly {at(t.scheduled)}`) end end, opts)
        timer.at("02:45", function(t) say(`at {at(t.scheduled)} {t.run}`) end, opts)
        timer.at("2026-03-30 00:00", function(t) say(`date {at(t.scheduled)}`) end, opts)
    "#;
    let said = play(source, "2026-03-28T23:30:00Z", minutes(3 * 24 * 60), async |_| {});
    let expected = [
        "hourly 29 00:00:00",
        "at 29 01:00:00 1",
        "daily 29 01:00:00 1 0 true",
        "hourly 29 01:00:00",
        "hourly 29 02:00:00",
        "date 29 22:00:00",
        "daily 30 00:30:00 2 0 true",
        "daily 31 00:30:00 3 0 true",
    ];
    let mut sorted = said.clone();
    sorted[1..4].sort();
    assert_eq!(sorted, expected, "{said:?}");
}

#[test]
fn a_clock_that_is_set_moves_wall_time_and_nothing_else() {
    let source = r#"
        timer.cron("0 * * * *", function(t) say(`skip {at(t.scheduled)} {t.missed} {t.lateness <= 30}`) end, { tz = "UTC" })
        timer.cron("0 * * * *", function(t) say(`once {at(t.scheduled)} {t.missed}`) end, { tz = "UTC", missed = "once" })
        timer.every("1h", function(t) say(`every {t.run}`) end)
    "#;
    let said = play(source, "2026-01-01T11:50:00Z", minutes(75), async |clock| {
        sleep(minutes(5)).await;
        // 11:55 becomes 14:20, later 15:10 becomes 14:55.
        clock.set_by(145 * 60);
        sleep(minutes(50)).await;
        clock.set_by(-15 * 60);
    });
    assert_eq!(
        said,
        ["once 01 14:00:00 2", "skip 01 15:00:00 3 true", "once 01 15:00:00 0", "every 1",],
        "and 15:00 once only"
    );
}

#[test]
fn firings_during_a_long_run_are_skipped_made_up_for_once_or_queued() {
    let run = |opts: &str| {
        let source = format!(
            r#"
            local start = os.clock()
            local t
            t = timer.every(1, function(f)
                say(("%d %.0f %g %d"):format(f.run, os.clock() - start - f.lateness, f.lateness // 0.1 / 10, f.missed))
                if f.run == 1 then sleep(3.45) end
                if f.run == 4 then say(`{{t:info().missed}} in all`) t:cancel() end
            end, {opts})"#
        );
        play(&source, "2026-01-01T00:00:00Z", minutes(1), async |_| {})
    };
    // Run, when it was due, how late it began, and what was missed before.
    assert_eq!(run("{}"), ["1 1 0 0", "2 5 0 3", "3 6 0 0", "4 7 0 0", "3 in all"]);
    let once = run("{ missed = 'once' }");
    assert_eq!(once, ["1 1 0 0", "2 2 2.4 2", "3 5 0 0", "4 6 0 0", "2 in all"]);
    let queued = run("{ overlap = 'queue' }");
    assert_eq!(queued, ["1 1 0 0", "2 2 2.4 0", "3 3 1.4 0", "4 4 0.4 0", "0 in all"]);
}

#[test]
fn a_cancelled_timer_drops_what_was_queued() {
    let source = r#"
        local t
        t = timer.cron("* * * * * *", function(f) say(`run {f.run}`) sleep(3.5) t:cancel() end, { overlap = "queue" })
    "#;
    let said = play(source, "2026-01-01T00:00:00Z", minutes(1), async |_| {});
    assert_eq!(said, ["run 1"]);
}

#[test]
fn named_timers_keep_their_phase_from_version_to_version() {
    let source = r#"
        local function tell(t) say(`{t.name} {at(t.scheduled)} {t.run}`) end
        timer.every("10m", tell, { name = "every", immediate = true })
        timer.cron("0 * * * *", tell, { name = "cron", tz = "UTC" })
        timer.after("18m", tell, { name = "after" })
        timer.every("INTERVAL", tell, { name = "changed" })
        timer.every("10m", function() say("fresh") end)
        local t = timer.every("10m", tell, { name = "never" })
        assert(t:next() == os.time() + 600)
        t:cancel()
    "#;
    paused(async {
        let mut play = Play::new("2026-01-01T11:50:00Z");
        play.load(&source.replace("INTERVAL", "7m")).await;
        let said = play.run(minutes(8)).await;
        assert_eq!(said, ["every 01 11:50:00 1", "changed 01 11:57:00 1"]);
        play.load(&source.replace("INTERVAL", "6m")).await;
        assert_eq!(play.run(minutes(1)).await, Vec::<String>::new());
        // Noon goes by while nobody is there to fire.
        play.take_over(Duration::from_secs(70)).await;
        // What was due is fired at once, what was begun goes on, what was changed begins anew.
        assert_eq!(
            play.run(minutes(8)).await,
            [
                "every 01 12:00:00 2",
                "cron 01 12:00:00 1",
                "changed 01 12:06:10 1",
                "after 01 12:08:00 1"
            ]
        );
        assert_eq!(play.run(minutes(3)).await, ["every 01 12:10:00 3", "fresh"]);
    });
}

#[test]
fn a_timer_fired_by_hand_while_staged_fires_when_its_version_counts() {
    let source = r#"
        local t = timer.after("1h", function(t) say(`once {t.run}`) end)
        local u = timer.every("1h", function(t) say(`again {t.run}`) end)
        if script.generation == 2 then
            assert(t:fire() and u:fire())
        end
        local gone = timer.after(0, function() say("cancelled") end)
        if script.generation == 2 then
            assert(gone:fire())
            gone:cancel()
            assert(not gone:fire())
        end
    "#;
    paused(async {
        let mut play = Play::new("2026-01-01T11:50:00Z");
        play.load(source).await;
        assert_eq!(play.run(minutes(1)).await, ["cancelled"]);
        play.load(source).await;
        assert_eq!(play.run(minutes(1)).await, Vec::<String>::new());
        play.take_over(Duration::ZERO).await;
        assert_eq!(play.run(minutes(1)).await, ["once 1", "again 1"]);
        assert_eq!(play.run(minutes(90)).await, ["again 2"]);
    });
}
