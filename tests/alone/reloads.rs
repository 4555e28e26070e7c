//! Reloads in number: nothing may grow.

use puad::script::Taken;

use crate::support::{house::House, server::Server};

#[test]
fn a_thousand_reloads_leave_nothing_behind() {
    let _alone = crate::alone();
    let source = r#"
        local m = require "m"
        script.state.n = (script.state.n or 0) + 1
        timer.every("1h", function() end, { name = "t" })
        fs.watch("calls", function() end)
        task.spawn(function() sleep("1h") end)
        pua.publish { presentity_uri = "$URI", event = "presence", body = "same" }
        script.on_stop(function() end)
    "#;
    let house = House::with(Server::granting(), &[("test.lua", source), ("m.lua", "return {}")]);
    house.request();
    let mut early = None;
    for count in 0..1000 {
        assert_eq!(house.reload(), Taken::Reloaded(count + 2));
        if count == 200 {
            early = Some(held());
        }
    }
    house.is_quiet(300);
    let (early, late) = (early.expect("measured"), held());
    assert!(late.threads <= early.threads + 2, "{early:?} {late:?}");
    assert!(late.files <= early.files + 4, "{early:?} {late:?}");
    assert!(late.kib <= early.kib + 8 * 1024, "{early:?} {late:?}");
    assert_eq!(house.status("test").watches, 1);
}

#[derive(Debug)]
struct Held {
    threads: u64,
    files: usize,
    kib: u64,
}

/// What this process holds.
fn held() -> Held {
    let me = procfs::process::Process::myself().expect("/proc");
    let status = me.status().expect("readable");
    Held {
        threads: status.threads,
        files: me.fd_count().expect("readable"),
        kib: status.vmrss.expect("known"),
    }
}
