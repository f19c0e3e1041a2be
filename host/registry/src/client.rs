//! The distribution API: the requests that read and write the content of one repository.

use std::cell::RefCell;

use serde::Deserialize;
use ureq::http::{Method, StatusCode};

use crate::Result;
use crate::credentials::{self, Login};
use crate::digest::Digest;
use crate::error::Error;
use crate::http::{Answer, Http, Request};
use crate::manifest::{Descriptor, INDEX, Index, MANIFEST, MAX_MANIFEST, json};
use crate::reference::Reference;

/// Bytes of an answer with a token.
const MAX_TOKEN: u64 = 256 << 10;

/// The media type of content that is uploaded.
const BYTES: &str = "application/octet-stream";

/// A repository of a registry.
pub(crate) struct Client {
    reference: Reference,
    http: Http,
    access: Access,
    /// The header of the token or password that the registry asked for.
    authorization: RefCell<Option<String>>,
}

/// The right that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Access {
    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn scope(self) -> &'static str {
        match self {
            Self::Read => "pull",
            Self::Write => "pull,push",
        }
    }
}

/// The answer of a token server.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    pub(crate) fn new(reference: &Reference, access: Access) -> Self {
        let (http, authorization) = (Http::new(reference), RefCell::new(None));
        Self { reference: reference.clone(), http, access, authorization }
    }

    /// Reads a manifest or an index by its tag or digest. Returns the bytes with their digest; `None` if there is none.
    pub(crate) fn manifest(&self, tag_or_digest: &str) -> Result<Option<(Vec<u8>, Digest)>> {
        let path = self.path(&format!("manifests/{tag_or_digest}"));
        let accept = format!("{MANIFEST}, {INDEX}");
        let answer = self.get(&path, Some(&accept))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let bytes = self.expect(answer, &[StatusCode::OK], "read")?.read("manifest", MAX_MANIFEST)?;
        let found = Digest::of(&bytes);
        match Digest::parse(tag_or_digest) {
            Some(expected) if expected != found => Err(self.wrong_digest("manifest", expected, found)),
            _ => Ok(Some((bytes, found))),
        }
    }

    /// Reads content and checks it against its descriptor. `limit` is the most bytes that are read.
    pub(crate) fn blob(&self, content: &'static str, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let Descriptor { digest, size, .. } = descriptor;
        check_size(&self.reference, content, *size, limit)?;
        let answer = self.get(&self.path(&format!("blobs/{digest}")), None)?;
        // Not a byte more than the manifest names.
        let bytes = self.expect(answer, &[StatusCode::OK], "read")?.read(content, *size)?;
        if bytes.len() as u64 != *size {
            let (expected, found) = (*size, bytes.len() as u64);
            return Err(Error::Size { reference: self.reference.clone(), content, expected, found });
        }
        match Digest::of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(self.wrong_digest(content, digest.clone(), found)),
        }
    }

    /// Uploads content, unless the repository has it.
    pub(crate) fn push_blob(&self, bytes: &[u8]) -> Result<()> {
        let digest = Digest::of(bytes);
        let path = self.path(&format!("blobs/{digest}"));
        if self.request(&Method::HEAD, &path, None)?.status() == StatusCode::OK {
            return Ok(());
        }
        let answer = self.request(&Method::POST, &self.path("blobs/uploads/"), Some((BYTES, b"")))?;
        let answer = self.expect(answer, &[StatusCode::ACCEPTED, StatusCode::CREATED], "upload to")?;
        let target = answer.header("location").unwrap_or_default().to_owned();
        let elsewhere = || self.http.redirect(&target, "an upload goes to the registry's own host");
        let path = self.http.own_path(&target).ok_or_else(elsewhere)?;
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest={digest}");
        let answer = self.request(&Method::PUT, &path, Some((BYTES, bytes)))?;
        self.expect(answer, &[StatusCode::CREATED], "upload to").map(drop)
    }

    /// Writes a manifest or an index under a tag or its digest. Returns true if the registry keeps the list of what refers
    /// to its subject.
    pub(crate) fn push_manifest(&self, tag_or_digest: &str, media_type: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(&format!("manifests/{tag_or_digest}"));
        let answer = self.request(&Method::PUT, &path, Some((media_type, bytes)))?;
        let answer = self.expect(answer, &[StatusCode::CREATED], "write")?;
        Ok(answer.header("oci-subject").is_some())
    }

    /// Reads the list of manifests that refer to `subject`: from the registry, or else from the tag in which older
    /// registries keep it.
    pub(crate) fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let answer = self.get(&self.path(&format!("referrers/{subject}")), Some(INDEX))?;
        if answer.status() == StatusCode::OK {
            let bytes = answer.read("list of referrers", MAX_MANIFEST)?;
            // A registry without the list may answer with a page.
            if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
                return Ok(index.manifests);
            }
        }
        self.tagged_referrers(subject)
    }

    /// Adds a manifest to the list of those that refer to `subject`, in the tag that stands for it.
    pub(crate) fn add_tagged_referrer(&self, subject: &Digest, referrer: Descriptor) -> Result<()> {
        let mut manifests = self.tagged_referrers(subject)?;
        if manifests.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        manifests.push(referrer);
        let index = json(&Index { schema_version: 2, media_type: INDEX.into(), manifests });
        self.push_manifest(&referrers_tag(subject), INDEX, &index).map(drop)
    }

    fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let Some((bytes, _)) = self.manifest(&referrers_tag(subject))? else { return Ok(Vec::new()) };
        let wrong =
            |source| Error::Malformed { reference: self.reference.clone(), content: "list of referrers", source };
        serde_json::from_slice::<Index>(&bytes).map(|index| index.manifests).map_err(wrong)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.reference.name())
    }

    fn wrong_digest(&self, content: &'static str, expected: Digest, found: Digest) -> Error {
        Error::Digest { reference: self.reference.clone(), content, expected, found }
    }

    /// Returns the answer if it has one of these status codes.
    fn expect(&self, answer: Answer, expected: &[StatusCode], doing: &'static str) -> Result<Answer> {
        match expected.contains(&answer.status()) {
            true => Ok(answer),
            false => Err(answer.refusal(doing)),
        }
    }

    /// Downloads, with redirects.
    fn get(&self, path: &str, accept: Option<&str>) -> Result<Answer> {
        let answer = self.authorized(Request { method: &Method::GET, path, accept, body: None })?;
        self.http.follow(answer, accept, self.authorization.borrow().as_deref())
    }

    fn request(&self, method: &'static Method, path: &str, body: Option<(&str, &[u8])>) -> Result<Answer> {
        self.authorized(Request { method, path, accept: None, body })
    }

    /// Sends a request; where the registry asks for a login, once more with it.
    fn authorized(&self, request: Request<'_>) -> Result<Answer> {
        let known = self.authorization.borrow().clone();
        let answer = self.http.send(request, known.as_deref())?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(challenge) = answer.header("www-authenticate").and_then(Challenge::parse) else { return Ok(answer) };
        let Some(header) = self.log_in(&challenge)? else { return Ok(answer) };
        self.authorization.replace(Some(header.clone()));
        self.http.send(request, Some(&header))
    }

    /// Returns the header that a challenge asks for; `None` if there is no login for it.
    fn log_in(&self, challenge: &Challenge) -> Result<Option<String>> {
        let login = credentials::find(self.reference.host())?;
        let Challenge::Bearer { realm, service } = challenge else {
            return Ok(login.and_then(|login| match login {
                Login::Password(password) => Some(format!("Basic {password}")),
                Login::Identity(_) => None,
            }));
        };
        let scope = format!("repository:{}:{}", self.reference.name(), self.access.scope());
        let mut form = format!("scope={}&client_id=alft", encoded(&scope));
        if let Some(service) = service {
            form += &format!("&service={}", encoded(service));
        }
        let get = Request { method: &Method::GET, path: &form, accept: None, body: None };
        let answer = match login {
            None => self.http.send_to_realm(realm, get, None)?,
            Some(Login::Password(password)) => {
                self.http.send_to_realm(realm, get, Some(&format!("Basic {password}")))?
            }
            Some(Login::Identity(token)) => {
                let form = format!("grant_type=refresh_token&refresh_token={}&{form}", encoded(&token));
                let body = Some(("application/x-www-form-urlencoded", form.as_bytes()));
                let post = Request { method: &Method::POST, path: "", accept: None, body };
                self.http.send_to_realm(realm, post, None)?
            }
        };
        let answer = self.expect(answer, &[StatusCode::OK], self.access.verb())?;
        let bytes = answer.read("token", MAX_TOKEN)?;
        let wrong = |source| Error::Malformed { reference: self.reference.clone(), content: "token", source };
        let Token { token, access_token } = serde_json::from_slice(&bytes).map_err(wrong)?;
        Ok(token.or(access_token).map(|token| format!("Bearer {token}")))
    }
}

/// Refuses content by the size that its manifest names, before any of it is read.
pub(crate) fn check_size(reference: &Reference, content: &'static str, size: u64, limit: u64) -> Result<()> {
    let remedy = match content {
        "component" => "; raise `limits.component_size` if this is intended. Nothing of it was fetched",
        _ => "",
    };
    match size > limit {
        true => Err(Error::TooLarge { reference: reference.clone(), content, size, limit, remedy }),
        false => Ok(()),
    }
}

/// The tag in which registries without a list of referrers keep it.
fn referrers_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The login that a registry asks for.
#[derive(Debug, PartialEq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Parses the header `WWW-Authenticate`.
    fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        let value = |key: &str| {
            let begin = format!("{key}=\"");
            let place = rest
                .match_indices(&begin)
                .map(|(place, _)| place)
                .find(|place| *place == 0 || rest[..*place].ends_with([',', ' ']))?;
            let value = &rest[place + begin.len()..];
            Some(value[..value.find('"')?].to_owned())
        };
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        Some(Self::Bearer { realm: value("realm").filter(|_| is_bearer)?, service: value("service") })
    }
}

/// Encodes a value of a query.
fn encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_name_a_realm_or_ask_for_a_password() {
        let docker =
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#;
        let (realm, service) = ("https://auth.docker.io/token".to_owned(), Some("registry.docker.io".to_owned()));
        assert_eq!(Challenge::parse(docker), Some(Challenge::Bearer { realm, service }));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        for none in ["", "Bearer", "Bearer service=\"x\"", "Digest realm=\"x\"", "Bearer realm=\"x"] {
            assert_eq!(Challenge::parse(none), None, "{none}");
        }
    }

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(encoded("repository:a/b:pull,push&x"), "repository%3Aa%2Fb%3Apull%2Cpush%26x");
    }
}
