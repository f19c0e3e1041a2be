//! The documents of a registry: manifests, the config of a WebAssembly component, and the index of referrers.
//!
//! Documents of others have further keys, which are left alone. Documents of ours have their keys in a fixed order and no
//! date, so the same component published twice is the same artifact.

use std::collections::BTreeMap;

use alft_text::Foreign;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Media types.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const WASM: &str = "application/wasm";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The type of an artifact that holds the results of the conformance tests.
pub(crate) const REPORT: &str = "application/vnd.alft.conformance.v1+json";

/// Bytes of a manifest or an index, of a config, and of a report. The artifacts of plugins stay far below.
pub(crate) const MAX_MANIFEST: u64 = 1 << 20;
pub(crate) const MAX_CONFIG: u64 = 1 << 20;
/// Bytes of a report of the conformance tests.
pub const MAX_REPORT: u64 = 1 << 20;

/// A manifest: an artifact's config and layers by their digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A reference to content by its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Names the file that the content becomes: `oras pull` writes nothing that has no name.
    pub(crate) fn with_file_name(mut self, name: &str) -> Self {
        self.annotations.insert(TITLE.to_owned(), name.to_owned());
        self
    }
}

/// A list of manifests: here, those that refer to another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

/// The config of a WebAssembly component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WasmConfig {
    /// The date of the config, which readers of the format require.
    pub(crate) created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    pub(crate) architecture: String,
    pub(crate) os: String,
    pub(crate) layer_digests: Vec<Digest>,
    pub(crate) component: Option<World>,
}

/// The interfaces of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) exports: Vec<Foreign>,
    pub(crate) imports: Vec<Foreign>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

impl WasmConfig {
    pub(crate) const ARCHITECTURE: &str = "wasm";
    /// The word of the format for a component, whether it uses WASI or not.
    pub(crate) const OS: &str = "wasip2";

    pub(crate) fn new(layer: Digest, imports: Vec<Foreign>, exports: Vec<Foreign>) -> Self {
        Self {
            created: "1970-01-01T00:00:00Z".into(),
            author: None,
            architecture: Self::ARCHITECTURE.into(),
            os: Self::OS.into(),
            layer_digests: vec![layer],
            component: Some(World { exports, imports, target: None }),
        }
    }
}

/// The facts of a plugin that stand in the annotations of its manifest. All are claims of the publisher; those about the
/// component are compared with it before it is used. A component that another tool published has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Facts {
    /// The plugin's own name.
    pub name: Option<Foreign>,
    /// The plugin's own version.
    pub version: Option<Foreign>,
    /// A line about the plugin.
    pub summary: Option<Foreign>,
    /// The contract, such as `alft:objective@1.0.0`.
    pub contract: Option<Foreign>,
    /// Names of the roles.
    pub roles: Option<Foreign>,
    /// The plugin's claims under its default configuration, as JSON.
    pub claims: Option<Foreign>,
    /// BLAKE3 of the component, in hexadecimal.
    pub blake3: Option<Foreign>,
}

/// Keys of the annotations. The title of a manifest is the plugin's name, that of a layer is the name of a file.
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const SUMMARY: &str = "org.opencontainers.image.description";
const CONTRACT: &str = "alft.contract";
const ROLES: &str = "alft.roles";
const CLAIMS: &str = "alft.claims";
const BLAKE3: &str = "alft.blake3";

impl Facts {
    /// Returns the name of the component's file. A plugin whose name would name another folder, or a hidden file, has none of
    /// its own.
    pub(crate) fn file_name(&self) -> String {
        let plain = |name: &&str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain)
        };
        format!("{}.wasm", self.name.as_ref().map(Foreign::raw).filter(plain).unwrap_or("plugin"))
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let Self { name, version, summary, contract, roles, claims, blake3 } = self;
        let facts = [
            (TITLE, name),
            (VERSION, version),
            (SUMMARY, summary),
            (CONTRACT, contract),
            (ROLES, roles),
            (CLAIMS, claims),
            (BLAKE3, blake3),
        ];
        let known = facts.into_iter().filter_map(|(key, fact)| Some((key.to_owned(), fact.as_ref()?.raw().to_owned())));
        known.collect()
    }

    pub(crate) fn of(annotations: &BTreeMap<String, String>) -> Self {
        let fact = |key: &str| annotations.get(key).cloned().map(Foreign::new);
        Self {
            name: fact(TITLE),
            version: fact(VERSION),
            summary: fact(SUMMARY),
            contract: fact(CONTRACT),
            roles: fact(ROLES),
            claims: fact(CLAIMS),
            blake3: fact(BLAKE3),
        }
    }
}

/// Returns the JSON of a document.
pub(crate) fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_has_the_keys_of_the_format() {
        let config = WasmConfig::new(Digest::of(b"x"), vec!["a:b/c@1.0.0".to_owned().into()], Vec::new());
        let value: serde_json::Value = serde_json::from_slice(&json(&config)).unwrap();
        assert_eq!(value["layerDigests"][0], Digest::of(b"x").to_string());
        assert_eq!(value["component"]["imports"][0], "a:b/c@1.0.0");
        assert_eq!((&value["architecture"], &value["os"]), (&"wasm".into(), &"wasip2".into()));
        assert_eq!(serde_json::from_value::<WasmConfig>(value).unwrap(), config);
    }

    #[test]
    fn facts_survive_their_annotations() {
        let facts =
            Facts { name: Some("math".to_owned().into()), roles: Some("reader".to_owned().into()), ..Facts::default() };
        assert_eq!(Facts::of(&facts.annotations()), facts);
        assert_eq!(facts.annotations().len(), 2);
    }

    #[test]
    fn manifests_of_other_tools_have_keys_that_are_left_alone() {
        let digest = Digest::of(b"");
        let descriptor = format!(r#"{{"mediaType": "a/b", "digest": "{digest}", "size": 1, "urls": ["https://x"]}}"#);
        let text = format!(r#"{{"schemaVersion": 2, "config": {descriptor}, "layers": [], "other": 1}}"#);
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap().config.digest, digest);
    }
}
