//! Names and passwords of registries, from docker's configuration: `DOCKER_CONFIG/config.json`, or else
//! `~/.docker/config.json`. `docker login`, `oras login` and `crane auth login` write it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use alft_text::Foreign;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::Result;
use crate::error::{Error, Foreigner};

/// A login for one registry.
#[derive(Clone, PartialEq)]
pub(crate) enum Login {
    /// A name and a password, or a token in its place, as base64 of `NAME:PASSWORD`.
    Password(String),
    /// A token that is exchanged for others.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Docker's configuration, as far as it is about logins.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// The answer of a credential helper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The name that helpers give to a token in the place of a user.
const TOKEN_USER: &str = "<token>";

/// The key of Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Finds the login for a registry. `None` if there is none: many registries need none to read.
pub(crate) fn find(host: &str) -> Result<Option<Login>> {
    let Some(path) = config_path() else { return Ok(None) };
    let text = match alft_fs::read_to_string(&path, alft_fs::MAX_SETTINGS) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Credentials { path, source: error.into() }),
    };
    let config: Config =
        serde_json::from_str(&text).map_err(|error| Error::Credentials { path: path.clone(), source: error.into() })?;
    config.login(host).map_err(|error| match error {
        Wrong::Entry(source) => Error::Credentials { path, source },
        Wrong::Helper(helper, source) => Error::Helper { helper, host: host.to_owned(), source },
    })
}

fn config_path() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

enum Wrong {
    Entry(Foreigner),
    Helper(Foreign, Foreigner),
}

impl Config {
    fn login(&self, host: &str) -> Result<Option<Login>, Wrong> {
        let key = if host == "docker.io" { DOCKER_HUB } else { host };
        let helper = self.cred_helpers.iter().find(|(entry, _)| host_of(entry) == host_of(key));
        if let Some((_, helper)) = helper {
            return ask(helper, key);
        }
        let entry = self.auths.iter().find(|(entry, _)| host_of(entry) == host_of(key)).map(|(_, entry)| entry);
        if let Some(token) = entry.and_then(|entry| entry.identitytoken.as_ref()).filter(|token| !token.is_empty()) {
            return Ok(Some(Login::Identity(token.clone())));
        }
        match entry.and_then(|entry| entry.auth.as_ref()).filter(|auth| !auth.is_empty()) {
            Some(auth) => {
                let decoded = STANDARD.decode(auth).map_err(|error| Wrong::Entry(error.into()))?;
                match decoded.contains(&b':') {
                    true => Ok(Some(Login::Password(STANDARD.encode(decoded)))),
                    false => Err(Wrong::Entry(format!("the login of {host} has no `:`").into())),
                }
            }
            None => self.creds_store.as_ref().map_or(Ok(None), |store| ask(store, key)),
        }
    }
}

/// Returns the host of a key: keys are written with and without a scheme and a path.
fn host_of(key: &str) -> &str {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    key.split_once('/').map_or(key, |(host, _)| host)
}

/// Asks a credential helper, a program whose name the configuration gives.
fn ask(helper: &str, key: &str) -> Result<Option<Login>, Wrong> {
    let wrong = |source: Foreigner| Wrong::Helper(Foreign::new(helper.to_owned()), source);
    if !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(wrong("its name is no name of a program".into()));
    }
    let asked = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .and_then(|mut child| {
            let mut stdin = child.stdin.take().expect("the pipe was asked for");
            // A helper that ends without reading has said what it thinks of the question.
            let _ = stdin.write_all(key.as_bytes());
            drop(stdin);
            child.wait_with_output()
        });
    let output = asked.map_err(|error| wrong(error.into()))?;
    if !output.status.success() {
        // Helpers say so where they have no login.
        return Ok(None);
    }
    let Helped { username, secret } = serde_json::from_slice(&output.stdout).map_err(|error| wrong(error.into()))?;
    Ok(Some(match username.as_str() {
        TOKEN_USER => Login::Identity(secret),
        _ => Login::Password(STANDARD.encode(format!("{username}:{secret}"))),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(config: &str, host: &str) -> Result<Option<Login>, Wrong> {
        serde_json::from_str::<Config>(config).unwrap().login(host)
    }

    #[test]
    fn a_login_is_that_of_its_host_alone() {
        let auth = STANDARD.encode("me:secret");
        let config = format!(
            r#"{{"auths": {{"ghcr.io": {{"auth": "{auth}"}}, "https://index.docker.io/v1/": {{"identitytoken": "t"}},
                "localhost:5000": {{}}}}, "other": 1}}"#
        );
        assert_eq!(login(&config, "ghcr.io").ok().unwrap(), Some(Login::Password(auth)));
        assert_eq!(login(&config, "docker.io").ok().unwrap(), Some(Login::Identity("t".into())));
        for host in ["localhost:5000", "ghcr.io:444", "evil-ghcr.io", "io"] {
            assert_eq!(login(&config, host).ok().unwrap(), None, "{host}");
        }
    }

    #[test]
    fn broken_logins_and_names_of_helpers_are_errors() {
        assert!(login(r#"{"auths": {"h": {"auth": "???"}}}"#, "h").is_err());
        assert!(login(r#"{"auths": {"h": {"auth": "bWU="}}}"#, "h").is_err());
        assert!(login(r#"{"credHelpers": {"h": "../x"}}"#, "h").is_err());
        assert!(login(r#"{"credsStore": "no-such-helper-of-alft"}"#, "h").is_err());
    }

    #[test]
    fn a_login_is_not_printed() {
        assert_eq!(format!("{:?}", Login::Password("secret".into())), "Login(…)");
    }
}
