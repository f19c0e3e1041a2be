//! Plugins in OCI registries: the registries that hold container images hold WebAssembly components as well.
//!
//! A plugin is the [Wasm OCI artifact](https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/): a manifest, a
//! config that names the component's imports and exports, and one layer, the component. `wkg`, `oras`, `crane`, `skopeo` and
//! `cosign` work on it unchanged. Facts that only alft has use are annotations of the manifest, and the results of the
//! conformance tests are an artifact that refers to it.
//!
//! Nothing that a registry says is believed. Content is named by its SHA-256 digest and checked against that digest, sizes
//! are refused before anything is read, and texts are [`Foreign`](alft_text::Foreign).
//!
//! | module | holds |
//! | --- | --- |
//! | [`reference`](mod@reference) | [`Reference`]: `oci://HOST/NAME:TAG@sha256:…` |
//! | [`artifact`] | [`Artifact`]: the facts of a published plugin, read without its code, and then its code |
//! | [`publish`](mod@publish) | [`publish()`]: a component, its facts and its report into a registry |
//! | [`cache`] | content by its digest in alft's cache, so that a run needs no network |
//! | [`signature`] | [`SignedBy`]: signatures, checked by `cosign` |
//! | `manifest` | the documents of a registry: manifest, config, index |
//! | `client` | the distribution API: the requests that read and write content |
//! | `http` | one request: its bounds, its redirects, and where it may go |
//! | `credentials` | name and password from docker's configuration |
//! | `digest` | [`Digest`] |
//! | `error` | [`Error`] |

pub mod artifact;
pub mod cache;
mod client;
mod credentials;
mod digest;
mod error;
mod http;
mod manifest;
pub mod publish;
pub mod reference;
pub mod signature;

pub use artifact::{Artifact, Fetched};
pub use digest::Digest;
pub use error::Error;
pub use manifest::{Facts, MAX_REPORT};
pub use publish::{Publication, Published, publish};
pub use reference::Reference;
pub use signature::SignedBy;

/// The result of an operation on a registry.
pub type Result<T, E = Error> = std::result::Result<T, E>;
