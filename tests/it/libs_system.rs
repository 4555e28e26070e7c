//! `sys` as a script sees it.

use crate::support::lua::Stage;

fn holds(stage: &mut Stage) {
    stage.loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn the_machine_is_told_of_in_bytes_percent_and_seconds() {
    holds(&mut Stage::run(
        r#"
        local function percent(n) assert(type(n) == "number" and n >= 0 and n <= 100.001, n) end
        local cpu = sys.cpu()
        for _, name in { "percent", "user", "system", "idle", "iowait" } do percent(cpu[name]) end
        assert(cpu.cores >= 1)
        -- Two in a row are both about the same time.
        assert(math.abs(sys.cpu().percent - sys.cpu().percent) < 50)
        local disk = sys.disk("/")
        percent(disk.percent)
        assert(disk.total >= disk.used and disk.free <= disk.total)
        assert(sys.disk("."), "relative paths begin at the script's folder")
        local all, lo = sys.net(), sys.net("lo")
        for _, name in { "rx_bytes", "tx_bytes", "rx_rate", "tx_rate" } do
            assert(all[name] >= 0 and lo[name] >= 0, name)
        end
        assert(sys.uptime() > 0 and #sys.hostname() > 0)
        percent(sys.mem().percent)
        assert(sys.load().one >= 0)
        "#,
    ));
}

#[test]
fn processes_are_found_by_number_and_by_name() {
    let source = r#"
        local own
        for _, p in sys.processes() do if p.pid == PID then own = p end end
        assert(own and own.memory > 0 and own.cpu_time >= 0 and #own.user > 0 and own.state ~= "zombie")
        local same = sys.process(PID)
        assert(same.pid == PID and same.name == own.name)
        assert(sys.process(own.name).name == own.name)
    "#;
    holds(&mut Stage::run(&source.replace("PID", &std::process::id().to_string())));
}

#[test]
fn what_the_system_does_not_have_is_not_found() {
    holds(&mut Stage::run(
        r#"
        local function missing(why, value, err)
            assert(value == nil and err.code == "not_found" and err.message:find(why, 1, true), tostring(err))
        end
        missing("there is no process 2147483647", sys.process(2147483647))
        missing('there is no process named "no such program"', sys.process("no such program"))
        missing("there is no interface \"loo\" (did you mean 'lo'?)", sys.net("loo"))
        missing("/no/such/folder", sys.disk("/no/such/folder"))
        for _, wrong in { 0, -1, 1.5, "", {} } do assert(not pcall(sys.process, wrong)) end
        assert(not pcall(sys.disk) and not pcall(sys.net, 5))
        "#,
    ));
}
