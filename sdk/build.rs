//! Tells the crate what it is being compiled for and by: parts of a native library's fingerprint.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=ALFT_TARGET={}", std::env::var("TARGET").expect("cargo sets TARGET"));
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let version = Command::new(rustc).arg("--version").output().ok().and_then(|out| String::from_utf8(out.stdout).ok());
    println!("cargo::rustc-env=ALFT_RUSTC={}", version.as_deref().unwrap_or("rustc ?").trim());
}
