//! Plugins in C: one file on the header alft.h, for the sandbox and for this machine.
//!
//! For a component the sdk's component.c puts the contract's interfaces on top of it; clang, from the `ziglang` package,
//! makes a core module of both, and [`component`] the component.

use std::fs;
use std::path::Path;
use std::process::Command;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::error::Error;
use crate::process::{clean, io, run};
use crate::project::Project;
use crate::tools::{Manager, Tool};
use crate::{Built, Form};

const ZIG: Tool = Tool { package: "ziglang", version: "0.17.1", manager: Manager::Pip };

/// For both forms. A product and a sum are never fused into one rounding: both forms are to give the same bits.
const FLAGS: [&str; 5] = ["-std=c17", "-O2", "-Wall", "-Wextra", "-ffp-contract=off"];

/// Builds plugin.c.
pub(crate) fn build(project: &Project, form: Form, say: &dyn Fn(&str)) -> Result<Built, Error> {
    let name = project.name.as_str().to_owned();
    let source = project.source("plugin.c")?;
    let stage = project.stage()?;
    let write = |file: &str, text: &str| fs::write(stage.join(file), text).map_err(io("writing", stage.join(file)));
    write("alft.h", crate::languages::HEADER)?;
    let include = |command: &mut Command| {
        // The project's own header comes first.
        command.args(FLAGS).arg("-I").arg(&project.dir).arg("-I").arg(&stage).arg(&source);
    };
    let failed = |failed| Error::Compile { name: name.clone(), form, failed };

    let file = match form {
        Form::Native => {
            let file = format!("{}{}{}", std::env::consts::DLL_PREFIX, name, std::env::consts::DLL_SUFFIX);
            let file = project.target(&file)?;
            let mut cc = compiler(project, say)?;
            include(&mut cc);
            cc.args(["-shared", "-fPIC", "-o"]).arg(&file).arg("-lm");
            say(&format!("building {name} as a {form}"));
            run(&mut cc, None, say).map_err(failed)?;
            file
        }
        Form::Component => {
            write("component.c", crate::languages::C_COMPONENT)?;
            let mut zig = zig(project, say)?;
            // As much stack as Rust has: zig's own 16 MB would be a quarter of the memory that a plugin may take.
            zig.args(["-target", "wasm32-wasi", "-mexec-model=reactor", "-Wl,--no-entry", "-Wl,-z,stack-size=1048576"]);
            zig.arg("-s");
            include(&mut zig);
            zig.args(project.roles.iter().map(|role| format!("-DALFT_{}", role.to_string().to_uppercase())));
            zig.arg(stage.join("component.c")).arg("-o").arg(stage.join("core.wasm"));
            say(&format!("building {name} as a {form}"));
            run(&mut zig, None, say).map_err(failed)?;
            let core = fs::read(stage.join("core.wasm")).map_err(io("reading", stage.join("core.wasm")))?;
            let component = component(core, &project.wit())
                .map_err(|error| Error::Component { name: name.clone(), reason: explained(&format!("{error:#}")) })?;
            let file = project.target(&format!("{name}.wasm"))?;
            fs::write(&file, component).map_err(io("writing", &file))?;
            file
        }
    };
    Ok(Built { name, file })
}

/// Makes a component of a core module that exports the functions of the world `plugin` of `wit`.
fn component(mut module: Vec<u8>, wit: &str) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", wit)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}

/// The reason, with the remedy where the code wants an operating system.
fn explained(reason: &str) -> String {
    let remedy = match reason.contains("wasi") {
        true => {
            "\na component has no operating system: a function of the C library that needs one (printf, fopen, time, \
             assert) cannot be called; to speak there is alft_host.log"
        }
        false => "",
    };
    format!("{reason}{remedy}")
}

/// The C compiler of this machine: CC, or cc, or else zig's.
fn compiler(project: &Project, say: &dyn Fn(&str)) -> Result<Command, Error> {
    let named = std::env::var_os("CC").filter(|cc| !cc.is_empty());
    let cc = named.unwrap_or_else(|| "cc".into());
    match run(clean(&cc, &project.dir).arg("--version"), None, &|_| {}) {
        Ok(_) => Ok(clean(&cc, &project.dir)),
        Err(_) => zig(project, say),
    }
}

/// `zig cc`. It builds a C library for a target when first asked, and keeps it beside the compiler.
fn zig(project: &Project, say: &dyn Fn(&str)) -> Result<Command, Error> {
    let tool = ZIG.get(&project.cache()?, say)?;
    let cache: &Path = &tool.join("cache");
    let mut zig = clean(tool.join("ziglang").join(format!("zig{}", std::env::consts::EXE_SUFFIX)), &project.dir);
    zig.arg("cc").env("ZIG_GLOBAL_CACHE_DIR", cache).env("ZIG_LOCAL_CACHE_DIR", cache);
    if !cache.is_dir() {
        say("the first build in C makes a C library too, which takes a minute");
    }
    Ok(zig)
}
