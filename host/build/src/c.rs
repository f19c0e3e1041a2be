//! Plugins in C: one file that includes the header alft.h, built for the sandbox or for this machine.
//!
//! For a component, clang (from the package `ziglang`) compiles plugin.c and the sdk's component.c, which exports the
//! contract's interfaces on top of it, to a core module. [`encode`] makes the module a component.

use std::error::Error as StdError;
use std::fs;
use std::path::Path;
use std::process::Command;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::artifact::{Artifact, Form};
use crate::assets::{C_COMPONENT, HEADER};
use crate::error::{Error, chain};
use crate::event::{BuildEvent, Observer};
use crate::io::io;
use crate::process::{command, run, run_with};
use crate::project::Project;
use crate::tools::{Manager, Tool};

const ZIG: Tool = Tool { package: "ziglang", version: "0.17.1", manager: Manager::Pip };

/// Compiler flags of both forms. A product and a sum are never fused into one rounding, because both forms are to give
/// the same bits.
const FLAGS: [&str; 5] = ["-std=c17", "-O2", "-Wall", "-Wextra", "-ffp-contract=off"];

/// Builds plugin.c.
pub(crate) fn build(project: &Project, form: Form, observer: Observer<'_>) -> Result<Artifact, Error> {
    let name = project.name.to_string();
    let source = project.source("plugin.c")?;
    let stage = project.stage()?;
    let write = |file: &str, text: &str| fs::write(stage.join(file), text).map_err(io("write", stage.join(file)));
    write("alft.h", HEADER)?;
    let include = |command: &mut Command| {
        // The author's copy of the header comes first.
        command.args(FLAGS).arg("-I").arg(&project.dir).arg("-I").arg(&stage).arg(&source);
    };
    let compile = |command: &mut Command| {
        observer(BuildEvent::Compiling { name: name.clone(), form, note: "" });
        let on_line = |line: &str| observer(BuildEvent::Line(line.to_owned()));
        run_with(command, None, &on_line).map_err(|source| Error::Compile { name: name.clone(), form, source })
    };

    let file = match form {
        Form::Native => {
            let file = format!("{}{}{}", std::env::consts::DLL_PREFIX, name, std::env::consts::DLL_SUFFIX);
            let file = project.target(&file)?;
            let mut cc = native_compiler(project, observer)?;
            include(&mut cc);
            cc.args(["-shared", "-fPIC", "-o"]).arg(&file).arg("-lm");
            compile(&mut cc)?;
            file
        }
        Form::Component => {
            write("component.c", C_COMPONENT)?;
            let core = stage.join("core.wasm");
            let mut zig = zig(project, observer)?;
            // The stack has Rust's size: zig's default of 16 MB would be a quarter of a plugin's memory limit.
            zig.args(["-target", "wasm32-wasi", "-mexec-model=reactor", "-Wl,--no-entry", "-Wl,-z,stack-size=1048576"]);
            zig.arg("-s");
            include(&mut zig);
            zig.args(project.roles.iter().map(|role| format!("-DALFT_{}", role.name().to_uppercase())));
            zig.arg(stage.join("component.c")).arg("-o").arg(&core);
            compile(&mut zig)?;
            let module = fs::read(&core).map_err(io("read", &core))?;
            let component = encode(module, &project.wit()).map_err(|source| Error::Component {
                name: name.clone(),
                remedy: remedy(&*source),
                source,
            })?;
            let file = project.target(&format!("{name}.wasm"))?;
            alft_fs::write(&file, &component)?;
            file
        }
    };
    Ok(Artifact { name, file })
}

/// Makes a component of a core module that exports the functions of the world `plugin` of `wit`.
fn encode(mut module: Vec<u8>, wit: &str) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", wit)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().module(&module)?.validate(true).encode()?)
}

/// Returns the remedy where the encoder refuses imports of WASI, which a module in C has if it calls the system.
fn remedy(error: &(dyn StdError + 'static)) -> &'static str {
    match chain(error).contains("wasi") {
        true => {
            ": a component has no operating system, so it cannot call functions of the C library that need one (printf, \
             fopen, time, assert); write messages with alft_host.log"
        }
        false => "",
    }
}

/// Returns the C compiler of this machine: CC, or cc, or else zig's.
fn native_compiler(project: &Project, observer: Observer<'_>) -> Result<Command, Error> {
    let named = std::env::var_os("CC").filter(|cc| !cc.is_empty());
    let cc = named.unwrap_or_else(|| "cc".into());
    match run(command(&cc, &project.dir).arg("--version")) {
        Ok(_) => Ok(command(&cc, &project.dir)),
        Err(_) => zig(project, observer),
    }
}

/// Returns the command `zig cc`, which builds a C library for a target at its first use and caches it beside the compiler.
fn zig(project: &Project, observer: Observer<'_>) -> Result<Command, Error> {
    let tool = ZIG.get(&project.cache()?, observer)?;
    let cache: &Path = &tool.join("cache");
    let program = tool.join("ziglang").join(format!("zig{}", std::env::consts::EXE_SUFFIX));
    let mut zig = command(program, &project.dir);
    zig.arg("cc").env("ZIG_GLOBAL_CACHE_DIR", cache).env("ZIG_LOCAL_CACHE_DIR", cache);
    if !cache.is_dir() {
        observer(BuildEvent::Line("the first build in C builds a C library too, which takes a minute".to_owned()));
    }
    Ok(zig)
}
