//! One script's thread: builds the VM, runs the top level, then serves timers and mail.

use std::{
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex},
};

use mlua::Lua;
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
    time::sleep_until,
};

use super::{
    Problem, ScriptSpec, ScriptState, Status, api,
    commons::Commons,
    host::{Host, Mail, Parts},
    vm::{self, plain},
    watch::Hub,
};
use crate::driver;

/// Everything a thread starts with.
pub(super) struct Setup {
    pub(super) spec: ScriptSpec,
    pub(super) core: driver::Handle,
    pub(super) hub: Hub,
    pub(super) commons: Arc<Commons>,
    pub(super) mail: mpsc::UnboundedSender<Mail>,
    pub(super) inbox: mpsc::UnboundedReceiver<Mail>,
    pub(super) status: Arc<Mutex<Status>>,
    pub(super) loaded: oneshot::Sender<Result<(), Problem>>,
}

/// The thread's main function; returns when the script is told to stop.
pub(super) fn run(setup: Setup) {
    let name = setup.spec.name.clone();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let local = LocalSet::new();
            local.block_on(&runtime, serve(setup));
        }
        Err(error) => tracing::error!(script = &*name, %error, "no event loop for this script"),
    }
}

async fn serve(setup: Setup) {
    let Setup { spec, core, hub, commons, mail, mut inbox, status, loaded } = setup;
    let own_folder = spec.path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut module_dirs = vec![own_folder.clone(), own_folder.join("lib")];
    module_dirs.extend(spec.lib_dirs);
    module_dirs.dedup();
    let host = Host::new(Parts {
        name: spec.name.clone(),
        core: core.clone(),
        config: spec.config,
        config_dir: spec.config_dir,
        limits: spec.limits,
        allow: spec.allow,
        module_dirs,
        hub,
        commons,
        mail,
        status: status.clone(),
    });
    // Events of publications come by the same way as everything else, in order.
    let (events, mut changes) = mpsc::unbounded_channel();
    if core.listen(host.owner.clone(), events).is_err() {
        return;
    }
    let shown = vm::shown_name(&spec.path);
    let started = vm::build(&host).and_then(|vm| {
        host.set_budget(vm.budget.clone());
        let chunk = vm::compile(&vm.lua, &shown, &spec.source, host.limits.source)?;
        Ok((vm, chunk))
    });
    let (vm, chunk) = match started {
        Ok(started) => started,
        Err(error) => {
            let problem = Problem { message: plain(&error), trace: String::new(), killed: false };
            return fail(&spec.name, &status, loaded, problem);
        }
    };
    let top_level = host.clone();
    let name = spec.name.clone();
    let at_top = status.clone();
    let lua = vm.lua.clone();
    tokio::task::spawn_local(async move {
        match top_level.run(chunk, ()).await {
            Ok(_) => {
                keep_house(&top_level, &lua, &at_top);
                if let Ok(mut status) = at_top.lock() {
                    status.state = ScriptState::Running;
                }
                tracing::info!(script = &*name, "running");
                let _ = loaded.send(Ok(()));
            }
            Err(problem) => {
                // Half a script is none: its timers end, and what it published is removed.
                top_level.abandon();
                fail(&name, &at_top, loaded, problem);
                let _ = top_level.mail.send(Mail::Stop);
            }
        }
    });
    let mut batch = Vec::new();
    loop {
        let next = host.schedule.borrow_mut().next();
        let firing = async {
            match next {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            letter = inbox.recv() => match letter {
                None | Some(Mail::Stop) => break,
                Some(Mail::Rehearse(done)) => api::timer::rehearse(&host, &vm.lua, done),
                Some(Mail::Watch(id, change)) => deliver_change(&host, &vm.lua, id, change),
            },
            1.. = changes.recv_many(&mut batch, BATCH) => {
                for event in batch.drain(..) {
                    api::pua::on_event(&host, &vm.lua, event);
                }
            }
            () = firing => api::timer::fire_due(&host, &vm.lua),
            () = host.schedule_changed.notified() => {}
        }
        keep_house(&host, &vm.lua, &status);
    }
    host.close();
}

/// Changes of publications taken in one turn.
const BATCH: usize = 64;

fn deliver_change(
    host: &Rc<Host>,
    lua: &Lua,
    id: super::watch::WatchId,
    change: super::watch::Change,
) {
    let watch = host.watches.borrow().get(&id).cloned();
    if let Some(watch) = watch {
        watch(lua, change);
    }
}

fn keep_house(host: &Host, lua: &Lua, status: &Mutex<Status>) {
    if let Ok(mut status) = status.lock() {
        status.memory = lua.used_memory();
        status.timers = host.timers.borrow().len();
        status.watches = host.watches.borrow().len();
    }
}

fn fail(
    name: &str,
    status: &Mutex<Status>,
    loaded: oneshot::Sender<Result<(), Problem>>,
    problem: Problem,
) {
    tracing::error!(script = name, "not running: {problem}");
    if let Ok(mut status) = status.lock() {
        status.state = ScriptState::Failed;
        status.last_error = Some(problem.clone());
    }
    // Nobody may be waiting.
    let _ = loaded.send(Err(problem));
}
