//! `metrics` as scripts see it, and as their page shows it.

use crate::support::{house::House, lua::Stage};

#[test]
fn metrics_of_all_scripts_stand_on_one_page() {
    let mut stage = Stage::several(
        &[
            (
                "a",
                r#"
                local jobs = metrics.counter("jobs_total", { help = "Jobs done." })
                assert(jobs:inc() and jobs:inc(2.5, { queue = "sales", urgent = true, n = 1 }))
                assert(metrics.counter("jobs_total") == jobs)
                local depth = metrics.gauge("depth")
                depth:set(5) depth:inc() depth:dec(2)
                local wait = metrics.histogram("wait_seconds", { buckets = { 1, 5 } })
                for _, seconds in { 0.5, 3, 60 } do wait:observe(seconds) end
                "#,
            ),
            ("b", r#"metrics.counter("jobs"):inc(4)"#),
        ],
        |_| {},
    );
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
    let expected = r#"# HELP depth 
# TYPE depth gauge
depth{script="a"} 4.0
# HELP jobs_total Jobs done.
# TYPE jobs_total counter
jobs_total{script="a"} 1.0
jobs_total{script="a",n="1",queue="sales",urgent="true"} 2.5
jobs_total{script="b"} 4.0
# HELP wait_seconds 
# TYPE wait_seconds histogram
wait_seconds_bucket{script="a",le="1"} 1
wait_seconds_bucket{script="a",le="5"} 2
wait_seconds_bucket{script="a",le="+Inf"} 3
wait_seconds_sum{script="a"} 63.5
wait_seconds_count{script="a"} 3
"#;
    let without_help = |page: &str| -> String {
        let lines = page.lines().filter(|line| !line.starts_with("# HELP jobs_total"));
        lines.map(|line| format!("{line}\n")).collect()
    };
    // Whichever script was first has given the help.
    assert_eq!(without_help(&stage.metrics()), without_help(expected));
}

#[test]
fn metrics_are_checked_where_they_are_used() {
    let mut stage = Stage::run(
        r#"
        local function refuses(f, why)
            local ok, message = pcall(f)
            assert(not ok and message:find(why, 1, true), message)
        end
        local jobs = metrics.counter("jobs")
        refuses(function() metrics.gauge("jobs") end, 'metrics.gauge: "jobs" is a counter already')
        refuses(function() metrics.counter("a-b") end, 'metrics.counter: "a-b" is not the name of a metric')
        refuses(function() metrics.gauge("puad_x") end, "puad's own")
        refuses(function() metrics.gauge("g", { buckets = { 1 } }) end, "unknown option 'buckets'")
        refuses(function() metrics.histogram("h", { buckets = { 2, 1 } }) end, "larger than the one before")
        refuses(function() jobs:inc(-1) end, "counter jobs: inc: -1 is below 0")
        refuses(function() jobs:inc(0 / 0) end, "is not a number")
        refuses(function() jobs.inc(1) end, "call it with a colon, as in metric:inc(1)")
        refuses(function() jobs:inx() end, "counter jobs: unknown name 'inx' (did you mean 'inc'?)")
        refuses(function() jobs:inc(1, { script = "x" }) end, 'labels: "script" is set by puad itself')
        refuses(function() jobs:inc(1, { ["a-b"] = "x" }) end, 'labels: "a-b" is not the name of a label')
        refuses(function() jobs:inc(1, { a = {} }) end, "labels: a: a table is not a text")
        refuses(function() metrics.gauge("g"):set() end, "gauge g: set: nil is not a number")
        for n = 1, 100 do assert(jobs:inc(1, { n = n })) end
        local ok, err = jobs:inc(1, { n = 101 })
        assert(ok == nil and err.code == "limit" and err.message:find("100 sets of labels", 1, true), tostring(err))
        assert(jobs:inc(1, { n = 7 }))
        jobs:set(1)
        "#,
    );
    let problem = stage.loaded().expect_err("a counter is not set");
    assert!(
        problem.message.contains("/test.lua:24: counter jobs: unknown name 'set'"),
        "{problem}"
    );
}

#[test]
fn a_reload_goes_on_counting() {
    let house = House::new("metrics.counter('runs'):inc()");
    house.reload();
    let page = house.scripts.as_ref().expect("running").metrics().encode();
    assert_eq!(
        page,
        "# HELP runs_total \n# TYPE runs_total counter\nruns_total{script=\"test\"} 2.0\n"
    );
}

#[test]
fn a_metric_may_become_another_kind_in_a_new_version() {
    let house = House::new("metrics.counter('x'):inc()");
    house.write("test.lua", "metrics.gauge('x'):set(5)");
    house.until("test", |status| status.generation == 2);
    let page = house.scripts.as_ref().expect("running").metrics().encode();
    assert_eq!(page, "# HELP x \n# TYPE x gauge\nx{script=\"test\"} 5.0\n");
}
