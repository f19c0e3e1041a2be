//! Plugins in JavaScript: the engine QuickJS with the author's modules loaded, made a component by componentize-qjs.
//!
//! As with Python, the system's interface is replaced by traps, and the component imports nothing of it.

use std::fs;
use std::path::Path;

use crate::artifact::{Artifact, Form};
use crate::assets::JAVASCRIPT_COMPONENT;
use crate::error::Error;
use crate::event::{BuildEvent, Observer};
use crate::inputs::build_if_changed;
use crate::io::io;
use crate::language::Language;
use crate::process::{command, run};
use crate::project::Project;
use crate::tools::{Manager, Tool};

const COMPONENTIZE: Tool = Tool { package: "componentize-qjs", version: "0.4.5", manager: Manager::Npm };

/// Builds plugin.js and the modules that it imports.
pub(crate) fn build(project: &Project, form: Form, observer: Observer<'_>) -> Result<Artifact, Error> {
    if form == Form::Native {
        return Err(Error::ComponentOnly { name: project.name.to_string(), language: Language::JavaScript });
    }
    project.source("plugin.js")?;
    let inputs = (&COMPONENTIZE, JAVASCRIPT_COMPONENT);
    build_if_changed(project, inputs, observer, |file| componentize(project, file, observer))
}

/// Writes the component to `file`.
fn componentize(project: &Project, file: &Path, observer: Observer<'_>) -> Result<(), Error> {
    let tool = COMPONENTIZE.get(&project.cache()?, observer)?;
    let stage = project.stage()?;
    let write = |file: &str, text: &str| fs::write(stage.join(file), text).map_err(io("write", stage.join(file)));
    write("plugin.wit", &project.wit())?;
    write("component.js", JAVASCRIPT_COMPONENT)?;
    write("project.js", &module(project))?;

    let mut node = command("node", &project.dir);
    node.arg(tool.join("node_modules/componentize-qjs/bin/componentize-qjs"));
    node.arg("--wit").arg(stage.join("plugin.wit")).args(["--world", "plugin", "--stub-wasi", "--sync"]);
    node.arg("--module-root").arg(&project.dir).arg("--js").arg(stage.join("component.js"));
    node.arg("--output").arg(file);
    let (name, form) = (project.name.to_string(), Form::Component);
    observer(BuildEvent::Compiling { name: name.clone(), form, note: "with QuickJS in it" });
    run(&mut node).map_err(|source| Error::Compile { name, form, source })?;
    Ok(())
}

/// Returns the module project.js, from which component.js imports the author's class. The stage is three folders below
/// the project.
fn module(project: &Project) -> String {
    let [name, version] =
        [project.name.as_str(), &project.version].map(|text| serde_json::Value::from(text).to_string());
    format!(
        "export {{ default as Plugin }} from \"../../../plugin.js\";\nexport const name = {name}, version = {version};\n"
    )
}
