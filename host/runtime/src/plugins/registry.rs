//! Plugins in registries: the content that a reference of the run file stands for.

use alft_plugin_host::Limits;
use alft_plugin_host::lock::{Lock, Pinned};
use alft_registry::{Artifact, Error, Fetched, Reference};

use crate::config::PluginEntry;

/// Fetches the component of a reference, unless it is in the cache. A tag is resolved by the registry: the user approves the
/// content that it names now.
pub(super) fn fetch(entry: &PluginEntry, reference: &Reference, limits: &Limits) -> Result<Fetched, Error> {
    let artifact = Artifact::find(reference, limits.component_size)?;
    if let Some(signed_by) = &entry.signed_by {
        artifact.check_signature(signed_by)?;
    }
    artifact.fetch()
}

/// Returns the reference with the digest that a run uses: the run file's, or else the lock's for the run file's tag.
pub(super) fn pinned(reference: &Reference, lock: Option<&Lock>, name: &str, config: &str) -> Result<Reference, Error> {
    let pinned = lock.and_then(|lock| lock.get(name, config)).and_then(|pinned| pinned.oci.as_ref());
    let pinned = pinned.map(|pinned| pinned.parse::<Reference>()).transpose()?;
    match (reference.digest(), pinned) {
        (Some(digest), Some(pinned)) if pinned.digest() != Some(digest) => {
            Err(Error::OtherPinned { reference: reference.clone(), pinned })
        }
        (Some(_), _) => Ok(reference.clone()),
        (None, Some(pinned)) if pinned.same_tag(reference) && pinned.digest().is_some() => Ok(pinned),
        (None, Some(pinned)) => Err(Error::OtherPinned { reference: reference.clone(), pinned }),
        (None, None) => Err(Error::Unlocked { reference: reference.clone() }),
    }
}

/// Returns true if a resumed run may use the copy that its folder kept: the run file says what it said, and the lock does
/// not pin other content since.
pub(crate) fn may_use_kept(entry: &PluginEntry, recorded: &PluginEntry, hash: &str, lock: Option<&Lock>) -> bool {
    let config = serde_json::to_string(&entry.config).expect("JSON values print");
    let pinned: Option<&Pinned> = lock.and_then(|lock| lock.get(&entry.name, &config));
    entry.path == recorded.path
        && entry.signed_by == recorded.signed_by
        && pinned.is_none_or(|pinned| pinned.blake3 == hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_means_what_the_lock_says() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let lock = |oci: &str| {
            let text = format!(
                "version = 1\nwasmtime = {}\n[[plugin]]\nname = \"p\"\nblake3 = \"\"\noci = \"{oci}\"\ncontract = \"1.0.0\"\n\
                 form = \"component\"\nroles = []\nimports = []\n[plugin.claims]\nplugin = \"p 1\"\nconfig = \"{{}}\"\n\
                 concave = false\ngradient = false\nneeds_reference = false\n",
                alft_plugin_host::WASMTIME
            );
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("alft.lock"), text).unwrap();
            Lock::find(folder.path()).unwrap().unwrap()
        };
        let reference = |text: &str| text.parse::<Reference>().unwrap();
        let tag = reference("oci://h/p:1");
        let (one, two) = (format!("oci://h/p:1@{}", digest("1")), format!("oci://h/p@{}", digest("2")));
        assert_eq!(pinned(&tag, Some(&lock(&one)), "p", "{}").unwrap(), reference(&one));
        assert!(matches!(pinned(&tag, None, "p", "{}"), Err(Error::Unlocked { .. })));
        assert!(matches!(pinned(&tag, Some(&lock(&one)), "q", "{}"), Err(Error::Unlocked { .. })));
        let other_tag = reference("oci://h/p:2");
        assert!(matches!(pinned(&other_tag, Some(&lock(&one)), "p", "{}"), Err(Error::OtherPinned { .. })));
        assert_eq!(pinned(&reference(&two), None, "p", "{}").unwrap(), reference(&two));
        assert!(matches!(pinned(&reference(&two), Some(&lock(&one)), "p", "{}"), Err(Error::OtherPinned { .. })));
    }
}
