//! A script that limits had to stop three times within ten minutes rests, and what it has published
//! stays up.

use std::time::Duration;

use puad::script::ScriptState;

use crate::support::house::House;

/// Is stopped in its first runs; what it has published is up, its watch and its other timer work.
const SOURCE: &str = r#"
    local broken = BROKEN
    pua.publish { presentity_uri = "$URI", event = "presence", id = "up", body = "up" }
    timer.every("100ms", function(t)
        if t.run > broken then return t:cancel() end
        string.rep("x", 2^26)
    end, { name = "broken" })
    timer.every("150ms", function(t)
        if t.run == 1 or t.missed > 2 then
            pua.publish { presentity_uri = "$URI", event = "presence", id = "tick", body = tostring(t.scheduled) }
        end
    end, { name = "tick", immediate = true })
    fs.watch("box", function(c)
        pua.publish { presentity_uri = "$URI", event = "presence", id = "box", body = c.kind }
    end, { settle = "20ms" })
"#;

fn source(broken: u32) -> String {
    SOURCE.replace("t:cancel()", "nil").replace("BROKEN", &broken.to_string())
}

/// Runs the script until it rests; returns when its ticks are due.
fn held() -> (House, f64) {
    let house = House::new(&source(3));
    assert_eq!(house.request().text(), "up");
    let tick = house.request().text().parse().expect("a time");
    let status = house.until("test", |status| status.state == ScriptState::Hold);
    assert_eq!((status.kills, status.publications), (3, 2));
    let error = status.last_error.expect("why");
    assert!(error.message.contains("test.lua:6: not enough memory"), "{error}");
    (house, tick)
}

#[test]
fn on_hold_no_handler_runs_and_nothing_is_taken_down() {
    let (house, _) = held();
    house.write("box/new", "1");
    house.is_quiet(700);
    assert_eq!(house.status("test").state, ScriptState::Hold);
    assert!(!house.resume("other"), "there is no such script");
}

#[test]
fn a_script_that_is_resumed_goes_on_where_it_would_be() {
    let (house, first) = held();
    for n in 0..3 {
        house.write(&format!("box/{n}"), "1");
        std::thread::sleep(Duration::from_millis(60));
    }
    house.is_quiet(500);
    assert!(house.resume("test"));
    assert!(!house.resume("test"), "it is not on hold any more");
    let told: Vec<_> = (0..2).map(|_| house.request().text().to_owned()).collect();
    assert!(told.contains(&"rescan".to_owned()), "one for all that was missed: {told:?}");
    let tick = told.iter().find_map(|told| told.parse::<f64>().ok()).expect("the timer runs");
    let phase = ((tick - first) / 0.15).fract();
    assert!(phase.min(1.0 - phase) < 0.1, "its phase is kept: {first} {tick}");
    assert_eq!(house.status("test").state, ScriptState::Running);
    house.is_quiet(300);
}

#[test]
fn after_a_resume_it_takes_three_more_to_hold_it_again() {
    let house = House::new(&source(5));
    house.until("test", |status| status.state == ScriptState::Hold);
    assert!(house.resume("test"));
    let status = house.until("test", |status| status.kills == 5);
    assert_eq!(status.state, ScriptState::Running, "two are no three");
}

#[test]
fn a_changed_file_ends_the_hold() {
    let (house, _) = held();
    house.write("test.lua", &source(0).replace("body = \"up\"", "body = \"mended\""));
    let bodies: Vec<_> = (0..2).map(|_| house.request().text().to_owned()).collect();
    assert!(bodies.contains(&"mended".to_owned()), "{bodies:?}");
    let status = house.until("test", |status| status.state == ScriptState::Running);
    assert_eq!(status.generation, 2);
}

#[test]
fn a_firing_that_is_queued_when_the_hold_begins_waits_for_its_end() {
    let house = House::new(
        r#"
        timer.every("100ms", function(t)
            pua.publish { presentity_uri = "$URI", event = "presence", id = "run", body = tostring(t.run) }
            if t.run > 3 then return end
            sleep(0.25)
            string.rep("x", 2^26)
        end, { overlap = "queue", name = "slow", immediate = true })
        "#,
    );
    for run in ["1", "2", "3"] {
        assert_eq!(house.request().text(), run);
    }
    house.until("test", |status| status.state == ScriptState::Hold);
    house.is_quiet(400);
    let timers = house.timers();
    assert_eq!(timers.len(), 1);
    assert!(timers[0].next.is_none() && !timers[0].running, "{timers:?}");
    assert!(house.resume("test"));
    assert_eq!(house.request().text(), "4");
    assert!(house.timers()[0].next.is_some());
}

#[test]
fn a_timer_that_is_due_when_the_hold_begins_waits_for_its_end() {
    let house = House::new(
        r#"
        local fired = 0
        for _ = 1, 4 do
            timer.after("50ms", function()
                fired += 1
                if fired <= 3 then string.rep("x", 2^26) end
                pua.publish { presentity_uri = "$URI", event = "presence", body = "late" }
            end)
        end
        "#,
    );
    house.until("test", |status| status.state == ScriptState::Hold);
    house.is_quiet(300);
    assert!(house.resume("test"));
    assert_eq!(house.request().text(), "late");
}
