//! [`Scorer`]: a plugin as the rewards see it, loaded into a sandbox or linked into the program.

use alft_plugin_host::{BatchResult, Failure, FailureKind};
use alft_sdk::call::Item;
use alft_sdk::roles::{Batch, Role, Roles};
use alft_sdk::{Linked, Manifest};

/// A plugin that can be called with a batch of one of its roles.
pub trait Scorer: std::fmt::Debug + Send + Sync {
    /// The plugin's name, version and promises.
    fn manifest(&self) -> &Manifest;

    /// The roles that the plugin has.
    fn roles(&self) -> Roles;

    /// Asks the plugin about a batch: a result for each item.
    fn call(&self, batch: &Batch<'_>) -> BatchResult;

    /// The loaded plugin behind the scorer; `None` for one that is linked in.
    fn loaded(&self) -> Option<&alft_plugin_host::Plugin> {
        None
    }
}

impl Scorer for alft_plugin_host::Plugin {
    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn roles(&self) -> Roles {
        Role::ALL.into_iter().filter(|role| self.has(*role)).collect()
    }

    fn call(&self, batch: &Batch<'_>) -> BatchResult {
        self.call(batch)
    }

    fn loaded(&self) -> Option<&alft_plugin_host::Plugin> {
        Some(self)
    }
}

/// A plugin that is linked into the program, called without sandbox, fuel or ledger:
/// `linked!(Mine: Reader + Verifier)("{}")?`.
impl Scorer for Linked {
    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn roles(&self) -> Roles {
        self.roles()
    }

    fn call(&self, batch: &Batch<'_>) -> BatchResult {
        let failed = |error: alft_sdk::Error| Failure::new(FailureKind::Error, error.to_string());
        let items = batch.singles().iter().map(|single| item(self, single).map_err(failed)).collect();
        BatchResult { items, ..BatchResult::default() }
    }
}

/// Calls a linked plugin with a batch of one item. Refuses numbers that are not finite, as the host does for a loaded
/// plugin.
fn item(plugin: &Linked, single: &Batch<'_>) -> alft_sdk::Result<Item> {
    let item = plugin.call(single)?.into_items().pop().ok_or("it returned nothing")?;
    let number = match &item {
        Item::Key(_) => None,
        Item::Score(score) => Some(score),
        Item::Valuation(valuation) => {
            let numbers = valuation.rewards.iter().flatten().chain([&valuation.utility]).chain(&valuation.violation);
            numbers.into_iter().find(|number| !number.is_finite())
        }
    };
    match number {
        Some(number) if !number.is_finite() => {
            Err(format!("it returned {number}, where a finite number is needed").into())
        }
        _ => Ok(item),
    }
}
