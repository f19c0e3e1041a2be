//! The compilers of languages other than Rust. Each is a package of pip or npm, installed once into the cache folder when
//! the first plugin in its language is built, and nowhere else.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alft_text::Foreign;

use crate::cache::lock;
use crate::error::Error;
use crate::event::{Observer, fetch};
use crate::process::{command, run_with};

/// The longest time an installation may take. The largest package is a download of 101 MB.
const LIMIT: Duration = Duration::from_secs(900);

/// A package manager.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manager {
    Pip,
    Npm,
}

/// A compiler in a package. Its version is fixed, for another version may make other components.
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
    /// Returns the folder below `cache` that holds the package, and installs the package if it is missing. Several
    /// processes may call this at the same time: one of them installs, the others wait.
    pub(crate) fn get(&self, cache: &Path, observer: Observer<'_>) -> Result<PathBuf, Error> {
        let name = self.to_string();
        let folder = cache.join(&name);
        if folder.is_dir() {
            return Ok(folder);
        }
        let _lock = lock(cache, observer)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        alft_fs::sweep(cache);
        alft_fs::folder(&folder, |draft| {
            fetch(format!("installing {name} into {}", Foreign::path(&cache)), observer, || {
                run_with(&mut self.install(draft), Some(LIMIT), &|_| {})
            })
            .map_err(|source| Error::NoTool { tool: name.clone(), remedy: self.remedy(), source })?;
            Ok::<_, Error>(())
        })?;
        Ok(folder)
    }

    /// Returns the command that installs the package into `folder`.
    fn install(&self, folder: &Path) -> Command {
        let package = |separator| format!("{}{separator}{}", self.package, self.version);
        match self.manager {
            Manager::Pip => {
                let mut pip = command("python3", folder);
                pip.args(["-m", "pip", "install", "--quiet", "--no-warn-script-location", "--target"]).arg(folder);
                // These are variables because a pip that is too old to know them ignores them.
                pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
                pip.arg(package("=="));
                pip
            }
            Manager::Npm => {
                let mut npm = command(NPM, folder);
                let quiet = ["--no-audit", "--no-fund", "--loglevel", "error"];
                npm.args(["install", "--no-save", "--ignore-scripts"]).args(quiet);
                npm.arg("--prefix").arg(folder).arg(package("@"));
                npm
            }
        }
    }

    /// Returns the requirements of an installation, for the error that it failed.
    fn remedy(&self) -> &'static str {
        match self.manager {
            Manager::Pip => {
                "it is a package of pip; install Python 3.10 or later with pip (Debian: `apt-get install python3-pip`) and \
                 check that pip can download"
            }
            Manager::Npm => {
                "it is a package of npm; install Node.js 18 or later with npm (Debian: `apt-get install npm`) and check \
                 that npm can download"
            }
        }
    }
}

/// The program npm, which is a batch file on Windows.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_does_not_exist_is_an_error_with_a_remedy_and_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        for manager in [Manager::Pip, Manager::Npm] {
            let tool = Tool { package: "componentize-py", version: "0.0.0-none", manager };
            let error = tool.get(cache.path(), &|_| {}).unwrap_err().to_string();
            assert!(error.contains("componentize-py-0.0.0-none") && error.contains("can download"), "{error}");
            let left = std::fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(left.collect::<Vec<_>>(), ["lock"]);
        }
    }

    #[test]
    fn an_installed_package_is_not_installed_again() {
        let cache = tempfile::tempdir().unwrap();
        let tool = Tool { package: "x", version: "1", manager: Manager::Pip };
        std::fs::create_dir(cache.path().join("x-1")).unwrap();
        assert_eq!(tool.get(cache.path(), &|event| panic!("{event}")).unwrap(), cache.path().join("x-1"));
    }
}
