//! `timer` as a script sees it: what its calls take, refuse and return, in real time.
//!
//! What fires when, over days and clock changes, is shown beside the schedule, in virtual time.

use std::time::{Duration, Instant};

use puad::script::Taken;

use crate::support::{house::House, lua::Stage};

/// Runs a script whose assertions must hold.
fn holds(source: &str) {
    let mut stage = Stage::run(source);
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(stage.status().last_error, None);
}

/// A script that publishes what `say` is given.
fn saying(source: &str) -> Stage {
    let say = "local function say(text) pua.publish { presentity_uri = 'sip:a@example.com', event = 'presence', body = text } end ";
    Stage::run(&format!("{say}{source}"))
}

#[test]
fn mistakes_in_a_call_are_raised_on_its_line() {
    for (call, expected) in [
        ("timer.every('soon', print)", "timer.every: first argument: \"soon\" is not a duration"),
        ("timer.every(0/0, print)", "timer.every: first argument: NaN is not a duration"),
        ("timer.every(1/0, print)", "timer.every: first argument: inf is not a duration"),
        ("timer.every(-1, print)", "timer.every: first argument: -1 is not a duration"),
        ("timer.every(0.05, print)", "is shorter than the 100ms a timer may have"),
        ("timer.every(1)", "timer.every: second argument: nil is not a function"),
        ("timer.every(1, print, { jitter = -1 })", "timer.every: jitter: -1 is not a duration"),
        ("timer.every(1, print, { tz = 'UTC' })", "timer.every: unknown option 'tz'"),
        (
            "timer.every(1, print, { missed = 'twice' })",
            "missed: \"twice\" is not \"skip\" or \"once\"",
        ),
        ("timer.after(-0.1, print)", "timer.after: first argument: -0.1 is not a duration"),
        ("timer.after(1, print, { missed = 'once' })", "timer.after: unknown option 'missed'"),
        (
            "timer.at('25:00', print)",
            "timer.at: first argument: \"25:00\" is not a time (\"14:00\", \"14:00:30\" or \"2026-12-24 18:00\")",
        ),
        ("timer.at(1764000000, print)", "write timer.after(t - os.time(), …)"),
        ("timer.at(nil, print)", "timer.at: first argument: nil is not a time"),
        (
            "timer.at('14:00', print, { tz = 'Europe/Berln' })",
            "timer.at: tz: \"Europe/Berln\" is not a time zone (did you mean \"Europe/Berlin\"?)",
        ),
        ("timer.at('14:00', print, { jitter = 1 })", "timer.at: unknown option 'jitter'"),
        (
            "timer.cron('61 * * * *', print)",
            "timer.cron: first argument: \"61 * * * *\": minute: \"61\" is not 0 to 59",
        ),
        ("timer.cron('@reboot', print)", "a script's top level runs at every start"),
        ("timer.cron('H 3 * * *', print)", "write a number, and jitter"),
        ("timer.cron('0 0 31 2 *', print)", "\"0 0 31 2 *\" names a date that never comes"),
        ("timer.cron(5, print)", "timer.cron: first argument: 5 is not a line of a crontab"),
        ("timer.cron('* * * * *', 7)", "timer.cron: second argument: 7 is not a function"),
        (
            "timer.cron('* * * * *', print, { tz = 'Mars' })",
            "timer.cron: tz: \"Mars\" is not a time zone",
        ),
        (
            "timer.cron('* * * * *', print, { immediate = true })",
            "timer.cron: unknown option 'immediate'",
        ),
        ("timer.fire()", "timer: unknown name 'fire'"),
        (
            "local t = timer.after(9, print) t.cancel()",
            "cancel: call it with a colon, as in t:cancel()",
        ),
    ] {
        let problem = Stage::run(&format!("\n{call}")).loaded().expect_err(call);
        assert!(problem.message.contains("test.lua:2: "), "{call}: {problem}");
        assert!(problem.message.contains(expected), "{call}: {problem}");
    }
}

#[test]
fn an_impossible_date_does_not_hold_up_the_script() {
    let began = Instant::now();
    holds("for _ = 1, 100 do assert(not pcall(timer.cron, '0 0 30 2 *', print)) end");
    // Each took a tenth of a second if it were searched for to the end of the calendar.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn info_says_what_a_timer_is() {
    holds(
        r#"
        local function never() error("called") end
        local i = timer.every("1h30m", never, { name = "e" }):info()
        assert(i.kind == "every" and i.interval == 5400 and i.schedule == "every 1h30m" and i.name == "e")
        assert(math.abs(i.next - os.time() - 5400) < 2 and i.runs == 0 and i.missed == 0 and i.running == false)
        i = timer.after("10d", never):info()
        assert(i.kind == "after" and i.delay == 864000 and i.schedule == "once after 10d" and i.name == nil)
        local t = timer.cron("30  2 * * mon", never, { tz = "Europe/Berlin", jitter = "10m", overlap = "queue", missed = "once" })
        i = t:info()
        assert(i.kind == "cron" and i.cron == "30 2 * * mon" and i.tz == "Europe/Berlin", i.cron)
        assert(i.schedule:lower():find("at 02:30") and i.schedule:find("Monday"), i.schedule)
        assert(i.next == t:next() and i.next > os.time() and i.next < os.time() + 8 * 86400)
        i = timer.cron("@daily", never, { tz = "UTC" }):info()
        assert(i.cron == "@daily" and i.next % 86400 == 0)
        i = timer.at("23:59:59", never, { tz = "UTC" }):info()
        assert(i.kind == "at" and i.at == "23:59:59" and i.schedule == "once at 23:59:59" and i.next % 86400 == 86399)
        i = timer.at("2999-01-01 00:00", never, { tz = "UTC" }):info()
        assert(i.next == 32472144000, i.next)
        assert(tostring(t) == "timer without a name")
        "#,
    );
}

#[test]
fn far_away_is_fine() {
    holds(
        r#"
        local t = timer.every("3650d", print, { jitter = "3650d" })
        assert(t:next() > os.time() + 3649 * 86400)
        assert(timer.after(3.1e10, print):next() > 3.1e10)
        assert(timer.cron("0 0 29 2 *", print):next() > os.time())
        "#,
    );
}

#[test]
fn a_line_and_a_time_of_the_hosts_zone_fire() {
    let mut stage = saying(
        r#"
        local soon = os.time() + 2
        local t
        t = timer.at(os.date("%H:%M:%S", soon), function(f)
            say(`{f.name} {f.scheduled == soon} {f.lateness >= 0 and f.lateness < 1} {f.missed} {f.run} {t:next()} {t:cancel()}`)
        end, { name = "at" })
        assert(t:next() == soon, t:next() - soon)
        "#,
    );
    assert_eq!(stage.said(), "at true true 0 1 nil false");
    let mut stage = saying(
        r#"
        timer.cron("* * * * * *", function(f)
            say(`{f.scheduled % 1} {f.lateness >= 0 and f.lateness < 1} {f.run}`)
        end)
        "#,
    );
    assert_eq!(stage.said(), "0 true 1");
    assert_eq!(stage.said(), "0 true 2");
}

#[test]
fn a_date_that_has_passed_is_no_mistake() {
    holds(
        r#"
        local t, err = timer.at("2020-01-01 00:00", print)
        assert(t == nil and err.code == "timeout", err)
        assert(tostring(err) == "timer.at: 2020-01-01 00:00 has passed; the timer will not fire", err)
        "#,
    );
}

#[test]
fn a_name_belongs_to_one_timer_at_a_time() {
    holds(
        r#"
        local first = timer.every("1m", print, { name = "a" })
        local t, err = timer.cron("@daily", print, { name = "a" })
        assert(t == nil and err.code == "conflict" and err.op == "timer.cron", err)
        assert(err.message:find('there is a timer named "a" already (every 1m); cancel it first', 1, true), err)
        assert(first:next(), "the first one goes on")
        assert(first:cancel() == true and first:cancel() == false and first:next() == nil)
        local again = assert(timer.after(0, print, { name = "a" }))
        sleep(0.1)
        assert(again:next() == nil)
        assert(timer.after(9, print, { name = "a" }), "the one before has fired")
        "#,
    );
}

#[test]
fn firing_by_hand_works_for_every_kind() {
    let mut stage = saying(
        r#"
        local function tell(f) say(`{f.name} {f.run} {f.lateness < 1} {math.abs(f.scheduled - os.time()) < 2}`) end
        local every = timer.every("1h", tell, { name = "every" })
        local cron = timer.cron("@yearly", tell, { name = "cron" })
        local after = timer.after("1h", tell, { name = "after" })
        local at = timer.at("2999-01-01 00:00", tell, { name = "at" })
        for _, t in { every, cron, after, at } do
            local before = t:next()
            assert(t:fire() == true)
            sleep(0.1)
            if t == every or t == cron then
                assert(math.abs(t:next() - before) < 1, "it comes all the same")
            else
                assert(t:next() == nil and t:fire() == false, "what happens once has happened")
            end
        end
        every:cancel()
        assert(every:fire() == false)
        assert(cron:fire() == true and cron:fire() == false, "one at a time")
        say("done")
        "#,
    );
    for expected in ["every 1 true true", "cron 1 true true", "after 1 true true", "at 1 true true"]
    {
        assert_eq!(stage.said(), expected);
    }
    let mut last = [stage.said(), stage.said()];
    last.sort();
    assert_eq!(last, ["cron 2 true true", "done"]);
    stage.loaded().expect("all of it holds");
}

#[test]
fn timers_are_limited_and_cancelled_ones_make_room() {
    let mut stage = Stage::set(
        r#"
        local a, b = timer.every(9, print), timer.cron("@daily", print)
        local c, err = timer.at("14:00", print)
        assert(a and b and c == nil and err.code == "limit" and err.message:find("limits.timers"), err)
        -- Again and again: nothing is left of one that was cancelled.
        a:cancel()
        for _ = 1, 10000 do timer.after("1000d", print):cancel() end
        assert(timer.at("14:00", print))
        "#,
        |spec| spec.limits.timers = 2,
    );
    stage.loaded().expect("all of it holds");
}

#[test]
fn a_run_is_ended_after_its_timeout_and_the_timer_goes_on() {
    let mut stage = saying(
        r#"
        timer.cron("* * * * * *", function(f)
            if f.run == 1 then sleep(10) end
            say(`run {f.run}`)
        end, { timeout = "50ms", name = "slow" })
        "#,
    );
    assert_eq!(stage.said(), "run 2");
    let problem = stage.problem();
    assert_eq!(problem.message, "ended: it took longer than its timeout of 50ms");
}

#[test]
fn ten_thousand_timers_leave_a_script_at_ease() {
    let mut stage = Stage::set(
        r#"
        for i = 1, 5000 do
            timer.every("1h", print)
            timer.cron(`{i % 60} {i % 24} * * *`, print)
        end
        local runs = 0
        timer.every("100ms", function(f)
            runs += 1
            if runs == 10 then
                pua.publish { presentity_uri = "sip:a@example.com", event = "presence", body = `{f.missed}` }
            end
        end, { name = "tick" })
        "#,
        |spec| {
            spec.limits.timers = 20_000;
            spec.limits.cpu = Duration::from_secs(20);
        },
    );
    assert_eq!(stage.said(), "0");
}

#[test]
fn a_named_timer_keeps_its_phase_when_its_script_is_reloaded() {
    let house = House::new(
        r#"
        local t = timer.every("1h", function() end, { name = "hourly" })
        local u = timer.every("1h", function() end)
        script.on_ready(function()
            pua.publish { presentity_uri = "$URI", event = "presence", body = `{t:next()} {u:next()}` }
        end)
        "#,
    );
    let next = || -> Vec<f64> {
        let request = house.request();
        request.text().split(' ').map(|at| at.parse().expect("a number")).collect()
    };
    let before = next();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(house.reload(), Taken::Reloaded(2));
    let after = next();
    assert!((after[0] - before[0]).abs() < 0.2, "{before:?} {after:?}");
    assert!(after[1] - before[1] > 0.6, "one without a name begins anew: {before:?} {after:?}");
}
