//! Plugins in JavaScript: the engine QuickJS, with the author's modules loaded, made a component by componentize-qjs.
//!
//! As with Python, the system's interface is replaced with traps, and the component imports nothing of it.

use std::fs;
use std::path::Path;

use crate::languages::JAVASCRIPT_COMPONENT;

use crate::error::Error;
use crate::process::{clean, io, run};
use crate::project::{Language, Project};
use crate::tools::{Manager, Tool};
use crate::{Built, Form};

const COMPONENTIZE: Tool = Tool { package: "componentize-qjs", version: "0.4.5", manager: Manager::Npm };

/// Builds plugin.js and what it imports.
pub(crate) fn build(project: &Project, form: Form, say: &dyn Fn(&str)) -> Result<Built, Error> {
    if form == Form::Native {
        return Err(Error::ComponentOnly { name: project.name.to_string(), language: Language::JavaScript });
    }
    project.source("plugin.js")?;
    project.component((&COMPONENTIZE, JAVASCRIPT_COMPONENT), say, |file| make(project, file, say))
}

fn make(project: &Project, file: &Path, say: &dyn Fn(&str)) -> Result<(), Error> {
    let name = &project.name;
    let tool = COMPONENTIZE.get(&project.cache()?, say)?;
    let stage = project.stage()?;
    let write = |file: &str, text: &str| fs::write(stage.join(file), text).map_err(io("writing", stage.join(file)));
    write("plugin.wit", &project.wit())?;
    write("component.js", JAVASCRIPT_COMPONENT)?;
    write("project.js", &module(project))?;

    let mut node = clean("node", &project.dir);
    node.arg(tool.join("node_modules/componentize-qjs/bin/componentize-qjs"));
    node.arg("--wit").arg(stage.join("plugin.wit")).args(["--world", "plugin", "--stub-wasi", "--sync"]);
    node.arg("--module-root").arg(&project.dir).arg("--js").arg(stage.join("component.js"));
    node.arg("--output").arg(file);
    say(&format!("building {name} as a component, with QuickJS in it"));
    let failed = |failed| Error::Compile { name: name.to_string(), form: Form::Component, failed };
    run(&mut node, None, &|_| {}).map_err(failed).map(drop)
}

/// What component.js imports of the project, which lies three folders above.
fn module(project: &Project) -> String {
    let [name, version] =
        [project.name.as_str(), &project.version].map(|text| serde_json::Value::from(text).to_string());
    format!(
        "export {{ default as Plugin }} from \"../../../plugin.js\";\nexport const name = {name}, version = {version};\n"
    )
}
