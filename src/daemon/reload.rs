//! Reloading: the configuration is read again, what can change under a running puad changes, and what
//! cannot is named.
//!
//! Scripts see to changes of their own files by themselves; here it is decided which scripts there
//! are and with which settings.

use std::{path::PathBuf, sync::Arc};

use crate::{
    command::Command,
    config::{Config, Problems},
    driver::Handle,
    script::{Force, Scripts, Taken, Update},
};

/// Reads the configuration once more, with what the command line says on top.
pub type Load = Box<dyn Fn() -> Result<Config, Problems>>;

/// What the configuration said last, and how to read it again.
pub(super) struct Reloader {
    load: Load,
    /// As it is used; the scripts in it are not.
    used: Config,
}

impl Reloader {
    /// `used` is what puad has been started with.
    pub(super) fn new(load: Load, used: Config) -> Self {
        Self { load, used }
    }

    /// The files and folders whose changes ask for a reload.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        let Config { file, scripts_dir, .. } = &self.used;
        // Where no folder is named, one beside the file counts as soon as it is there.
        let usual = || file.as_ref().map(|file| file.with_file_name("scripts"));
        let dir = scripts_dir.clone().or_else(usual);
        let paths = file.iter().cloned().chain(dir);
        paths.map(|path| std::path::absolute(&path).unwrap_or(path)).collect()
    }

    /// Reads and applies; what then comes of each script is told by the future.
    ///
    /// # Errors
    /// With what is wrong with the configuration; nothing has changed then.
    pub(super) fn reload(
        &mut self,
        scripts: &Scripts,
        core: &Handle,
        force: Force,
    ) -> Result<impl Future<Output = Vec<(Arc<str>, Taken)>> + use<>, Problems> {
        let mut config = (self.load)()?;
        let needs_restart = self.used.needs_restart(&config);
        if !needs_restart.is_empty() {
            tracing::warn!(
                "the configuration has changed where only a restart helps: {}",
                needs_restart.join(", ")
            );
        }
        let (used, wanted) = (&mut self.used.sip, &config.sip);
        if used.accounts != wanted.accounts || used.outbound_proxy != wanted.outbound_proxy {
            tracing::info!("accounts and proxies are used as the configuration has them now");
            used.accounts.clone_from(&wanted.accounts);
            used.outbound_proxy.clone_from(&wanted.outbound_proxy);
            let accounts = wanted.accounts.clone();
            let outbound_proxy = wanted.outbound_proxy.clone();
            // A core that has ended ends everything else in a moment.
            let _ = core.send(Command::Accounts { accounts, outbound_proxy });
        }
        self.used.scripts_dir = config.scripts_dir.take();
        let unreadable = config.unreadable.into_iter();
        let unreadable = unreadable
            .map(|(name, problem)| (name, crate::script::Problem::new(problem.to_string())))
            .collect();
        Ok(scripts.update(Update { specs: config.scripts, unreadable, force }))
    }
}

/// Says what came of a script, in one line.
pub(super) fn words(name: &str, taken: &Taken) -> String {
    match taken {
        Taken::Unchanged => format!("{name}: runs as it is"),
        Taken::Started(version) => format!("{name}: started, version {version}"),
        Taken::Reloaded(version) => format!("{name}: reloaded, version {version}"),
        Taken::Failed(problem) => format!("{name}: not reloaded: {problem}"),
        Taken::Stopping => format!("{name}: wanted no more; it is being stopped"),
    }
}
