//! One request: its bounds, its redirects, and where it may go.
//!
//! A registry is a stranger, and so is every address that it names. Requests with a password or token go to the registry's
//! own host alone. A redirect to another host is followed for downloads only, over TLS, without credentials, and never to
//! an address inside this machine or network: a registry must not be able to make alft ask there.

use std::fmt;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use alft_text::Foreign;
use ureq::http::uri::{Authority, PathAndQuery, Scheme};
use ureq::http::{self, Method, Response, StatusCode, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::Result;
use crate::error::{Error, Said};
use crate::reference::{Reference, host_without_port};

/// Redirects of one download that are followed.
const MAX_REDIRECTS: usize = 4;

/// Bytes of an error's text that are read.
const MAX_SAID: u64 = 4 << 10;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that sends nothing for so long is gone.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// A request ends after this time, however slowly its bytes come.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Requests to one registry.
pub(crate) struct Http {
    reference: Reference,
    scheme: Scheme,
    authority: Authority,
    /// For the registry's own host.
    agent: Agent,
    /// For other hosts, at public addresses.
    elsewhere: Agent,
}

/// A request to the registry's own host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Media types that are understood, if the answer is a document.
    pub(crate) accept: Option<&'a str>,
    /// The body and its media type.
    pub(crate) body: Option<(&'a str, &'a [u8])>,
}

/// An answer whose body has not been read yet.
pub(crate) struct Answer {
    response: Response<Body>,
    reference: Reference,
}

impl Http {
    pub(crate) fn new(reference: &Reference) -> Self {
        let plain = reference.is_loopback();
        // The name of Docker Hub is not the host of its registry.
        let host = if reference.host() == "docker.io" { "registry-1.docker.io" } else { reference.host() };
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_per_read(Some(SILENCE_TIMEOUT))
                .timeout_per_write(Some(SILENCE_TIMEOUT))
                .timeout_global(Some(TOTAL_TIMEOUT))
                .user_agent(concat!("alft/", env!("CARGO_PKG_VERSION")))
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        };
        let own = match plain {
            true => config().proxy(None),
            false => config().https_only(true),
        };
        let elsewhere = config().https_only(true).build();
        Self {
            scheme: if plain { Scheme::HTTP } else { Scheme::HTTPS },
            authority: host.parse().expect("a reference's host was checked"),
            agent: own.build().new_agent(),
            elsewhere: Agent::with_parts(elsewhere, DefaultConnector::default(), PublicResolver::default()),
            reference: reference.clone(),
        }
    }

    /// Sends a request to the registry's own host. Redirects are answers like others.
    pub(crate) fn send(&self, request: Request<'_>, authorization: Option<&str>) -> Result<Answer> {
        let path: PathAndQuery = request.path.parse().map_err(|_| self.redirect(request.path, "it is no path"))?;
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        let uri = uri.build().expect("the parts of an address make one");
        self.run(&self.agent, &uri, request, authorization)
    }

    /// Downloads: follows the redirects of an answer within the rules above.
    pub(crate) fn follow(
        &self,
        mut answer: Answer,
        accept: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        for _ in 0..MAX_REDIRECTS {
            let Some(target) = answer.redirect_target() else { return Ok(answer) };
            let request = Request { method: &Method::GET, path: "", accept, body: None };
            answer = match self.own_path(&target) {
                Some(path) => self.send(Request { path: &path, ..request }, authorization)?,
                None => {
                    let uri = self.check_elsewhere(&target).map_err(|reason| self.redirect(&target, reason))?;
                    self.run(&self.elsewhere, &uri, request, None)?
                }
            };
        }
        match answer.redirect_target() {
            None => Ok(answer),
            Some(target) => Err(self.redirect(&target, "it is one redirect too many")),
        }
    }

    /// Sends a request for a token to the address that the registry names, with the user's password if there is one.
    pub(crate) fn send_to_realm(
        &self,
        realm: &str,
        request: Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let wrong =
            |reason| Error::Realm { reference: self.reference.clone(), realm: Foreign::new(realm.to_owned()), reason };
        let uri: Uri = realm.parse().map_err(|_| wrong("it is no address"))?;
        let host = uri.host().unwrap_or_default();
        let own = host_without_port(self.authority.as_str());
        let same_host = host == own && uri.scheme() == Some(&self.scheme);
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("it holds a login of its own"));
        }
        // A registry that has the password could pass it on itself. The rule keeps a registry that was only taken over in
        // what it answers from having passwords sent to its own host.
        if !same_host && (uri.scheme() != Some(&Scheme::HTTPS) || !are_related(host, own)) {
            return Err(wrong("it is neither the registry's host nor one of the same domain over TLS"));
        }
        let query = request.path;
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}{joint}{query}") };
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(path.parse().map_err(|_| wrong("it is no address"))?);
        let uri = Uri::from_parts(parts).map_err(|_| wrong("it is no address"))?;
        self.run(if same_host { &self.agent } else { &self.elsewhere }, &uri, request, authorization)
    }

    /// Returns the path of an address on the registry's own host; `None` for another host.
    pub(crate) fn own_path(&self, target: &str) -> Option<String> {
        // Two slashes begin the name of another host.
        if target.starts_with('/') && !target.starts_with("//") {
            return Some(target.to_owned());
        }
        let uri: Uri = target.parse().ok()?;
        let own = uri.scheme() == Some(&self.scheme) && uri.authority() == Some(&self.authority);
        own.then(|| uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned())
    }

    /// An error about an address that the registry named.
    pub(crate) fn redirect(&self, target: &str, reason: &'static str) -> Error {
        Error::Redirect { reference: self.reference.clone(), target: Foreign::new(target.to_owned()), reason }
    }

    fn check_elsewhere(&self, target: &str) -> Result<Uri, &'static str> {
        let uri: Uri = target.parse().map_err(|_| "it is no address")?;
        let authority = uri.authority().ok_or("it is no address")?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err("another host must be reached over TLS (https)");
        }
        if authority.as_str().contains('@') {
            return Err("it holds a login");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|address| !is_public(address))
        {
            return Err("it is an address inside this machine or network");
        }
        Ok(uri)
    }

    fn run(&self, agent: &Agent, uri: &Uri, request: Request<'_>, authorization: Option<&str>) -> Result<Answer> {
        let mut builder = http::Request::builder().method(request.method.clone()).uri(uri.clone());
        if let Some(accept) = request.accept {
            builder = builder.header(header::ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        let invalid = |error: http::Error| Box::new(ureq::Error::from(error));
        let unreachable = |source| Error::Unreachable { reference: self.reference.clone(), source };
        let response = match request.body {
            Some((media_type, body)) => {
                let builder = builder.header(header::CONTENT_TYPE, media_type);
                agent.run(builder.body(body).map_err(|error| unreachable(invalid(error)))?)
            }
            None => agent.run(builder.body(()).map_err(|error| unreachable(invalid(error)))?),
        };
        let response = response.map_err(|error| unreachable(Box::new(error)))?;
        Ok(Answer { response, reference: self.reference.clone() })
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    fn redirect_target(&self) -> Option<String> {
        let target = self.status().is_redirection().then(|| self.header("location")).flatten()?;
        Some(target.to_owned())
    }

    /// Reads the body, of at most `limit` bytes.
    pub(crate) fn read(mut self, content: &'static str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let body = self.response.body_mut().as_reader();
        let read = body.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| Error::Broken { reference: self.reference.clone(), source })?;
        let size = bytes.len() as u64;
        match size > limit {
            true => Err(Error::TooLarge { reference: self.reference, content, size, limit, remedy: "" }),
            false => Ok(bytes),
        }
    }

    /// The error of an answer that is none of those that were asked for. `doing` is a verb, such as "read".
    pub(crate) fn refusal(mut self, doing: &'static str) -> Error {
        let mut said = Vec::new();
        let _ = self.response.body_mut().as_reader().take(MAX_SAID).read_to_end(&mut said);
        let (status, body, reference) = (self.status().as_u16(), Said::of_registry(&said), self.reference);
        match status {
            401 | 403 => Error::Unauthorized { reference, doing, status, body },
            404 => Error::NotFound { reference },
            _ => Error::Refused { reference, doing, status, body },
        }
    }
}

/// Returns true if two hosts are names of one domain: the last two of their labels are the same.
fn are_related(a: &str, b: &str) -> bool {
    let domain = |host: &str| {
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        (labels.len() == 2 && host.parse::<IpAddr>().is_err()).then(|| labels.join(".").to_ascii_lowercase())
    };
    domain(a).is_some() && domain(a) == domain(b)
}

/// Returns true for an address of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                // Addresses that providers share between customers.
                || (a == 100 && (64..128).contains(&b)))
        }
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.segments()) {
            (Some(v4), _) => is_public(IpAddr::V4(v4)),
            // IPv4 addresses behind a translator.
            (None, [0x64, 0xff9b, _, _, _, _, high, low]) => {
                is_public(IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into()))
            }
            // Global unicast addresses are 2000::/3.
            (None, [first, ..]) => first & 0xe000 == 0x2000 && v6 != Ipv6Addr::LOCALHOST,
        },
    }
}

/// Resolves names to public addresses alone: the name of another host may stand for an address inside this network.
#[derive(Default)]
struct PublicResolver(DefaultResolver);

impl fmt::Debug for PublicResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicResolver")
    }
}

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut public = self.empty();
        let all = self.0.resolve(uri, config, timeout)?;
        all.iter().filter(|address: &&SocketAddr| is_public(address.ip())).for_each(|address| public.push(*address));
        match public.is_empty() {
            true => Err(ureq::Error::HostNotFound),
            false => Ok(public),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(reference: &str) -> Http {
        Http::new(&reference.parse().unwrap())
    }

    #[test]
    fn addresses_inside_a_network_are_not_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "140.82.112.33", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn redirects_to_other_hosts_need_tls_and_a_public_address() {
        let http = http("oci://127.0.0.1:5000/a:1");
        for refused in [
            "http://cdn.example.com/x",
            "https://localhost/x",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://169.254.169.254/x",
            "https://user:pw@cdn.example.com/x",
            "ftp://cdn.example.com/x",
            "//cdn.example.com/x",
            "x",
        ] {
            assert!(http.check_elsewhere(refused).is_err(), "{refused}");
            assert_eq!(http.own_path(refused), None, "{refused}");
        }
        assert!(http.check_elsewhere("https://cdn.example.com/x?signature=1").is_ok());
        assert_eq!(http.own_path("http://127.0.0.1:5000/v2/x?y=1").as_deref(), Some("/v2/x?y=1"));
        assert_eq!(http.own_path("/v2/x").as_deref(), Some("/v2/x"));
        assert_eq!(http.own_path("http://127.0.0.1:5001/v2/x"), None);
        assert_eq!(http.own_path("https://127.0.0.1:5000/v2/x"), None);
    }

    #[test]
    fn passwords_stay_within_the_domain_of_the_registry() {
        assert!(
            are_related("auth.docker.io", "registry-1.docker.io") && are_related("gitlab.com", "registry.gitlab.com")
        );
        assert!(!are_related("docker.io.example.com", "docker.io") && !are_related("10.0.0.1", "11.0.0.1"));
        assert!(!are_related("localhost", "localhost"), "one label is no domain");
        let request = Request { method: &Method::GET, path: "", accept: None, body: None };
        for realm in ["https://evil.example.com/token", "http://ghcr.io/token", "https://a:b@ghcr.io/token", "token"] {
            let refused = http("oci://ghcr.io/a:1").send_to_realm(realm, request, Some("Basic c2VjcmV0"));
            assert!(matches!(refused, Err(Error::Realm { .. })), "{realm}");
        }
    }
}
