//! Which configuration and which scripts: what `run` and `check` have in common.

use std::path::{Path, PathBuf};

use super::Ended;
use crate::{
    command::closest,
    config::{self, Config, Problems, Wanted},
};

/// Options of every command that loads scripts.
#[derive(Debug, clap::Args)]
pub(super) struct Sources {
    /// Scripts to take instead of those of [scripts] dir; no configuration is needed then
    #[arg(value_name = "SCRIPT")]
    pub(super) scripts: Vec<PathBuf>,
    /// Configuration file [default: $PUAD_CONFIG, else puad.toml or /etc/puad/puad.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A value of a script's config table, as text; may be repeated
    #[arg(long, value_name = "SCRIPT.KEY=VALUE", value_parser = Set::parse)]
    set: Vec<Set>,
}

impl Sources {
    /// Loads the configuration with the scripts.
    pub(super) fn load(&self) -> Result<Config, Ended> {
        let file = config::find(self.config.as_deref());
        let wanted = self.wanted();
        if file.is_none() && wanted == Wanted::Configured {
            return Err(Ended::usage(
                "there is no script and no configuration: name a script, as in `puad run hello.lua`, \
                 or write puad.toml (--config and PUAD_CONFIG name another file)",
            ));
        }
        let mut config = config::load(file.as_deref(), &wanted)?;
        for set in &self.set {
            set.apply(&mut config).map_err(Ended::usage)?;
        }
        Ok(config)
    }
}

impl Sources {
    fn wanted(&self) -> Wanted {
        match self.scripts.is_empty() {
            true => Wanted::Configured,
            false => Wanted::Files(self.scripts.clone()),
        }
    }

    /// Loads the configuration once more, from the file it was read from before.
    pub(super) fn load_again(&self, file: Option<&Path>) -> Result<Config, Problems> {
        let mut config = config::load_again(file, &self.wanted())?;
        for set in &self.set {
            // It was meant for a script that is not there any more.
            if let Err(why) = set.apply(&mut config) {
                tracing::warn!("{why}");
            }
        }
        Ok(config)
    }
}

/// One `--set`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    /// Script and key, with a dot between them; either may hold dots itself.
    path: String,
    value: String,
}

impl Set {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, value)) if path.contains('.') => {
                Ok(Self { path: path.into(), value: value.into() })
            }
            _ => Err("write SCRIPT.KEY=VALUE, such as cpu.interval=10s".into()),
        }
    }

    fn apply(&self, config: &mut Config) -> Result<(), String> {
        let script = config
            .scripts
            .iter_mut()
            .filter(|script| {
                self.path.strip_prefix(&*script.name).is_some_and(|rest| rest.starts_with('.'))
            })
            .max_by_key(|script| script.name.len());
        let Some(script) = script else {
            let names: Vec<_> = config.scripts.iter().map(|script| &*script.name).collect();
            let written = self.path.split('.').next().unwrap_or_default();
            let hint = match closest(written, names.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => format!("there are: {}", names.join(", ")),
            };
            return Err(format!("--set {}: no script is named '{written}' ({hint})", self.path));
        };
        let keys: Vec<_> = self.path[script.name.len() + 1..].split('.').collect();
        let Some((last, outer)) = keys.split_last().filter(|_| !keys.contains(&"")) else {
            return Err(format!("--set {}: a key is empty", self.path));
        };
        let mut table = &mut script.config;
        for key in outer {
            let inner = table.entry(*key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            table = inner
                .as_table_mut()
                .ok_or_else(|| format!("--set {}: {key} is not a table", self.path))?;
        }
        table.insert((*last).into(), toml::Value::String(self.value.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(names: &[&str]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> =
            names.iter().map(|name| folder.path().join(format!("{name}.lua"))).collect();
        for path in &paths {
            std::fs::write(path, "").unwrap();
        }
        config::load(None, &Wanted::Files(paths)).unwrap()
    }

    #[test]
    fn set_reaches_the_script_with_the_longest_name_and_inner_tables() {
        let mut config = config(&["cpu", "cpu.b"]);
        for text in ["cpu.uri=sip:a@b=c", "cpu.b.uri=x", "cpu.limits.high=5"] {
            Set::parse(text).unwrap().apply(&mut config).unwrap();
        }
        assert_eq!(config.scripts[0].config["uri"].as_str(), Some("sip:a@b=c"));
        assert_eq!(config.scripts[0].config["limits"]["high"].as_str(), Some("5"));
        assert_eq!(config.scripts[1].config["uri"].as_str(), Some("x"));
    }

    #[test]
    fn set_says_what_is_wrong() {
        assert!(Set::parse("uri=x").is_err() && Set::parse("cpu.uri").is_err());
        let mut config = config(&["cpu"]);
        let mut refused = |text| Set::parse(text).unwrap().apply(&mut config).unwrap_err();
        assert_eq!(
            refused("cpuu.uri=x"),
            "--set cpuu.uri: no script is named 'cpuu' (did you mean 'cpu'?)"
        );
        assert_eq!(
            refused("door.uri=x"),
            "--set door.uri: no script is named 'door' (there are: cpu)"
        );
        assert_eq!(refused("cpu.=x"), "--set cpu.: a key is empty");
    }
}
