//! What one version of a script does on its thread: builds the VM, runs the top level, then serves
//! timers and mail until it is replaced or stopped.

use std::{
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Instant,
};

use mlua::Lua;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::{
    Problem, ScriptSpec, api,
    generation::{Carried, Ground, Heritage, Modules, ON_STOP},
    host::{Host, Mail, Parts},
    keeper::ToKeeper,
    life::{Origin, Phase, Reason},
    status::Vitals,
    vm::{self, plain},
};
use crate::command::{Command, PublicationEvent};

/// Everything a version starts with.
pub(super) struct Setup {
    pub(super) ground: Ground,
    pub(super) spec: ScriptSpec,
    /// Counts the versions of the script.
    pub(super) number: u64,
    /// An older version runs beside this one, which shall replace it.
    pub(super) heritage: Option<Heritage>,
    pub(super) mail: mpsc::UnboundedSender<Mail>,
    pub(super) inbox: mpsc::UnboundedReceiver<Mail>,
    pub(super) vitals: Arc<Mutex<Vitals>>,
    pub(super) modules: Modules,
    pub(super) keeper: mpsc::UnboundedSender<ToKeeper>,
    pub(super) loaded: oneshot::Sender<Result<(), Problem>>,
}

/// Runs a version to its end.
pub(super) async fn serve(setup: Setup) {
    let Setup { ground, spec, number, heritage, mail, mut inbox, vitals, modules, keeper, loaded } =
        setup;
    let own_folder = spec.path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut module_dirs = vec![own_folder.clone(), own_folder.join("lib")];
    module_dirs.extend(spec.lib_dirs);
    module_dirs.dedup();
    let is_first = heritage.is_none();
    let host = Host::new(Parts {
        name: spec.name.clone(),
        generation: number,
        ground,
        config: spec.config,
        config_dir: spec.config_dir,
        limits: spec.limits,
        allow: spec.allow,
        module_dirs,
        modules,
        mail,
        vitals: vitals.clone(),
        keeper,
        is_first,
    });
    // Events of publications come by the same way as everything else, in order.
    let (events, mut changes) = mpsc::unbounded_channel();
    if is_first && host.core.listen(host.owner.clone(), events.clone()).is_err() {
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
            let _ = loaded.send(Err(Problem::new(plain(&error))));
            return;
        }
    };
    if let Some(heritage) = heritage {
        api::pua::inherit(&host, &heritage.publications);
        host.budget().limit_staging();
        api::script::inherit(&host, &vm.lua, heritage.state);
    }
    let (top_level, at_top, lua) = (host.clone(), vitals.clone(), vm.lua.clone());
    tokio::task::spawn_local(async move {
        let run = top_level.run(Origin::Top, chunk, ()).await;
        keep_house(&top_level, &lua, &at_top);
        // One that is being ended has been taken over from, or has nothing to let go any more.
        let is_live = top_level.life.phase() == Phase::Live;
        if run.is_err() && is_first && is_live {
            // Half a script is none: its timers end, and what it published is let go.
            top_level.abandon();
            let _ = top_level.mail.send(Mail::Stop);
        }
        let is_well = run.is_ok();
        // Whoever started it may have lost patience.
        let _ = loaded.send(run.map(|_| ()));
        if is_well && is_first && is_live {
            api::script::ready(&top_level);
        }
    });
    let mut batch: Vec<PublicationEvent> = Vec::new();
    let ending = loop {
        if host.watches.borrow().is_empty() {
            host.orphans.borrow_mut().look_again(host.now());
        }
        let rests = host.is_held() || host.life.phase() != Phase::Live;
        let next = if rests { None } else { api::timer::next_look(&host) };
        let next = [next, host.orphans.borrow().next()].into_iter().flatten().min();
        tokio::select! {
            biased;
            letter = inbox.recv() => match letter {
                None | Some(Mail::Stop) => break None,
                Some(Mail::Retire(reason, reply)) => break Some((reason, reply)),
                Some(Mail::TakeOver(carried, done)) => {
                    // From here on its publications tell this version what becomes of them.
                    let _ = host.core.listen(host.owner.clone(), events.clone());
                    take_over(&host, &vm.lua, *carried);
                    let _ = done.send(());
                }
                Some(Mail::State(reply)) => {
                    let _ = reply.send(api::script::state(&host, &vm.lua));
                }
                Some(Mail::Timers(reply)) => {
                    let _ = reply.send((host.name.clone(), api::timer::list(&host)));
                }
                Some(Mail::Resume(reply)) => {
                    let _ = reply.send(host.resume(&vm.lua));
                }
                Some(Mail::Rehearse(done)) => api::timer::rehearse(&host, &vm.lua, done),
                Some(Mail::Watch(id, inbox)) => host.deliver(&vm.lua, id, inbox),
            },
            1.. = changes.recv_many(&mut batch, BATCH) => {
                for event in batch.drain(..) {
                    api::pua::on_event(&host, &vm.lua, event);
                }
            }
            () = at(next) => {
                if !rests {
                    api::timer::fire_due(&host, &vm.lua);
                }
                let_orphans_go(&host);
            }
            () = host.schedule_changed.notified() => {}
        }
        keep_house(&host, &vm.lua, &vitals);
    };
    if let Some((reason, reply)) = ending {
        retire(&host, &vm.lua, reason, reply).await;
        keep_house(&host, &vm.lua, &vitals);
    }
    host.close();
}

/// From now on this version is the script.
fn take_over(host: &Rc<Host>, lua: &Lua, carried: Carried) {
    host.budget().end_staging();
    api::script::take_over(host, lua, carried.state);
    host.phases.replace(carried.timers);
    host.take_over(lua);
    // What nobody has taken up by now is no timer any more.
    host.phases.take();
    // The older version may have been too busy to tell; what it had published is known all the same.
    let mut left = api::pua::undeclared(host);
    left.extend(carried.publications);
    left.retain(|key, _| !host.publications.borrow().get(key).is_some_and(|own| own.is_declared()));
    let timers: Vec<_> = host.timers.borrow().ids().collect();
    let due = host.now() + host.orphan_patience;
    host.orphans.borrow_mut().wait(due, left, timers);
    api::script::ready(host);
}

/// Ends in order: waits end, `script.on_stop` has its say, and what is to be handed on is.
async fn retire(host: &Rc<Host>, lua: &Lua, reason: Reason, reply: oneshot::Sender<Box<Carried>>) {
    host.life.end();
    let timers = api::timer::phases(host);
    let stopping = api::script::stop(host, lua, reason);
    if tokio::time::timeout(ON_STOP, stopping).await.is_err() {
        let script = &*host.name;
        tracing::warn!(script, "script.on_stop: ended after {} s", ON_STOP.as_secs());
    }
    // Whoever was waiting has its last turns.
    for _ in 0..LAST_TURNS {
        if !host.life.is_busy() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let (state, publications) = (api::script::state(host, lua), api::pua::origins(host));
    let carried = Carried { state, publications, timers };
    // Whoever asked may have lost patience.
    let _ = reply.send(Box::new(carried));
}

fn let_orphans_go(host: &Host) {
    let listens = !host.watches.borrow().is_empty();
    let gone = host.orphans.borrow_mut().take_due(host.now(), listens);
    if gone.is_empty() {
        return;
    }
    for key in &gone {
        tracing::info!(
            script = &*host.name,
            key = key.as_str(),
            "not declared any more by this version of the script; let go (on_orphan)"
        );
    }
    let command = Command::Abandon { owner: host.owner.clone(), keys: Some(gone) };
    // A core that has ended has removed everything itself.
    let _ = host.core.send(command);
}

fn keep_house(host: &Host, lua: &Lua, vitals: &Mutex<Vitals>) {
    if let Ok(mut vitals) = vitals.lock() {
        vitals.memory = lua.used_memory();
        vitals.timers = host.timers.borrow().len();
        vitals.watches = host.watches.borrow().len();
        vitals.publications = host.publications.borrow().len();
        vitals.is_held = host.is_held();
    }
}

async fn at(next: Option<Instant>) {
    match next {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Changes of publications taken in one turn.
const BATCH: usize = 64;
/// Turns that activities have when their waits have ended.
const LAST_TURNS: usize = 100;
