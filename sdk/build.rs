//! Passes the target and the version of the compiler to the crate, for the fingerprint of native libraries.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=ALFT_TARGET={}", std::env::var("TARGET").expect("cargo sets TARGET"));
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let version = Command::new(rustc).arg("--version").output().ok().and_then(|out| String::from_utf8(out.stdout).ok());
    println!("cargo::rustc-env=ALFT_RUSTC={}", version.as_deref().unwrap_or("rustc ?").trim());
}
