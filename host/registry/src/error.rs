//! The reasons why a plugin cannot be published or fetched.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use alft_text::Foreign;

use crate::digest::Digest;
use crate::reference::Reference;

/// The reason why a plugin cannot be published or fetched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("{text:?} is no reference: {reason}; write oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:DIGEST")]
    Reference { text: Foreign, reason: &'static str },

    #[error(
        "{reference} has a tag and no digest, and alft.lock does not say which content it names; resolve it with `alft \
         plugin lock`, or write the digest into the run file"
    )]
    Unlocked { reference: Reference },

    #[error(
        "{reference} is not the plugin that alft.lock pins, {pinned}; if the change is intended, approve it with `alft \
         plugin lock`"
    )]
    OtherPinned { reference: Reference, pinned: Reference },

    #[error("the registry of {reference} cannot be reached; check the host and the network")]
    Unreachable { reference: Reference, source: Box<ureq::Error> },

    #[error("the registry stopped in the middle of an answer about {reference}; try again")]
    Broken { reference: Reference, source: io::Error },

    #[error("{reference} does not exist, or needs a login to be seen; check the name, or log in with `docker login {host}`",
        host = reference.host())]
    NotFound { reference: Reference },

    #[error("the registry does not let you {doing} {reference} ({status}{body}); log in with `docker login {host}`",
        host = reference.host())]
    Unauthorized { reference: Reference, doing: &'static str, status: u16, body: Said },

    #[error("the registry refuses to {doing} {reference} ({status}{body})")]
    Refused { reference: Reference, doing: &'static str, status: u16, body: Said },

    #[error("the registry of {reference} sends logins to {realm:?}, where the password for {host} is not sent: {reason}",
        host = reference.host())]
    Realm { reference: Reference, realm: Foreign, reason: &'static str },

    #[error("the registry of {reference} redirects to {target:?}, which is not followed: {reason}")]
    Redirect { reference: Reference, target: Foreign, reason: &'static str },

    #[error("the {content} of {reference} has {size} bytes, and the limit is {limit}{remedy}")]
    TooLarge { reference: Reference, content: &'static str, size: u64, limit: u64, remedy: &'static str },

    #[error(
        "the {content} of {reference} is not what its digest names: expected {expected}, and the registry sent {found}; it \
         was changed on the way or in the registry, and nothing of it is used"
    )]
    Digest { reference: Reference, content: &'static str, expected: Digest, found: Digest },

    #[error("the {content} of {reference} has {found} bytes in place of the {expected} that its manifest names")]
    Size { reference: Reference, content: &'static str, expected: u64, found: u64 },

    #[error("the {content} of {reference} cannot be read")]
    Malformed { reference: Reference, content: &'static str, source: serde_json::Error },

    #[error("{reference} is no plugin: {reason}")]
    NotAPlugin { reference: Reference, reason: String },

    #[error(
        "{reference} imports {import:?}, and a plugin imports nothing but `alft:objective/diagnostics` and \
         `alft:objective/types`; build it for wasm32-unknown-unknown, or with `alft plugin build`"
    )]
    Import { reference: Reference, import: Foreign },

    #[error(
        "{reference} says that its {property} is {claimed:?}, and the component has {found:?}; do not use it, and tell its \
         publisher"
    )]
    Untrue { reference: Reference, property: &'static str, claimed: Foreign, found: Foreign },

    #[error(
        "{reference} exists already, with the digest {found}; publish under another tag, or move the tag with --overwrite"
    )]
    TagExists { reference: Reference, found: Digest },

    #[error("a reference to publish to has a tag and no digest; write oci://{}/{}:1.0.0", reference.host(), reference.name())]
    PublishDigest { reference: Reference },

    #[error(
        "{} is a native library, and libraries are not published: whoever fetched one would run it with all rights; publish \
         the component",
        Foreign::path(path)
    )]
    NativeLibrary { path: PathBuf },

    #[error("{} is no component", Foreign::path(path))]
    NotAComponent { path: PathBuf, source: Foreigner },

    #[error(
        "{reference} must be signed (`signed_by`), and signatures are checked by `cosign`, which is not installed or not in \
         PATH; install it, or take `signed_by` out of the run file"
    )]
    NoCosign { reference: Reference, source: io::Error },

    #[error("{reference} has no valid signature by {signer}: cosign ended with {status}{said}")]
    Signature { reference: Reference, signer: Foreign, status: ExitStatus, said: Said },

    #[error("cannot read the key {}", Foreign::path(path))]
    Key { path: PathBuf, source: io::Error },

    #[error("cannot use docker's configuration {}", Foreign::path(path))]
    Credentials { path: PathBuf, source: Foreigner },

    #[error("the credential helper docker-credential-{helper} gives no login for {host}")]
    Helper { helper: Foreign, host: String, source: Foreigner },

    #[error("cannot use the cache of registries")]
    Cache { source: io::Error },

    #[error("cannot write the cache of registries")]
    Write(#[from] alft_fs::Error),
}

/// A cause in the words of another library or program.
pub(crate) type Foreigner = Box<dyn std::error::Error + Send + Sync>;

/// Words of a registry or program that follow a status, cut and on one line; nothing if there are none.
#[derive(Debug, Default)]
pub struct Said(Foreign);

impl Said {
    /// Marks a text as words of a stranger.
    pub(crate) fn new(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        Self(Foreign::new(text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    /// The messages in the JSON of a registry's errors, or else the whole text.
    pub(crate) fn of_registry(body: &[u8]) -> Self {
        let errors = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let messages = errors["errors"].as_array().into_iter().flatten().filter_map(|error| error["message"].as_str());
        match messages.collect::<Vec<_>>().join("; ") {
            none if none.is_empty() => Self::new(body),
            messages => Self::new(messages.as_bytes()),
        }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.raw().is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.0),
        }
    }
}
