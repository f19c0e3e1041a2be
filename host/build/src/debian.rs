//! A compiler for wasm32-unknown-unknown from Debian's packages, for machines where rustup cannot download.
//!
//! Debian has a recent compiler, and its sources, for building browsers: `rustc-web`. The packages are downloaded and
//! unpacked into a private folder: installing them would need root, and they conflict with rustup. They bring no
//! standard library for WebAssembly, so it is built from their sources, by the compiler they match.
//!
//! The result is a folder with a compiler `rustc` in it. It is built under another name and renamed when complete,
//! so a folder of the right name is good, whenever the process was killed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cargo;
use crate::error::{Error, Failed};
use crate::process::{clean, io, remap, run, step};
use crate::toolchain::WASM;

/// Folders of finished toolchains start so, and end with the version.
const PREFIX: &str = "wasm-toolchain-";

/// Folders of toolchains in the making start so, and end with the process that makes them.
const TEMPORARY: &str = "wasm-toolchain.tmp-";

/// How long apt may take, each time it is called. It has limits of its own, but tries every address of every mirror.
const APT_LIMIT: Duration = Duration::from_secs(900);

/// The compiler of the newest toolchain that was made in `cache`.
pub(crate) fn made(cache: &Path) -> Option<PathBuf> {
    folders(cache, PREFIX).map(|folder| folder.join("rustc")).filter(|rustc| rustc.is_file()).max()
}

/// The folders in `cache` whose names start with `prefix`.
fn folders(cache: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path())
}

/// Makes the toolchain and returns its compiler. The caller holds the lock of the cache.
pub(crate) fn make(cache: &Path, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    // What killed processes have left. A cargo of theirs may still be at work there, so this one takes a name of its
    // own, and leaves what cannot be removed to the next.
    for left in folders(cache, TEMPORARY) {
        let _ = fs::remove_dir_all(left);
    }
    let temporary = cache.join(format!("{TEMPORARY}{}", std::process::id()));
    fs::create_dir(&temporary).map_err(io("making", &temporary))?;
    let made = make_in(&temporary, say).and_then(|(root, version)| {
        let folder = cache.join(format!("{PREFIX}{}", version.replace(':', "_")));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(io("removing", &folder))?;
        }
        fs::rename(&root, &folder).map_err(io("making", &folder))?;
        Ok(folder.join("rustc"))
    });
    let _ = fs::remove_dir_all(&temporary);
    made
}

/// The same within `folder`, gives the toolchain's folder and its version.
fn make_in(folder: &Path, say: &dyn Fn(&str)) -> Result<(PathBuf, String), Error> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(unusable("this road is for x86-64 Linux"));
    }
    let apt = Apt::new(folder)?;
    // One broken source among several is no reason to stop: whether the packages are known is what counts.
    let updated = step(say, "asking Debian for its packages", || apt.run("apt-get", &["--quiet", "update"]));
    let Some(version) = candidate(&apt.run("apt-cache", &["policy", "rustc-web"])?) else {
        updated?;
        return Err(unusable("apt knows no package rustc-web: it is in Debian 12 and later"));
    };
    let packages = packages(&apt, &version)?;
    let about = apt.run("apt-cache", &with(&["show", "--no-all-versions"], &packages))?;
    let size = sizes(&about) as f64 / 1e6;

    let what = format!("downloading {} Debian packages ({size:.0} MB)", packages.len());
    step(say, &what, || apt.run("apt-get", &with(&["--quiet", "download"], &packages)))?;
    let root = folder.join("root");
    step(say, "unpacking them", || unpack(&apt.folder, &root))?;
    wrap(&root)?;
    let std = format!("building the standard library of Rust {version} for WebAssembly");
    step(say, &std, || build_std(&root, &folder.join("std")))?;
    Ok((root, version))
}

fn unusable(reason: &str) -> Error {
    Failed { command: "apt-get".to_owned(), reason: reason.to_owned(), tail: String::new() }.into()
}

/// apt with package lists and downloads in a folder of its own: it needs no root and changes nothing on the system.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> Result<Apt, Error> {
        let folder = folder.join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(io("making", part))?;
        }
        // A root apt would hand its downloads to the user `_apt`, who may not write here; and what the system runs
        // after an update is meant for the system's own folders. The rest is left out to be quick.
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
            folder.display()
        );
        let file = folder.join("apt.conf");
        fs::write(&file, config).map_err(io("writing", file))?;
        Ok(Apt { folder })
    }

    /// Runs apt-get or apt-cache.
    fn run(&self, program: &str, args: &[impl AsRef<str>]) -> Result<String, Failed> {
        let mut command = Command::new(program);
        // The texts that are parsed here are translated in other languages.
        command.current_dir(&self.folder).env("LC_ALL", "C");
        command.args(["-c", "apt.conf"]).args(args.iter().map(AsRef::as_ref));
        run(&mut command, Some(APT_LIMIT), &|_| {})
    }
}

/// The packages of compiler `version`, as apt names them. Their names and versions move with Debian's updates.
fn packages(apt: &Apt, version: &str) -> Result<Vec<String>, Error> {
    let short = short(version).ok_or_else(|| unusable(&format!("cannot read the version {version} of rustc-web")))?;
    let std = format!("libstd-rust-web-{short}={version}");
    let about = apt.run("apt-cache", &["show", &std])?;
    let llvm = llvm(&about).ok_or_else(|| unusable(&format!("{std} names no libllvm among its dependencies")))?;
    // The libraries that LLVM needs and a small system lacks. Where apt cannot work them out they are probably there.
    let simulated = apt.run("apt-get", &["--simulate", "--no-install-recommends", "install", &llvm]);
    let mut libraries = simulated.map(|text| new_packages(&text)).unwrap_or_default();
    libraries.retain(|library| *library != llvm);

    let mut packages = vec![std, llvm];
    packages.extend(["rustc-web", "libstd-rust-web-dev", "rust-web-src"].map(|name| format!("{name}={version}")));
    packages.extend(libraries);
    Ok(packages)
}

/// What `apt-get --simulate install` would add. What it would replace is left as it is: a second libc does not run.
fn new_packages(simulated: &str) -> Vec<String> {
    let installs = simulated.lines().filter_map(|line| line.strip_prefix("Inst "));
    installs
        .filter_map(|line| line.split_once(" (").filter(|(name, _)| !name.contains('[')))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// A command line that ends in packages.
fn with<'a>(command: &[&'a str], packages: &'a [String]) -> Vec<&'a str> {
    command.iter().copied().chain(packages.iter().map(String::as_str)).collect()
}

/// The version that apt would install, from `apt-cache policy`.
fn candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

/// 1.96 of 1.96.0+dfsg1-1~deb12u2.
fn short(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some(format!("{major}.{minor}"))
}

/// The package of LLVM among the dependencies that `apt-cache show` lists.
fn llvm(about: &str) -> Option<String> {
    let depends = about.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|one| one.split_whitespace().next());
    names.into_iter().find(|name| name.starts_with("libllvm")).map(str::to_owned)
}

/// The bytes to download, from `apt-cache show`.
fn sizes(about: &str) -> u64 {
    about.lines().filter_map(|line| line.strip_prefix("Size:")?.trim().parse::<u64>().ok()).sum()
}

/// Unpacks the packages in `folder`; of the sources (half a gigabyte) the standard library alone.
fn unpack(folder: &Path, root: &Path) -> Result<(), Error> {
    fs::create_dir_all(root).map_err(io("making", root))?;
    for entry in fs::read_dir(folder).map_err(io("reading", folder))? {
        let package = entry.map_err(io("reading", folder))?.path();
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
        run(command.arg(&package).arg(root), None, &|_| {})?;
        fs::remove_file(&package).map_err(io("removing", &package))?;
    }
    Ok(())
}

/// Writes the `rustc` that finds its own shared libraries, and tries it.
fn wrap(root: &Path) -> Result<(), Error> {
    let rustc = root.join("rustc");
    let script = r#"#!/bin/sh
# Debian's compiler, run from this folder.
here=$(dirname "$0")
LD_LIBRARY_PATH="$here/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$here/usr/bin/rustc" "$@"
"#;
    fs::write(&rustc, script).map_err(io("writing", &rustc))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).map_err(io("writing", &rustc))?;
    }
    run(Command::new(&rustc).arg("-vV"), None, &|_| {})?;
    Ok(())
}

/// Builds std for WebAssembly in the folder `target`, where its compiler looks for it; then drops the sources.
fn build_std(root: &Path, target: &Path) -> Result<(), Error> {
    let sources = root.join("usr/src");
    let unpacked = fs::read_dir(&sources).map_err(io("reading", &sources))?.flatten();
    let Some(library) = unpacked.map(|source| source.path().join("library")).find(|library| library.is_dir()) else {
        return Err(unusable("the package rust-web-src has no usr/src/rustc-*/library"));
    };

    // The first flag marks std as what may use unstable features, the second leaves in what link-time optimisation
    // reads, the others keep this machine's folders out of panic messages.
    let mut flags = OsString::from("-Zforce-unstable-if-unmarked\x1f-Cembed-bitcode=yes\x1f");
    flags.push(remap(&library, "/rustc/library"));
    if let Some(registry) = cargo::registry() {
        flags.push("\x1f");
        flags.push(remap(&registry, "/rustc/registry"));
    }
    let mut cargo = clean("cargo", &library);
    cargo.args(["build", "--release", "--package", "std", "--package", "panic_abort"]);
    cargo.args(["--features", "std/panic-unwind", "--target", WASM]);
    cargo.env("RUSTC", root.join("rustc")).env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", flags);
    cargo.env("CARGO_TARGET_DIR", target).env("CARGO_BUILD_BUILD_DIR", target);
    run(&mut cargo, None, &|_| {})?;

    let built = target.join(WASM).join("release/deps");
    let place = root.join("usr/lib/rustlib").join(WASM).join("lib");
    fs::create_dir_all(&place).map_err(io("making", &place))?;
    for entry in fs::read_dir(&built).map_err(io("reading", &built))? {
        let file = entry.map_err(io("reading", &built))?.path();
        if let (Some("rlib"), Some(name)) = (file.extension().and_then(|e| e.to_str()), file.file_name()) {
            fs::copy(&file, place.join(name)).map_err(io("copying", &file))?;
        }
    }
    fs::remove_dir_all(&sources).map_err(io("removing", &sources))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_gives_the_candidate() {
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
    fn the_short_version_names_the_package_of_std() {
        assert_eq!(short("1.96.0+dfsg1-1~deb12u2").as_deref(), Some("1.96"));
        assert_eq!(short("1.100.1-1").as_deref(), Some("1.100"));
        assert_eq!(short("1"), None);
    }

    #[test]
    fn show_gives_llvm_and_sizes() {
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
    fn libraries_are_added_and_never_replaced() {
        let simulated = "Reading package lists...
Inst libc6 [2.36-1] (2.36-9 Debian:12.9/stable [amd64])
Inst libz3-4 (4.8.12-3.1 Debian:12.9/stable [amd64])
Inst libllvm22 (1:22.1.8-1~deb12u1 Debian-Security:12/stable-security [amd64])
Conf libz3-4 (4.8.12-3.1 Debian:12.9/stable [amd64])
";
        assert_eq!(new_packages(simulated), ["libz3-4", "libllvm22"]);
    }

    #[test]
    fn only_finished_toolchains_count() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(made(&cache.path().join("none")), None);
        for folder in
            ["wasm-toolchain.tmp-1", "wasm-toolchain-1.96.0", "wasm-toolchain-1.97.0", "wasm-toolchain-1.98.0"]
        {
            fs::create_dir(cache.path().join(folder)).unwrap();
        }
        assert_eq!(made(cache.path()), None);
        for folder in ["wasm-toolchain.tmp-1", "wasm-toolchain-1.96.0", "wasm-toolchain-1.97.0"] {
            fs::write(cache.path().join(folder).join("rustc"), "").unwrap();
        }
        assert_eq!(made(cache.path()), Some(cache.path().join("wasm-toolchain-1.97.0/rustc")));
    }
}
