//! Plugins in Python: CPython with the author's modules loaded, made a component by componentize-py.
//!
//! WASI, which CPython expects, is replaced by traps: the component imports nothing of the system, and code that opens a
//! file or reads a clock fails. Modules imported at the top of the author's file are in the component; later imports find
//! no files.

use std::fs;
use std::path::Path;

use crate::artifact::{Artifact, Form};
use crate::assets::PYTHON_COMPONENT;
use crate::error::Error;
use crate::event::{BuildEvent, Observer};
use crate::inputs::build_if_changed;
use crate::io::io;
use crate::language::Language;
use crate::process::{command, run};
use crate::project::Project;
use crate::tools::{Manager, Tool};

const COMPONENTIZE: Tool = Tool { package: "componentize-py", version: "0.25.1", manager: Manager::Pip };

/// Builds plugin.py and the modules beside it.
pub(crate) fn build(project: &Project, form: Form, observer: Observer<'_>) -> Result<Artifact, Error> {
    if form == Form::Native {
        return Err(Error::ComponentOnly { name: project.name.to_string(), language: Language::Python });
    }
    project.source("plugin.py")?;
    build_if_changed(project, (&COMPONENTIZE, PYTHON_COMPONENT), observer, |file| componentize(project, file, observer))
}

/// Writes the component to `file`.
fn componentize(project: &Project, file: &Path, observer: Observer<'_>) -> Result<(), Error> {
    let name = &project.name;
    let tool = COMPONENTIZE.get(&project.cache()?, observer)?;
    let stage = project.stage()?;
    let write = |file: &str, text: &str| fs::write(stage.join(file), text).map_err(io("write", stage.join(file)));
    write("plugin.wit", &project.wit())?;
    write("alft_component.py", PYTHON_COMPONENT)?;
    write("alft_project.py", &format!("NAME, VERSION = {}, {}\n", quoted(name.as_str()), quoted(&project.version)))?;
    // An empty environment, where the project has none, hides the packages of this machine's Python.
    let mut environment = project.dir.join(".venv");
    if !environment.is_dir() {
        environment = stage.join("venv");
        let packages = environment.join("lib").join("site-packages");
        fs::create_dir_all(&packages).map_err(io("create", &packages))?;
    }

    let mut python = command("python3", &project.dir);
    python.args(["-c", "import sys; from componentize_py import script; sys.exit(script())", "--quiet"]);
    python.arg("--wit-path").arg(stage.join("plugin.wit")).args([
        "--world",
        "plugin",
        "componentize",
        "alft_component",
    ]);
    python.arg("--stub-wasi").arg("--python-path").arg(&stage).arg("--python-path").arg(&project.dir);
    python.arg("--output").arg(file).env("PYTHONPATH", &tool).env("VIRTUAL_ENV", &environment);
    // A backtrace of the compiler would hide the author's traceback.
    python.env("RUST_BACKTRACE", "0");
    let (name, form) = (name.to_string(), Form::Component);
    observer(BuildEvent::Compiling { name: name.clone(), form, note: "with CPython in it, about 10 s" });
    run(&mut python).map_err(|source| Error::Compile { name, form, source })?;
    Ok(())
}

/// Returns a Python string literal.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
