//! `alft serve`.

use std::path::PathBuf;

use alft_runtime::plugins::PluginEvent;
use alft_serve::{ServeEvent, ServeOptions};
use alft_text::Foreign;

use crate::commands::plugin::lock_dir;
use crate::engine;
use crate::error::Result;
use crate::print;

/// Answer other trainers' requests for rewards, by the plugins of a run file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft serve examples/curl/serve.toml\n\n\
Listens on 127.0.0.1:8765, or where `serve.listen` says. POST /v1/score scores completions that stand alone, POST \
/v1/runs/RUN/rewards those of a run, whose targets move; /openapi.json describes all paths. SIGTERM ends the service once \
the requests under way are answered; SIGHUP and edits of the run file replace its plugins. The calls of a run can be made \
again: alft replay OUTPUT/serve/runs/RUN.")]
pub(crate) struct ServeArgs {
    /// The run file: plugins and the tables game, target, limits and serve
    #[arg(value_name = "RUN.toml")]
    run: PathBuf,
    /// Override a key of the run file: serve.listen=127.0.0.1:9000 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print a JSON line for each request on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    let json = args.json;
    let options = ServeOptions {
        run_file: args.run.clone(),
        overrides: args.overrides.clone(),
        lock_dir: lock_dir(&args.run),
        worker: engine::worker()?,
        observer: Box::new(move |event| show(event, json)),
    };
    Ok(alft_serve::serve(options)?)
}

fn show(event: &ServeEvent<'_>, json: bool) {
    match event {
        ServeEvent::Plugin(PluginEvent::Build { event, .. }) => tell!("{event}"),
        ServeEvent::Plugin(PluginEvent::Opened { name, description }) => {
            tell!("plugin {}: {description}", Foreign::new(name));
        }
        ServeEvent::Listening { address } => tell!("listening on http://{address}"),
        ServeEvent::Request(line) if json => print::json(line),
        ServeEvent::Request(line) => {
            let Some(error) = &line.error else { return };
            let (method, path) = (Foreign::new(&line.method), Foreign::new(&line.path));
            let (id, error) = (Foreign::new(&line.request_id), Foreign::new(error));
            tell!("{} {method} {path}: {error} (request {id})", line.status);
        }
        ServeEvent::Reloaded => tell!("the edit of the run file is in force"),
        ServeEvent::ReloadRefused { reason } => {
            tell!("the edit of the run file is refused, and the service keeps its plugins: {}", Foreign::new(reason));
        }
        ServeEvent::NeedsRestart => {
            tell!("the table [serve] changed too; it is in force once the service is started again")
        }
        ServeEvent::Stopping => tell!("stopping once the requests under way are answered"),
    }
}
