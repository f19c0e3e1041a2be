//! References: the names of plugins in registries.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;

/// The beginning of every reference. A path of the run file that begins so is a reference and no file.
pub const SCHEME: &str = "oci://";

/// Bytes of a name, and of a tag: those of the distribution specification.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// The name of a plugin in a registry: `oci://HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]`, with a tag, a digest or both.
///
/// A digest names content and never changes its meaning. A tag is a name that the registry may move; beside a digest it is
/// for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference(
    // Every error names a reference, and errors are moved about.
    Box<Parts>,
);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Parts {
    /// Host and port, as they are written.
    host: String,
    /// The repository: one or more components with `/` between.
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns true for a path of a run file that is a reference.
    pub fn is_reference(path: &Path) -> bool {
        path.to_str().is_some_and(|path| path.starts_with(SCHEME))
    }

    /// Parses a path of a run file. `None` if it is no reference.
    pub fn of_path(path: &Path) -> Option<Result<Self, Error>> {
        Self::is_reference(path).then(|| path.to_string_lossy().parse())
    }

    /// Host and port of the registry.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The repository in the registry.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.0.digest.as_ref()
    }

    /// Returns the same reference with a digest, which is what is fetched.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self(Box::new(Parts { digest: Some(digest), ..(*self.0).clone() }))
    }

    /// Returns true if both name the same repository and the same tag, whatever the digest.
    pub fn same_tag(&self, other: &Self) -> bool {
        (self.host(), self.name(), self.tag()) == (other.host(), other.name(), other.tag())
    }

    /// Returns true if the registry is on this machine: `localhost` or a loopback address. Such a registry is spoken to
    /// without TLS, as `oras`, `crane` and `docker` do.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = host_without_port(self.host());
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// Returns the host of `HOST[:PORT]`; an IPv6 address keeps its brackets.
pub(crate) fn host_without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { host, name, tag, digest } = &*self.0;
        write!(f, "{SCHEME}{host}/{name}")?;
        tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Reference { text: text.to_owned().into(), reason };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with `oci://`"))?;
        let (host, rest) = rest.split_once('/').ok_or_else(|| wrong("it has no name after the registry's host"))?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                let digest = Digest::parse(digest);
                (rest, Some(digest.ok_or_else(|| wrong("its digest is not `sha256:` and 64 hexadecimal digits"))?))
            }
            None => (rest, None),
        };
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag.to_owned())),
            None => (rest, None),
        };
        if !is_host(host) {
            return Err(wrong("its host is not a name or an address, with a port if there is one"));
        }
        if !is_name(name) {
            return Err(wrong(
                "its name is not lower-case letters and digits, with single `.`, `_`, `-` and `/` between",
            ));
        }
        if !tag.as_deref().is_none_or(is_tag) {
            return Err(wrong("its tag is not up to 128 letters, digits, `.`, `_` and `-`"));
        }
        if tag.is_none() && digest.is_none() {
            return Err(wrong("it has neither a tag nor a digest"));
        }
        Ok(Self(Box::new(Parts { host: host.to_owned(), name: name.to_owned(), tag, digest })))
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// Names of hosts, IPv4 addresses, and IPv6 addresses in brackets; with a port or without.
fn is_host(text: &str) -> bool {
    let host = host_without_port(text);
    let port = text[host.len()..].strip_prefix(':');
    let is_name = !host.is_empty()
        && !host.starts_with(['.', '-'])
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    (is_name || is_address) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_component = |component: &str| {
        let ends = component.bytes().next().zip(component.bytes().last());
        ends.is_some_and(|(first, last)| alphanumeric(first) && alphanumeric(last))
            && component.bytes().all(|byte| alphanumeric(byte) || b"._-".contains(&byte))
            && !component.contains("..")
    };
    text.len() <= MAX_NAME && text.split('/').all(is_component)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_print_as_they_were_written() {
        let digest = Digest::of(b"");
        for text in [
            "oci://ghcr.io/someone/math:1.2.0".to_owned(),
            format!("oci://localhost:5000/math@{digest}"),
            format!("oci://[::1]:5000/a/b-c/d__e.f:v1@{digest}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn mistakes_in_references_are_refused() {
        let long = format!("oci://h/{}:1", "a".repeat(256));
        for text in [
            "ghcr.io/math:1",
            "oci://ghcr.io",
            "oci:///math:1",
            "oci://h/math",
            "oci://h/Math:1",
            "oci://h/../math:1",
            "oci://h/a//b:1",
            "oci://h/math:",
            "oci://h/math:-x",
            "oci://h/math@sha256:1",
            "oci://h:port/math:1",
            "oci://user@h/math:1",
            "oci://-h/math:1",
            "oci://h/math:1?x=1",
            "oci://h/math:1 2",
            &long,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_registries_on_this_machine_are_spoken_to_without_tls() {
        let loopback = |text: &str| text.parse::<Reference>().unwrap().is_loopback();
        assert!(
            ["oci://localhost:5000/a:1", "oci://127.0.0.1/a:1", "oci://[::1]:5/a:1"].iter().all(|text| loopback(text))
        );
        let elsewhere = ["oci://localhost.example.com/a:1", "oci://10.0.0.1:5000/a:1", "oci://127.0.0.1.nip.io/a:1"];
        assert!(!elsewhere.iter().any(|text| loopback(text)));
    }

    #[test]
    fn a_path_is_a_reference_by_its_beginning() {
        assert!(Reference::of_path("plugins/math.wasm".as_ref()).is_none());
        assert!(Reference::of_path("oci://h/math".as_ref()).unwrap().is_err());
        assert!(Reference::of_path("oci://h/math:1".as_ref()).unwrap().is_ok());
    }
}
