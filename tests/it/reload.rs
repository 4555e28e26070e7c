//! A new version of a script takes over from the old one, and the server notices nothing.

use std::time::Duration;

use puad::script::{Force, Limits, ScriptState, Taken};

use crate::support::{house::House, server::Server};

const OPEN: &str = r#"
    pua.publish { presentity_uri = "$URI", event = "presence", body = "open" }
"#;

#[test]
fn nothing_is_sent_when_nothing_has_changed() {
    let house = House::new(OPEN);
    assert_eq!(house.request().text(), "open");
    house.write("test.lua", &format!("-- another comment\n{OPEN}"));
    house.until("test", |status| status.generation == 2);
    assert_eq!(house.reload(), Taken::Reloaded(3));
    house.is_quiet(300);
    assert_eq!(house.status("test").publications, 1);
}

#[test]
fn what_has_changed_is_one_modify_in_the_same_chain_of_tags() {
    let house = House::new(OPEN);
    house.request();
    house.write("test.lua", &OPEN.replace("open", "closed"));
    let request = house.request();
    assert_eq!((request.need("SIP-If-Match"), request.text()), ("tag-1", "closed"));
    house.write("test.lua", &OPEN.replace("open", "away"));
    assert_eq!(house.request().need("SIP-If-Match"), "tag-2");
    house.is_quiet(200);
}

#[test]
fn a_broken_version_changes_nothing_and_says_where_it_is_broken() {
    let source = r#"timer.every("100ms", function()
        pua.publish { presentity_uri = "$URI", event = "presence", body = tostring(os.clock()) }
    end)"#;
    let house = House::new(source);
    house.request();
    house.write("test.lua", "local x =\n\n= 1");
    let status = house.until("test", |status| status.state == ScriptState::Stale);
    let error = status.last_error.expect("why");
    assert!(error.message.contains("test.lua:3:"), "{error}");
    assert_eq!((status.generation, status.reload_failures), (1, 1));
    while house.server.received(Duration::ZERO).is_some() {}
    house.request();
    // Again what it was: there is nothing to reload.
    house.write("test.lua", source);
    let status = house.until("test", |status| status.state == ScriptState::Running);
    assert_eq!((status.generation, status.last_error), (1, None));
    house.write("test.lua", OPEN);
    house.until("test", |status| status.generation == 2);
}

#[test]
fn an_error_half_way_down_the_top_level_leaves_no_trace() {
    let house = House::new(OPEN);
    house.request();
    house.write(
        "test.lua",
        r#"pua.publish { presentity_uri = "$URI", event = "presence", body = "new" }
        timer.every("100ms", function() pua.publish { presentity_uri = "$URI", event = "dialog", body = "x" } end)
        error("half way")"#,
    );
    house.until("test", |status| status.state == ScriptState::Stale);
    house.is_quiet(300);
}

#[test]
fn what_is_not_declared_any_more_is_removed_after_a_while() {
    let two = format!(
        "{OPEN} pua.publish {{ presentity_uri = '$URI', event = 'presence', id = 'b', body = 'b' }}"
    );
    let house = House::new(&two);
    house.request();
    house.request();
    house.write("test.lua", OPEN);
    let request = house.request();
    assert_eq!((request.need("Expires"), request.need("SIP-If-Match")), ("0", "tag-2"));
    house.is_quiet(500);
}

#[test]
fn what_a_slow_timer_declared_stays_up_until_the_timer_has_run() {
    let source = |note: &str| {
        format!(
            r#"-- {note}
            local t = timer.every("5m", function()
                pua.publish {{ presentity_uri = "$URI", event = "presence", body = "sampled" }}
            end, {{ name = "slow" }})
            if script.generation == 1 then t:fire() end
            pua.publish {{ presentity_uri = "$URI", event = "dialog", body = "{note}" }}"#
        )
    };
    let house = House::new(&source("one"));
    let bodies = [house.request().text().to_owned(), house.request().text().to_owned()];
    assert!(bodies.contains(&"sampled".to_owned()));
    house.write("test.lua", &source("two"));
    assert_eq!(house.request().text(), "two");
    // Longer than a publication has that nobody declares.
    house.is_quiet(900);
    assert_eq!(house.status("test").publications, 2);
}

#[test]
fn what_a_watch_declared_stays_up_while_the_new_version_watches() {
    let source = |watch: &str| {
        format!(
            r#"local function seen(n)
                pua.publish {{ presentity_uri = "$URI", event = "presence", body = tostring(n) }}
            end
            {watch}"#
        )
    };
    let watching =
        source(r#"fs.watch("calls", function(c) seen(c.kind) end, { settle = "100ms" })"#);
    let house = House::new(&watching);
    house.write("calls", "1");
    assert_eq!(house.request().text(), "create");
    house.write("test.lua", &format!("-- two\n{watching}"));
    house.until("test", |status| status.generation == 2);
    house.is_quiet(900);
    house.write("test.lua", &source(""));
    assert_eq!(house.request().need("Expires"), "0", "nothing watches any more");
}

#[test]
fn a_mail_watch_is_told_at_each_take_over_and_its_publication_stays_up() {
    let source = |note: &str| {
        format!(
            r#"-- {note}
            mail.watch_maildir("box", function(n)
                pua.publish {{ presentity_uri = "$URI", event = "message-summary",
                    body = body.mwi {{ account = "$URI", voice = {{ new = n.unread, old = n.read }} }} }}
            end)"#
        )
    };
    let house = House::with(
        Server::granting(),
        &[("test.lua", &source("one")), ("box/new/1", ""), ("box/cur/2:2,S", "")],
    );
    assert!(house.request().text().contains("1/1"));
    house.write("test.lua", &source("two"));
    house.until("test", |status| status.generation == 2);
    house.write("box/new/3", "");
    assert!(house.request().text().contains("2/1"), "the new version watches");
    house.is_quiet(600);
}

#[test]
fn state_is_carried_over_and_what_is_no_plain_data_is_not() {
    let source = |note: &str| {
        format!(
            r#"-- {note}
            local s = script.state
            s.count = (s.count or 0) + 1
            s.deep = s.deep or {{ list = {{ "a", 2, true }} }}
            script.on_stop(function(why) s.reason = why.reason end)
            script.on_ready(function()
                pua.publish {{ presentity_uri = "$URI", event = "presence",
                    body = `{{s.count}} {{s.deep.list[2]}} {{s.reason}} {{script.generation}}` }}
            end)"#
        )
    };
    let house = House::new(&source("one"));
    assert_eq!(house.request().text(), "1 2 nil 1");
    house.write("test.lua", &source("two"));
    assert_eq!(house.request().text(), "2 2 reload 2");
    assert_eq!(house.reload(), Taken::Reloaded(3));
    assert_eq!(house.request().text(), "3 2 reload 3");
}

#[test]
fn waits_of_the_old_version_end_with_cancelled() {
    let source = r#"
        if script.generation == 1 then
            task.spawn(function()
                local ok, err = sleep("1h")
                script.state.heard = err and err.code
                sleep("1h")
                script.state.heard = "it went on"
            end)
        end
        script.on_ready(function()
            pua.publish { presentity_uri = "$URI", event = "presence", body = tostring(script.state.heard) }
        end)"#;
    let house = House::new(source);
    assert_eq!(house.request().text(), "nil");
    house.reload();
    assert_eq!(house.request().text(), "cancelled");
}

#[test]
fn a_changed_module_reloads_those_who_require_it_and_nobody_else() {
    let house = House::with(
        Server::granting(),
        &[
            (
                "test.lua",
                "local m = require 'm'\npua.publish { presentity_uri = '$URI', event = 'presence', body = m }",
            ),
            ("other.lua", "timer.every('1h', function() end)"),
            ("lib/m.lua", "return 'one'"),
        ],
    );
    assert_eq!(house.request().text(), "one");
    house.write("lib/m.lua", "return 'two'");
    assert_eq!(house.request().text(), "two");
    house.write("lib/m.lua", "retrun 'three'");
    let status = house.until("test", |status| status.state == ScriptState::Stale);
    assert!(status.last_error.expect("why").message.contains("lib/m.lua:1"));
    house.write("lib/m.lua", "return 'three'");
    assert_eq!(house.request().text(), "three");
    assert_eq!(house.status("other").generation, 1);
}

#[test]
fn a_module_that_was_missing_is_waited_for() {
    let house = House::new(OPEN);
    house.request();
    house.write(
        "test.lua",
        "pua.publish { presentity_uri = '$URI', event = 'presence', body = require 'late' }",
    );
    house.until("test", |status| status.state == ScriptState::Stale);
    house.write("late.lua", "return 'here'");
    assert_eq!(house.request().text(), "here");
}

#[test]
fn a_script_whose_file_is_gone_is_stopped_and_its_publications_are_let_go() {
    let source = format!(
        "{OPEN} pua.publish {{ presentity_uri = '$URI', event = 'presence', id = 'kept', body = 'k', on_orphan = 'keep' }}"
    );
    let house = House::new(&source);
    house.request();
    house.request();
    std::fs::remove_file(house.path("test.lua")).expect("there");
    house.is_quiet(1000);
    let request = house.request();
    assert_eq!((request.need("Expires"), request.need("SIP-If-Match")), ("0", "tag-1"));
    house.until("test", |status| status.state == ScriptState::Failed);
    house.write("test.lua", &source.replace("'k'", "'again'"));
    let again = [house.request(), house.request()];
    let kept = again.iter().find(|request| request.text() == "again").expect("adopted");
    assert_eq!(kept.need("SIP-If-Match"), "tag-2", "it had stayed up without an owner");
}

#[test]
fn a_script_that_is_wanted_no_more_is_stopped_and_a_new_one_is_started() {
    let house = House::with(Server::granting(), &[("test.lua", OPEN)]);
    house.request();
    house.write("next.lua", &OPEN.replace("open", "next").replace("\"presence\"", "\"dialog\""));
    assert_eq!(house.update(&["next.lua"], Force::Nothing), [Taken::Started(1), Taken::Stopping]);
    assert_eq!(house.request().text(), "next");
    assert_eq!(house.request().need("Expires"), "0");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while house.names() != ["next"] {
        assert!(std::time::Instant::now() < deadline, "{:?}", house.names());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_empty_file_is_half_a_save() {
    let house = House::new(OPEN);
    house.request();
    std::fs::write(house.path("test.lua"), "").expect("written");
    std::thread::sleep(Duration::from_millis(700));
    house.write("test.lua", &OPEN.replace("open", "closed"));
    assert_eq!(house.request().text(), "closed");
    let status = house.until("test", |status| status.generation > 1);
    assert_eq!(status.generation, 2, "the empty one was not taken");
}

#[test]
fn a_top_level_that_does_not_end_or_burns_cpu_does_not_take_over() {
    // Less CPU than by default, so that a busy machine gives it before the time is over.
    let limits = Limits { cpu: Duration::from_millis(200), ..Limits::default() };
    let house = House::limited(limits, OPEN);
    house.request();
    house.write("test.lua", "while true do end");
    let status = house.until("test", |status| status.state == ScriptState::Stale);
    assert!(status.last_error.expect("why").message.contains("before its top level had ended"));
    // Each resume is short; together they are too long.
    house.write("test.lua", "for _ = 1, 100 do local t = os.clock() while os.clock() - t < 0.05 do end sleep(0.001) end");
    let status = house.until("test", |status| status.reload_failures == 2);
    assert!(status.last_error.expect("why").message.contains("CPU"));
    house.write("test.lua", "sleep('1h')");
    let status = house.until("test", |status| status.reload_failures == 3);
    assert!(status.last_error.expect("why").message.contains("within 5 s"));
    house.is_quiet(100);
}

#[test]
fn every_way_of_saving_is_seen_once() {
    let house = House::new(&OPEN.replace("open", "0"));
    house.request();
    let path = house.path("test.lua");
    let version = |number: u32| house.source(&OPEN.replace("open", &number.to_string()));
    let saves: [&dyn Fn(&str); 6] = [
        &|text| std::fs::write(&path, text).unwrap(),
        // To a temporary file beside it, then renamed over it.
        &|text| {
            let other = path.with_extension("tmp");
            std::fs::write(&other, text).unwrap();
            std::fs::rename(&other, &path).unwrap();
        },
        // The old one renamed to a backup first, as vim does.
        &|text| {
            std::fs::rename(&path, path.with_extension("lua~")).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::remove_file(path.with_extension("lua~")).unwrap();
        },
        // Removed, and there again a moment later.
        &|text| {
            std::fs::remove_file(&path).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            std::fs::write(&path, text).unwrap();
        },
        // In two halves.
        &|text| {
            let (a, b) = text.split_at(text.len() / 2);
            std::fs::write(&path, a).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            std::fs::write(&path, [a, b].concat()).unwrap();
        },
        // A link that points elsewhere from now on.
        &|text| {
            std::fs::write(path.with_extension("next"), text).unwrap();
            let link = path.with_extension("link");
            std::os::unix::fs::symlink(path.with_extension("next"), &link).unwrap();
            std::fs::rename(&link, &path).unwrap();
        },
    ];
    for (number, save) in saves.iter().enumerate() {
        let number = number as u32 + 1;
        save(&version(number));
        assert_eq!(house.request().text(), number.to_string(), "save {number}");
        let status = house.until("test", |status| status.generation > u64::from(number));
        assert_eq!(status.generation, u64::from(number) + 1, "save {number}");
    }
    house.is_quiet(400);
}

#[test]
fn an_emptied_file_that_goes_or_breaks_is_said_once() {
    let house = House::new(OPEN);
    house.request();
    std::fs::write(house.path("test.lua"), "").expect("written");
    std::thread::sleep(Duration::from_millis(400));
    std::fs::write(house.path("test.lua"), b"-- \xff").expect("written");
    let status = house.until("test", |status| status.state == ScriptState::Stale);
    assert!(status.last_error.expect("why").message.contains("not UTF-8"));
    // Longer than an empty file is waited for.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(house.status("test").reload_failures, 1);
    house.write("test.lua", OPEN);
    house.until("test", |status| status.state == ScriptState::Running);
    house.is_quiet(100);
}

#[test]
fn a_first_top_level_that_waits_may_be_replaced_and_what_it_published_stays_up() {
    let waiting = format!("{OPEN} assert(sleep('1h'))");
    let house = House::starting(&waiting);
    assert_eq!(house.request().text(), "open");
    house.write("test.lua", OPEN);
    let status = house.until("test", |status| status.generation == 2);
    assert_eq!((status.state, status.last_error), (ScriptState::Running, None));
    house.is_quiet(500);
}

#[test]
fn a_stale_script_stays_so_when_its_first_top_level_ends() {
    let house = House::starting(&format!("{OPEN} sleep(2)"));
    house.request();
    house.write("test.lua", "local x = = 1");
    house.until("test", |status| status.state == ScriptState::Stale);
    std::thread::sleep(Duration::from_millis(2200));
    assert_eq!(house.status("test").state, ScriptState::Stale);
}

#[test]
fn a_script_that_comes_back_while_it_is_being_stopped_is_started_again() {
    let slow = format!("{OPEN} script.on_stop(function() sleep(1.5) end)");
    let house = House::with(Server::granting(), &[("test.lua", &slow), ("other.lua", "")]);
    house.request();
    house.update(&["other.lua"], Force::Nothing);
    // Five seconds of patience have passed, and its farewell is under way.
    std::thread::sleep(Duration::from_millis(5700));
    house.update(&["other.lua", "test.lua"], Force::Nothing);
    assert_eq!(house.request().need("Expires"), "0");
    assert_eq!(house.request().text(), "open");
    house.until("test", |status| status.state == ScriptState::Running);
}

#[test]
fn a_stop_does_not_wait_for_what_is_staged() {
    let source = format!("{OPEN} if script.generation > 1 then sleep('1h') end");
    let mut house = House::new(&source);
    house.request();
    house.write("test.lua", &format!("-- two\n{source}"));
    // The new version waits in its top level.
    std::thread::sleep(Duration::from_millis(800));
    let began = std::time::Instant::now();
    house.stop();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn what_a_version_published_that_is_too_busy_to_say_so_is_let_go_all_the_same() {
    let limits = Limits { cpu: Duration::from_secs(30), ..Limits::default() };
    let source = format!(
        "{OPEN} timer.after(0.3, function() local t = os.clock() while os.clock() - t < 6 do end end)"
    );
    let house = House::limited(limits, &source);
    house.request();
    std::thread::sleep(Duration::from_millis(400));
    house.write("test.lua", "local nothing = true");
    house.until("test", |status| status.generation == 2);
    assert_eq!(house.request().need("Expires"), "0");
}
