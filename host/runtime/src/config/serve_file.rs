//! The run file as `alft serve` reads it: plugins, the game, and the table `[serve]`.

use std::path::{Path, PathBuf};

use alft_game::TargetConfig;
use alft_plugin_host::Limits;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::game::Game;
use super::plugin::PluginEntry;
use super::run_file::{LARGEST_BATCH, check_plugins, check_target};
use super::serve::Serve;
use super::source::{InvalidSetting, RunFileError, Source};

/// A run file of `alft serve`. A run file of `alft train` is one too: its model, questions and training have no part.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeFile {
    /// The folder, in whose folder `serve` the service keeps the targets and ledgers of runs.
    pub output: PathBuf,
    /// The estimator, and the way from rewards to advantages.
    #[serde(default)]
    pub game: Game,
    /// The target player.
    #[serde(default)]
    pub target: TargetConfig,
    /// The limits of one call of a plugin.
    #[serde(default)]
    pub limits: Limits,
    /// The plugins, in the order in which they are asked.
    #[serde(rename = "plugin", default)]
    pub plugins: Vec<PluginEntry>,
    /// The service.
    #[serde(default)]
    pub serve: Serve,
    #[serde(default, rename = "seed")]
    _seed: IgnoredAny,
    #[serde(default, rename = "model")]
    _model: IgnoredAny,
    #[serde(default, rename = "prompts")]
    _prompts: IgnoredAny,
    #[serde(default, rename = "sampling")]
    _sampling: IgnoredAny,
    #[serde(default, rename = "train")]
    _train: IgnoredAny,
    #[serde(default, rename = "eval")]
    _eval: IgnoredAny,
    #[serde(default, rename = "export")]
    _export: IgnoredAny,
    #[serde(default, rename = "warm_start")]
    _warm_start: IgnoredAny,
}

impl ServeFile {
    /// Reads the text of a run file as [`RunFile::parse`](super::RunFile::parse) does.
    ///
    /// # Errors
    /// The first mistake, with its key, its place in the text and the remedy.
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self, RunFileError> {
        let source = Source::new(path, text, overrides)?;
        let mut file: Self = toml::from_str(&source.text).map_err(|error| source.toml_error(&error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file.plugins.iter_mut().for_each(|plugin| plugin.make_paths_absolute(folder));
        file.check().map_err(|invalid| source.setting_error(&invalid))?;
        Ok(file)
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        let wrong = |key: &str, reason: String| Err(InvalidSetting::new(key, reason));
        let Serve { max_body, concurrency, queue, deadline_s, idle_s, connections, runs, .. } = self.serve;
        let bounds = [
            ("serve.max_body", max_body as u64, 1 << 30),
            ("serve.concurrency", concurrency as u64, 1024),
            ("serve.queue", queue as u64, 1 << 20),
            ("serve.deadline_s", deadline_s, 24 * 3600),
            ("serve.idle_s", idle_s, 3600),
            ("serve.connections", connections as u64, 1 << 20),
            ("serve.runs", runs as u64, 1 << 16),
        ];
        if let Some((key, value, most)) = bounds.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return wrong(key, format!("must be from 1 to {most}, not {value}"));
        }
        if self.serve.token_env.is_none() && !self.serve.listen.ip().is_loopback() {
            let reason = format!(
                "is {}, which other machines reach; set `token_env` to the name of an environment variable with a token, or \
                 listen on 127.0.0.1",
                self.serve.listen
            );
            return wrong("serve.listen", reason);
        }
        check_target(&self.target)?;
        self.limits.check().map_err(|invalid| InvalidSetting::limit("limits", &invalid))?;
        // The size of a group is the client's.
        check_plugins(&self.plugins, &self.limits, LARGEST_BATCH as usize, self.game.advantage.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "output = \"x\"\n[[plugin]]\nname = \"a\"\npath = \"a.wasm\"\n";

    fn parse(text: &str) -> Result<ServeFile, RunFileError> {
        ServeFile::parse(Path::new("/home/run.toml"), text, &[])
    }

    #[test]
    fn a_run_file_of_training_is_served() {
        let text = format!(
            "model = {{ embedded = \"tiny\" }}\nprompts = {{ train = \"t\" }}\ntrain = {{ steps = 3 }}\n{PLUGIN}"
        );
        let file = parse(&text).unwrap();
        assert_eq!(file.plugins[0].path.as_deref(), Some(Path::new("/home/a.wasm")));
        assert_eq!(file.serve, Serve::default());
    }

    #[test]
    fn other_machines_need_a_token() {
        let listen = |address: &str| parse(&format!("{PLUGIN}[serve]\n{address}"));
        let error = listen("listen = \"0.0.0.0:80\"").unwrap_err();
        assert!(error.message.contains("`serve.listen` is 0.0.0.0:80, which other machines reach"), "{error}");
        listen("listen = \"0.0.0.0:80\"\ntoken_env = \"TOKEN\"").unwrap();
        listen("listen = \"[::1]:80\"").unwrap();
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, words) in [
            ("serve = { queue = 0 }", "`serve.queue` must be from 1 to 1048576, not 0"),
            ("serve = { quue = 1 }", "unknown field `quue`"),
            ("target = { rate = 0.0 }", "`target.rate` must be from 0.001 to 1, not 0.0"),
            ("serve = { listen = \"localhost\" }", "invalid socket address syntax"),
        ] {
            let error = parse(&format!("{text}\n{PLUGIN}")).unwrap_err();
            assert!(error.message.contains(words), "{error}");
        }
    }
}
