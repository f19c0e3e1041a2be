//! Reads what cargo prints: the name and folders of a plugin crate, and the file that a build has made.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;
use crate::io::io;
use crate::process::{command, run};

/// A package with a library.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

impl Package {
    /// Runs `cargo metadata` for the crate at `dir`, an absolute path.
    pub(crate) fn read(dir: &Path) -> Result<Package, Error> {
        let manifest = dir.join("Cargo.toml");
        // cargo would wait for a pipe or a device.
        alft_fs::read(&manifest, alft_fs::MAX_SETTINGS).map_err(io("read", &manifest))?;
        let mut cargo = command("cargo", dir);
        cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        parse(&run(&mut cargo)?, &manifest)
    }

    /// Returns the library with this extension that a build made, from the build's messages.
    pub(crate) fn artifact(&self, messages: &str, extension: &str) -> Option<PathBuf> {
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        messages
            .filter(|message| message["reason"] == "compiler-artifact")
            .filter(|message| {
                message["manifest_path"].as_str().is_some_and(|path| is_same_file(Path::new(path), &self.manifest))
            })
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|file| file.as_str().map(PathBuf::from))
            .find(|file| file.extension().is_some_and(|found| found == extension))
    }
}

/// Reads the package of `manifest` from the output of `cargo metadata`.
fn parse(metadata: &str, manifest: &Path) -> Result<Package, Error> {
    let metadata: Value = serde_json::from_str(metadata)
        .map_err(|source| Error::MetadataSyntax { manifest: manifest.to_owned(), source })?;
    let missing = |field| Error::MetadataField { manifest: manifest.to_owned(), field };
    let text =
        |value: &Value, field: &'static str| value[field].as_str().map(str::to_owned).ok_or_else(|| missing(field));

    let packages = metadata["packages"].as_array().ok_or_else(|| missing("packages"))?;
    let package = packages
        .iter()
        .find(|package| package["manifest_path"].as_str().is_some_and(|path| is_same_file(Path::new(path), manifest)))
        .ok_or_else(|| Error::NoPackage(manifest.to_owned()))?;
    let name = text(package, "name")?;
    let kinds = package["targets"].as_array().into_iter().flatten().filter_map(|target| target["kind"].as_array());
    let libraries = ["lib", "rlib", "dylib", "cdylib", "staticlib"];
    if !kinds.flatten().filter_map(Value::as_str).any(|kind| libraries.contains(&kind)) {
        return Err(Error::NoLibrary { name, manifest: manifest.to_owned() });
    }
    Ok(Package {
        name,
        manifest: manifest.to_owned(),
        workspace_root: text(&metadata, "workspace_root")?.into(),
        target_directory: text(&metadata, "target_directory")?.into(),
    })
}

/// Returns true if both paths name one file, be it by links or `..`.
fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(kind: &str) -> String {
        format!(
            r#"{{"packages": [{{"name": "other", "manifest_path": "/w/other/Cargo.toml", "targets": []}},
                {{"name": "gini", "manifest_path": "/w/gini/Cargo.toml", "targets": [
                    {{"kind": ["{kind}"], "name": "gini"}}, {{"kind": ["test"], "name": "t"}}]}}],
                "workspace_root": "/w", "target_directory": "/w/target", "version": 1}}"#
        )
    }

    #[test]
    fn metadata_gives_name_and_folders() {
        let package = parse(&metadata("cdylib"), Path::new("/w/gini/Cargo.toml")).unwrap();
        assert_eq!(package.name, "gini");
        assert_eq!(package.workspace_root, Path::new("/w"));
        assert_eq!(package.target_directory, Path::new("/w/target"));
    }

    #[test]
    fn a_program_or_a_macro_has_no_library() {
        for kind in ["bin", "proc-macro"] {
            let error = parse(&metadata(kind), Path::new("/w/gini/Cargo.toml")).unwrap_err().to_string();
            assert!(error.contains(r#"crate-type = ["cdylib", "rlib"]"#), "{error}");
            assert!(error.contains("/w/gini/Cargo.toml") && error.contains("`gini`"), "{error}");
        }
    }

    #[test]
    fn a_workspace_without_a_package_is_an_error() {
        let error = parse(&metadata("lib"), Path::new("/w/Cargo.toml")).unwrap_err();
        assert!(matches!(error, Error::NoPackage(path) if path == Path::new("/w/Cargo.toml")));
    }

    #[test]
    fn other_output_than_metadata_is_an_error() {
        let error = |text| parse(text, Path::new("/w/Cargo.toml")).unwrap_err();
        assert!(matches!(error(""), Error::MetadataSyntax { .. }));
        for text in ["{}", "[]"] {
            assert!(matches!(error(text), Error::MetadataField { field: "packages", .. }), "{text}");
        }
    }

    #[test]
    fn the_artifact_is_the_library_of_this_package() {
        let package = parse(&metadata("cdylib"), Path::new("/w/gini/Cargo.toml")).unwrap();
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/r/libm/Cargo.toml","filenames":["/t/liblibm.rlib"]}
not json
{"reason":"compiler-artifact","manifest_path":"/w/gini/Cargo.toml","filenames":["/t/build-script-build"]}
{"reason":"build-script-executed","manifest_path":"/w/gini/Cargo.toml"}
{"reason":"compiler-artifact","manifest_path":"/w/gini/Cargo.toml","filenames":["/t/gini.d","/t/gini.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(package.artifact(messages, "wasm").unwrap(), Path::new("/t/gini.wasm"));
        assert_eq!(package.artifact(messages, "so"), None);
    }
}
