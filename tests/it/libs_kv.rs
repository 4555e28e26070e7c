//! `kv` as scripts see it, alone and together.

use puad::script::Taken;

use crate::support::{house::House, lua::Stage};

#[test]
fn values_are_kept_as_copies() {
    let mut stage = Stage::run(
        r#"
        assert(kv.get("a") == nil and kv.delete("a") == false)
        local value = { list = { 1, 2 }, name = "x", deep = { { true } }, none = json.null, empty = json.array() }
        assert(kv.set("a", value) == true)
        value.name = "changed"
        local kept = kv.get("a")
        assert(kept.name == "x" and kept.list[2] == 2 and kept.deep[1][1] == true and kept.none == json.null)
        assert(json.encode(kept.empty) == "[]")
        kept.name = "changed"
        assert(kv.get("a").name == "x")
        kv.set("b", "text\0") kv.set("c", 1.5) kv.set("d", false)
        assert(kv.get("b") == "text\0" and kv.get("c") == 1.5 and kv.get("d") == false)
        assert(table.concat(kv.keys(), " ") == "a b c d" and #kv.keys("b") == 1)
        kv.set("b", nil)
        assert(kv.get("b") == nil and kv.delete("a") == true and kv.get("a") == nil)
        assert(kv.incr("n") == 1 and kv.incr("n", 2.5) == 3.5 and kv.incr("n", -1) == 2.5)
        local sum, err = kv.incr("d")
        assert(sum == nil and err.code == "conflict", tostring(err))
        assert(err.message == "kv.incr: d: a boolean is kept there, not a number", err.message)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn misuse_names_the_place_and_the_line() {
    let mut stage = Stage::run(
        r#"
        local function refuses(f, why)
            local ok, message = pcall(f)
            assert(not ok and message:find(why, 1, true), message)
        end
        refuses(function() kv.set("a", { f = { print } }) end, "kv.set: value: f[1]: a function is not plain data")
        refuses(function() kv.set("a", 1, { ttl = "soon" }) end, "kv.set: ttl: ")
        refuses(function() kv.set("a", 1, { tll = 1 }) end, "(did you mean 'ttl'?)")
        refuses(function() kv.set("", 1) end, "kv.set: first argument: a name is 1 to 256 bytes")
        refuses(function() kv.get(5) end, "kv.get: first argument: 5 is not a name")
        refuses(function() kv.get({}) end, "kv.get: first argument: a table is not a name")
        refuses(function() kv:get("a") end, "kv.get: call it with a dot, as in kv.get(…)")
        refuses(function() kv:keys() end, "kv.keys: call it with a dot")
        refuses(function() kv:update("a", print) end, "kv.update: call it with a dot")
        refuses(function() kv:shared("a") end, "kv.shared: call it with a dot")
        refuses(function() kv.incr("a", "x") end, 'kv.incr: by: "x" is not a number')
        refuses(function() kv.update("a", 1) end, "kv.update: second argument: 1 is not a function")
        refuses(function() kv.gett("a") end, "kv: unknown name 'gett' (did you mean 'get'?)")
        refuses(function() kv.update("a", function() return print end) end, "kv.update: value: a function is not")
        local ok, err = pcall(kv.update, "a", function() error({ code = 7 }) end)
        assert(not ok and err.code == 7, "an error of the function passes as it is")
        assert(kv.get("a") == nil)

        kv.update("a", "no function")
        "#,
    );
    let problem = stage.loaded().expect_err("misuse");
    assert!(problem.message.contains("/test.lua:24: kv.update: second"), "{problem}");
}

#[test]
fn a_quota_is_a_limit_and_leaves_what_is_there() {
    let mut stage = Stage::set(
        r#"
        assert(kv.set("a", string.rep("x", 3000)))
        local ok, err = kv.set("b", string.rep("x", 3000))
        assert(ok == nil and err.code == "limit" and err.message:find("limits.kv", 1, true), tostring(err))
        local ok, err = kv.update("a", function(old) return old .. old end)
        assert(ok == nil and err.code == "limit")
        assert(#kv.get("a") == 3000 and kv.get("b") == nil)
        kv.delete("a")
        assert(kv.set("b", string.rep("x", 3000)))
        "#,
        |spec| spec.limits.kv = 4096,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn a_value_ends_with_its_time() {
    let mut stage = Stage::run(
        r#"
        kv.set("short", 1, { ttl = "50ms" })
        kv.set("long", 1, { ttl = "1h" })
        assert(kv.get("short") == 1)
        assert(kv.incr("window", 1, { ttl = "50ms" }) == 1 and kv.incr("window", 1, { ttl = "1h" }) == 2)
        sleep(0.06)
        assert(kv.get("short") == nil and kv.get("long") == 1 and #kv.keys() == 1)
        assert(kv.incr("window") == 1)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn an_update_may_wait_and_runs_again_when_somebody_was_faster() {
    let mut stage = Stage::run(
        r#"
        kv.set("n", 1, { ttl = "1h" })
        local runs = 0
        task.all {
            function()
                local new = kv.update("n", function(old) runs += 1 sleep(0.02) return old + 10 end)
                assert(new == 111, new)
            end,
            function() sleep(0.005) kv.update("n", function(old) return old + 100 end) end,
        }
        assert(runs == 2 and kv.get("n") == 111)
        assert(kv.update("n", function() return nil end) == nil and kv.get("n") == nil)
        -- One that is always too late says so in the end.
        local value, err = kv.update("n", function(old) kv.incr("n") return old end)
        assert(value == nil and err.code == "conflict", tostring(err))
        assert(kv.get("n") == 100)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn what_is_kept_outlives_a_reload() {
    let house = House::new(
        r#"
        kv.update("runs", function(old) return { n = (old and old.n or 0) + 1 } end)
        pua.publish { presentity_uri = "$URI", event = "presence", body = "run " .. kv.get("runs").n }
        "#,
    );
    assert_eq!(house.request().text(), "run 1");
    assert_eq!(house.reload(), Taken::Reloaded(2));
    assert_eq!(house.request().text(), "run 2");
}

#[test]
fn a_shared_space_must_be_allowed() {
    let mut stage = Stage::run(
        r#"
        local space, err = kv.shared("house")
        assert(space == nil and err.code == "permission", tostring(err))
        assert(err.message == 'kv.shared: this script may not open "house"; name it in allow.kv of this script\'s [[script]] section', err.message)
        "#,
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn scripts_share_a_space_and_nothing_else() {
    // Each adds a thousand, by both ways; none of it may be lost.
    let source = r#"
        local own = kv.incr("own")
        assert(own == 1, "a store of its own")
        local house = assert(kv.shared("house"))
        for _ = 1, 500 do
            house.incr("incr")
            house.update("update", function(old) return { n = (old and old.n or 0) + 1 } end)
        end
        house.incr("ready")
        while house.get("ready") < 3 do sleep(0.001) end
        pua.publish { presentity_uri = "sip:a@example.com", event = "presence", id = script_name,
            body = `{house.get("incr")} {house.get("update").n} {#kv.keys()}` }
        assert(not pcall(function() house.get = nil end))
        local ok, message = pcall(function() return house.gett end)
        assert(message:find([[kv.shared("house"): unknown name 'gett' (did you mean 'get'?)]], 1, true), message)
    "#
    .replace("script_name", "tostring(own)");
    let scripts: Vec<_> = ["a", "b", "c"].map(|name| (name, source.as_str())).into();
    let mut stage = Stage::several(&scripts, |spec| spec.allow.kv = vec!["house".into()]);
    for _ in 0..3 {
        assert_eq!(stage.said(), "1500 1500 1");
    }
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}
