//! Plugins in Python: CPython itself, with the author's modules loaded, made a component by componentize-py.
//!
//! WASI, which CPython expects, is replaced with traps: the component imports nothing of the system, and what reaches
//! for a file or a clock fails. What is imported at the top of a module is in the component; there are no files to
//! import from later.

use std::fs;
use std::path::Path;

use crate::languages::PYTHON_COMPONENT;

use crate::error::Error;
use crate::process::{clean, io, run};
use crate::project::{Language, Project};
use crate::tools::{Manager, Tool};
use crate::{Built, Form};

const COMPONENTIZE: Tool = Tool { package: "componentize-py", version: "0.25.1", manager: Manager::Pip };

/// Builds plugin.py and the modules beside it.
pub(crate) fn build(project: &Project, form: Form, say: &dyn Fn(&str)) -> Result<Built, Error> {
    if form == Form::Native {
        return Err(Error::ComponentOnly { name: project.name.to_string(), language: Language::Python });
    }
    project.source("plugin.py")?;
    project.component((&COMPONENTIZE, PYTHON_COMPONENT), say, |file| make(project, file, say))
}

fn make(project: &Project, file: &Path, say: &dyn Fn(&str)) -> Result<(), Error> {
    let name = &project.name;
    let tool = COMPONENTIZE.get(&project.cache()?, say)?;
    let stage = project.stage()?;
    let write = |file: &str, text: &str| fs::write(stage.join(file), text).map_err(io("writing", stage.join(file)));
    write("plugin.wit", &project.wit())?;
    write("alft_component.py", PYTHON_COMPONENT)?;
    write("alft_project.py", &format!("NAME, VERSION = {}, {}\n", quoted(name.as_str()), quoted(&project.version)))?;
    // Where the project has no environment of its own an empty one keeps out what else this machine's Python has.
    let mut environment = project.dir.join(".venv");
    if !environment.is_dir() {
        environment = stage.join("venv");
        let packages = environment.join("lib").join("site-packages");
        fs::create_dir_all(&packages).map_err(io("making", &packages))?;
    }

    let mut python = clean("python3", &project.dir);
    python.args(["-c", "import sys; from componentize_py import script; sys.exit(script())", "--quiet"]);
    python.arg("--wit-path").arg(stage.join("plugin.wit")).args([
        "--world",
        "plugin",
        "componentize",
        "alft_component",
    ]);
    python.arg("--stub-wasi").arg("--python-path").arg(&stage).arg("--python-path").arg(&project.dir);
    python.arg("--output").arg(file).env("PYTHONPATH", &tool).env("VIRTUAL_ENV", &environment);
    // The compiler's own would push the author's traceback out of sight.
    python.env("RUST_BACKTRACE", "0");
    say(&format!("building {name} as a component, with CPython in it: some 10 s"));
    let failed = |failed| Error::Compile { name: name.to_string(), form: Form::Component, failed };
    run(&mut python, None, &|_| {}).map_err(failed).map(drop)
}

/// A string literal.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
