//! Signatures, checked by the program `cosign`: it knows keys, certificates and transparency logs, and is what signs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alft_text::Foreign;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::digest::Digest;
use crate::error::{Error, Said};
use crate::reference::{Reference, SCHEME};

/// Bytes of a public key's file.
const MAX_KEY: u64 = 64 << 10;

/// The signer that a plugin must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum SignedBy {
    /// The file of a public key. The public transparency log must have the signature.
    Key(PathBuf),
    /// The file of a public key, and its options.
    KeyWith {
        /// The file.
        key: PathBuf,
        /// True if the public transparency log must have the signature. Teams leave private plugins out of it.
        #[serde(default = "logged")]
        transparency_log: bool,
    },
    /// A person or a workflow that an issuer vouches for.
    Identity {
        /// The certificate's identity, such as an address of e-mail or of a workflow.
        identity: String,
        /// The issuer's address, such as `https://token.actions.githubusercontent.com`.
        issuer: String,
    },
}

fn logged() -> bool {
    true
}

impl SignedBy {
    /// Lets the path of a key begin at `folder`.
    pub fn make_absolute(&mut self, folder: &Path) {
        if let Self::Key(path) | Self::KeyWith { key: path, .. } = self {
            let joined = folder.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        }
    }

    /// Returns the signer as the cache remembers it: a key by its content, since its file may change.
    pub(crate) fn identity(&self) -> Result<String> {
        match self {
            Self::Key(path) | Self::KeyWith { key: path, .. } => {
                let wrong = |source| Error::Key { path: path.clone(), source: alft_fs::with_hint(path, source) };
                let key = Digest::of(&alft_fs::read(path, MAX_KEY).map_err(wrong)?);
                match self.is_logged() {
                    true => Ok(format!("key {key}")),
                    false => Ok(format!("key {key} without a transparency log")),
                }
            }
            Self::Identity { identity, issuer } => Ok(format!("identity {identity:?} issuer {issuer:?}")),
        }
    }

    /// Returns true if the public transparency log must have the signature.
    fn is_logged(&self) -> bool {
        !matches!(self, Self::KeyWith { transparency_log: false, .. })
    }

    /// Lets `cosign` check the signature of an artifact. `reference` has a digest.
    pub(crate) fn verify(&self, reference: &Reference) -> Result<()> {
        let name = reference.to_string();
        let name = name.trim_start_matches(SCHEME);
        let mut command = Command::new("cosign");
        command.arg("verify");
        // Values follow an equals sign, so none can be read as an option.
        match self {
            Self::Key(path) | Self::KeyWith { key: path, .. } => {
                let mut key = std::ffi::OsString::from("--key=");
                key.push(path);
                command.arg(key);
                if !self.is_logged() {
                    command.arg("--insecure-ignore-tlog=true");
                }
            }
            Self::Identity { identity, issuer } => {
                command.arg(format!("--certificate-identity={identity}"));
                command.arg(format!("--certificate-oidc-issuer={issuer}"));
            }
        }
        let output = command.arg(name).stdin(Stdio::null()).stdout(Stdio::null()).output();
        let output = output.map_err(|source| Error::NoCosign { reference: reference.clone(), source })?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::Signature {
                reference: reference.clone(),
                signer: Foreign::new(self.to_string()),
                status: output.status,
                said: Said::new(&output.stderr),
            }),
        }
    }
}

impl std::fmt::Display for SignedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(path) | Self::KeyWith { key: path, .. } => write!(f, "the key {}", path.display()),
            Self::Identity { identity, issuer } => write!(f, "{identity} ({issuer})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_is_a_key_or_an_identity() {
        let read = |text: &str| serde_json::from_str::<SignedBy>(text);
        assert_eq!(read("\"cosign.pub\"").unwrap(), SignedBy::Key("cosign.pub".into()));
        let identity = read(r#"{"identity": "me@example.com", "issuer": "https://example.com"}"#).unwrap();
        assert!(matches!(identity, SignedBy::Identity { .. }));
        assert!(read(r#"{"identity": "me@example.com"}"#).is_err());
        let key = read(r#"{"key": "cosign.pub", "transparency_log": false}"#).unwrap();
        assert!(!key.is_logged() && read("\"cosign.pub\"").unwrap().is_logged() && identity.is_logged());
        assert!(read(r#"{"key": "cosign.pub", "transparency_log": false, "issuer": "me"}"#).is_err());
    }

    #[test]
    fn another_content_of_a_key_is_another_signer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let signer = SignedBy::Key(file.path().into());
        let empty = signer.identity().unwrap();
        std::fs::write(file.path(), "key").unwrap();
        assert_ne!(signer.identity().unwrap(), empty);
        let unlogged = SignedBy::KeyWith { key: file.path().into(), transparency_log: false };
        assert_ne!(unlogged.identity().unwrap(), signer.identity().unwrap());
        assert!(matches!(SignedBy::Key("/no/such/key".into()).identity(), Err(Error::Key { .. })));
    }
}
