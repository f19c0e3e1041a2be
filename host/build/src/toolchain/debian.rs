//! A compiler for wasm32-unknown-unknown from Debian's packages, for machines where rustup cannot download.
//!
//! Debian has a recent compiler, and its sources, for building browsers: `rustc-web`. The packages are downloaded and
//! unpacked into a private folder, because installing them would need root, and they conflict with rustup. They have no
//! standard library for WebAssembly, so that is built from their sources, by the compiler of the same version.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alft_text::Foreign;

use super::rustc::WASM;
use crate::event::{Observer, fetch};
use crate::io::{IoError, io};
use crate::paths::{cargo_registry, remap};
use crate::process::{CommandError, command, run, run_with};

/// The folder of the toolchain in the cache. The compiler is the file `rustc` in it.
const FOLDER: &str = "wasm-toolchain-debian";

/// The longest time of one run of apt. Apt has time limits too, but tries every address of every mirror.
const APT_LIMIT: Duration = Duration::from_secs(900);

/// A toolchain that could not be made of Debian's packages.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// The packages are for another kind of machine.
    #[error("Debian's compiler runs on x86-64 Linux only")]
    Platform,
    /// The package lists have no compiler.
    #[error("apt knows no package rustc-web; Debian 12 and later have it")]
    NoPackage,
    /// The version of the compiler has an unknown form.
    #[error("the version \"{0}\" of the package rustc-web has no number of the form 1.2.3")]
    Version(String),
    /// The standard library's package does not depend on LLVM.
    #[error("the package {0} names no libllvm among its dependencies")]
    NoLlvm(String),
    /// The package of the sources has another layout.
    #[error("the package rust-web-src has no folder usr/src/rustc-*/library")]
    NoSources,
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The toolchain could not be put in place.
    #[error(transparent)]
    Install(#[from] alft_fs::Error),
}

/// Returns the compiler in `cache`, if a toolchain was made there.
pub(crate) fn cached(cache: &Path) -> Option<PathBuf> {
    Some(cache.join(FOLDER).join("rustc")).filter(|rustc| rustc.is_file())
}

/// Makes the toolchain and returns its compiler. The caller holds the lock of the cache.
pub(crate) fn make(cache: &Path, observer: Observer<'_>) -> Result<PathBuf, DebianError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(DebianError::Platform);
    }
    alft_fs::sweep(cache);
    let folder = cache.join(FOLDER);
    alft_fs::folder(&folder, |draft| make_in(draft, observer))?;
    Ok(folder.join("rustc"))
}

/// Makes the toolchain in the empty folder `root`.
fn make_in(root: &Path, observer: Observer<'_>) -> Result<(), DebianError> {
    let apt = Apt::new(root)?;
    // A failed update is not final: one broken source among several does not matter if the package is known.
    let updated = fetch("updating Debian's package lists", observer, || apt.run("apt-get", &["--quiet", "update"]));
    let Some(version) = candidate(&apt.run("apt-cache", &["policy", "rustc-web"])?) else {
        updated?;
        return Err(DebianError::NoPackage);
    };
    let packages = packages(&apt, &version)?;
    let about = apt.run("apt-cache", &with(&["show", "--no-all-versions"], &packages))?;
    let size = sizes(&about) as f64 / 1e6;

    let step = format!("downloading {} Debian packages ({size:.0} MB)", packages.len());
    fetch(step, observer, || apt.run("apt-get", &with(&["--quiet", "download"], &packages)))?;
    fetch("unpacking the packages", observer, || unpack(&apt.folder, root))?;
    write_wrapper(root)?;
    let step = format!("building the standard library of Rust {version} for WebAssembly");
    let target = root.join("std");
    fetch(step, observer, || build_std(root, &target))?;
    for scratch in [apt.folder, target] {
        fs::remove_dir_all(&scratch).map_err(io("remove", &scratch))?;
    }
    Ok(())
}

/// apt with private folders for package lists and downloads, so that it needs no root and changes nothing on the system.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(root: &Path) -> Result<Self, IoError> {
        let folder = root.join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(io("create", part))?;
        }
        // Run by root, apt would download as the user `_apt`, who may not write here. The system's hooks after an update
        // are for the system's folders. The other settings save time.
        let config = format!(
            r#"Dir::State::Lists "{0}/lists";
Dir::Cache "{0}/cache";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"#,
            Foreign::path(&folder)
        );
        let file = folder.join("apt.conf");
        fs::write(&file, config).map_err(io("write", file))?;
        Ok(Self { folder })
    }

    /// Runs apt-get or apt-cache.
    fn run(&self, program: &str, args: &[impl AsRef<str>]) -> Result<String, CommandError> {
        let mut command = Command::new(program);
        // The output is parsed here, so it must not be translated.
        command.current_dir(&self.folder).env("LC_ALL", "C");
        command.args(["-c", "apt.conf"]).args(args.iter().map(AsRef::as_ref));
        run_with(&mut command, Some(APT_LIMIT), &|_| {})
    }
}

/// Returns the packages of compiler `version`, as arguments of apt. Their names and versions change with Debian's updates.
fn packages(apt: &Apt, version: &str) -> Result<Vec<String>, DebianError> {
    let short = short(version).ok_or_else(|| DebianError::Version(version.to_owned()))?;
    let std = format!("libstd-rust-web-{short}={version}");
    let about = apt.run("apt-cache", &["show", &std])?;
    let llvm = llvm(&about).ok_or_else(|| DebianError::NoLlvm(std.clone()))?;
    // A small system lacks some of the libraries that LLVM needs. If the simulation fails, they are probably installed.
    let simulated = apt.run("apt-get", &["--simulate", "--no-install-recommends", "install", &llvm]);
    let mut libraries = simulated.map(|text| new_packages(&text)).unwrap_or_default();
    libraries.retain(|library| *library != llvm);

    let mut packages = vec![std, llvm];
    packages.extend(["rustc-web", "libstd-rust-web-dev", "rust-web-src"].map(|name| format!("{name}={version}")));
    packages.extend(libraries);
    Ok(packages)
}

/// Returns the packages that `apt-get --simulate install` would add. Those that it would replace are left out: with a
/// second libc beside the system's no program runs.
fn new_packages(simulated: &str) -> Vec<String> {
    let installs = simulated.lines().filter_map(|line| line.strip_prefix("Inst "));
    installs
        .filter_map(|line| line.split_once(" (").filter(|(name, _)| !name.contains('[')))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Returns the command line with the packages as its last arguments.
fn with<'a>(command: &[&'a str], packages: &'a [String]) -> Vec<&'a str> {
    command.iter().copied().chain(packages.iter().map(String::as_str)).collect()
}

/// Returns the version that apt would install, from the output of `apt-cache policy`.
fn candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

/// Returns the first two numbers of a version: 1.96 for 1.96.0+dfsg1-1~deb12u2.
fn short(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some(format!("{major}.{minor}"))
}

/// Returns the package of LLVM among the dependencies that `apt-cache show` prints.
fn llvm(about: &str) -> Option<String> {
    let depends = about.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    names.into_iter().find(|name| name.starts_with("libllvm")).map(str::to_owned)
}

/// Returns the number of bytes to download, from the output of `apt-cache show`.
fn sizes(about: &str) -> u64 {
    about.lines().filter_map(|line| line.strip_prefix("Size:")?.trim().parse::<u64>().ok()).sum()
}

/// Unpacks the packages in `folder` into `root`, and removes them. The only part of the sources (half a gigabyte) that is
/// unpacked is the standard library.
fn unpack(folder: &Path, root: &Path) -> Result<(), DebianError> {
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        let package = entry.map_err(io("read", folder))?.path();
        if package.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        let mut command = if name.starts_with("rust-web-src_") {
            let mut shell = Command::new("sh");
            shell.args([
                "-c",
                r#"dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards './usr/src/rustc-*/library'"#,
            ]);
            shell.arg("sh");
            shell
        } else {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("-x");
            dpkg
        };
        run(command.arg(&package).arg(root))?;
        fs::remove_file(&package).map_err(io("remove", &package))?;
    }
    Ok(())
}

/// Writes the script `rustc`, which runs the compiler with its shared libraries, and runs it once.
fn write_wrapper(root: &Path) -> Result<(), DebianError> {
    let rustc = root.join("rustc");
    let script = r#"#!/bin/sh
# Debian's compiler, run from this folder.
here=$(dirname "$0")
LD_LIBRARY_PATH="$here/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$here/usr/bin/rustc" "$@"
"#;
    fs::write(&rustc, script).map_err(io("write", &rustc))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).map_err(io("write", &rustc))?;
    }
    run(Command::new(&rustc).arg("-vV"))?;
    Ok(())
}

/// Builds the standard library for WebAssembly in the folder `target`, copies it to where the compiler looks for it, and
/// removes its sources.
fn build_std(root: &Path, target: &Path) -> Result<(), DebianError> {
    let sources = root.join("usr/src");
    let unpacked = fs::read_dir(&sources).map_err(io("read", &sources))?.flatten();
    let Some(library) = unpacked.map(|source| source.path().join("library")).find(|library| library.is_dir()) else {
        return Err(DebianError::NoSources);
    };

    // The first flag lets std use unstable features, the second keeps the bitcode that link-time optimisation reads, the
    // others keep this machine's folders out of panic messages.
    let mut flags = OsString::from("-Zforce-unstable-if-unmarked\x1f-Cembed-bitcode=yes\x1f");
    flags.push(remap(&library, "/rustc/library"));
    if let Some(registry) = cargo_registry() {
        flags.push("\x1f");
        flags.push(remap(&registry, "/rustc/registry"));
    }
    let mut cargo = command("cargo", &library);
    cargo.args(["build", "--release", "--package", "std", "--package", "panic_abort"]);
    cargo.args(["--features", "std/panic-unwind", "--target", WASM]);
    cargo.env("RUSTC", root.join("rustc")).env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", flags);
    cargo.env("CARGO_TARGET_DIR", target).env("CARGO_BUILD_BUILD_DIR", target);
    run(&mut cargo)?;

    let built = target.join(WASM).join("release/deps");
    let installed = root.join("usr/lib/rustlib").join(WASM).join("lib");
    fs::create_dir_all(&installed).map_err(io("create", &installed))?;
    for entry in fs::read_dir(&built).map_err(io("read", &built))? {
        let file = entry.map_err(io("read", &built))?.path();
        if let (Some("rlib"), Some(name)) = (file.extension().and_then(|e| e.to_str()), file.file_name()) {
            fs::copy(&file, installed.join(name)).map_err(io("copy", &file))?;
        }
    }
    Ok(fs::remove_dir_all(&sources).map_err(io("remove", &sources))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_policy_gives_the_candidate() {
        let policy = "rustc-web:
  Installed: (none)
  Candidate: 1.96.0+dfsg1-1~deb12u2
  Version table:
     1.96.0+dfsg1-1~deb12u2 500
        500 http://deb.example/debian-security bookworm-security/main amd64 Packages
     1.85.0+dfsg3-1~deb12u3 500
        500 http://deb.example/debian bookworm/main amd64 Packages
";
        assert_eq!(candidate(policy).as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(candidate("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"), None);
        assert_eq!(candidate(""), None);
    }

    #[test]
    fn the_package_of_std_is_named_by_two_numbers() {
        assert_eq!(short("1.96.0+dfsg1-1~deb12u2").as_deref(), Some("1.96"));
        assert_eq!(short("1.100.1-1").as_deref(), Some("1.100"));
        assert_eq!(short("1"), None);
    }

    #[test]
    fn apt_show_gives_llvm_and_sizes() {
        let about = "Package: libstd-rust-web-1.96
Version: 1.96.0+dfsg1-1~deb12u2
Installed-Size: 104113
Depends: libc6 (>= 2.34), libgcc-s1 (>= 4.2), libllvm22 (>= 1:22.1), libstdc++6 (>= 11)
Size: 21977620

Package: rustc-web
Depends: libc6 (>= 2.34)
Size: 4450500
";
        assert_eq!(llvm(about).as_deref(), Some("libllvm22"));
        assert_eq!(llvm("Depends: libc6\n"), None);
        assert_eq!(sizes(about), 26_428_120);
    }

    #[test]
    fn new_libraries_are_added_and_installed_ones_kept() {
        let simulated = "Reading package lists...
Inst libc6 [2.36-1] (2.36-9 Debian:12.9/stable [amd64])
Inst libz3-4 (4.8.12-3.1 Debian:12.9/stable [amd64])
Inst libllvm22 (1:22.1.8-1~deb12u1 Debian-Security:12/stable-security [amd64])
Conf libz3-4 (4.8.12-3.1 Debian:12.9/stable [amd64])
";
        assert_eq!(new_packages(simulated), ["libz3-4", "libllvm22"]);
    }

    #[test]
    fn a_folder_without_a_compiler_is_no_toolchain() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(cached(&cache.path().join("none")), None);
        fs::create_dir(cache.path().join(FOLDER)).unwrap();
        assert_eq!(cached(cache.path()), None);
        fs::write(cache.path().join(FOLDER).join("rustc"), "").unwrap();
        assert_eq!(cached(cache.path()), Some(cache.path().join(FOLDER).join("rustc")));
    }
}
