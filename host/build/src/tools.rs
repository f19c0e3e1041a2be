//! The compilers of languages other than Rust: installed once, from where their own package managers find them, into
//! the cache and nowhere else.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::process::{clean, io, run, step};
use crate::toolchain::lock;

/// How long an installation may take (the largest is 101 MB to download).
const LIMIT: Duration = Duration::from_secs(900);

/// What brings a tool to this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manager {
    Pip,
    Npm,
}

/// A compiler in a package, of one version: another may make other components.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    pub(crate) manager: Manager,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.package, self.version)
    }
}

impl Tool {
    /// The folder that holds it, under `cache`; installed first where it is not there yet. Several processes may ask at
    /// once.
    pub(crate) fn get(&self, cache: &Path, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
        let name = self.to_string();
        let folder = cache.join(&name);
        if folder.is_dir() {
            return Ok(folder);
        }
        let _lock = lock(cache, say)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        // Beside its place and then renamed, so that what was interrupted is never taken for the whole.
        let partial = cache.join(format!("{name}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(io("removing", &partial))?;
        }
        fs::create_dir_all(&partial).map_err(io("making", &partial))?;
        let package = |separator| format!("{}{separator}{}", self.package, self.version);
        let mut command = match self.manager {
            Manager::Pip => {
                let mut pip = clean("python3", cache);
                pip.args(["-m", "pip", "install", "--quiet", "--no-warn-script-location", "--target"]).arg(&partial);
                // As variables: a pip that is too old to know one passes over it.
                pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
                pip.arg(package("=="));
                pip
            }
            Manager::Npm => {
                let mut npm = clean(NPM, cache);
                npm.args([
                    "install",
                    "--no-audit",
                    "--no-fund",
                    "--no-save",
                    "--ignore-scripts",
                    "--loglevel",
                    "error",
                ]);
                npm.arg("--prefix").arg(&partial).arg(package("@"));
                npm
            }
        };
        step(say, &format!("installing {name} into {}", cache.display()), || run(&mut command, Some(LIMIT), &|_| {}))
            .map_err(|failed| Error::NoTool { tool: name.clone(), remedy: self.remedy(), failed })?;
        fs::rename(&partial, &folder).map_err(io("renaming", &partial))?;
        Ok(folder)
    }

    /// What a user does where it cannot be installed.
    fn remedy(&self) -> &'static str {
        match self.manager {
            Manager::Pip => {
                "it comes by pip: install Python 3.10 or later with pip (Debian: `apt-get install python3-pip`) and see \
                 that pip can download"
            }
            Manager::Npm => {
                "it comes by npm: install Node.js 18 or later with npm (Debian: `apt-get install npm`) and see that npm \
                 can download"
            }
        }
    }
}

/// npm is a script, and Windows wants its ending.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_does_not_exist_is_an_error_with_the_remedy_and_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        for manager in [Manager::Pip, Manager::Npm] {
            let tool = Tool { package: "componentize-py", version: "0.0.0-none", manager };
            let error = tool.get(cache.path(), &|_| {}).unwrap_err().to_string();
            assert!(error.contains("componentize-py-0.0.0-none") && error.contains("can download"), "{error}");
            assert!(!cache.path().join("componentize-py-0.0.0-none").exists());
        }
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let cache = tempfile::tempdir().unwrap();
        let tool = Tool { package: "x", version: "1", manager: Manager::Pip };
        fs::create_dir(cache.path().join("x-1")).unwrap();
        assert_eq!(tool.get(cache.path(), &|line| panic!("{line}")).unwrap(), cache.path().join("x-1"));
    }
}
