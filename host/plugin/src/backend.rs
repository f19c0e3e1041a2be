//! The backends that run a plugin's code.

use alft_sdk::Manifest;
use alft_sdk::roles::{Batch, Roles};

use crate::batch::call::CallResult;
use crate::batch::deadline::Deadline;
use crate::failure::Failure;
use crate::source::Form;

/// Version of the contract between host and plugins.
pub const CONTRACT_VERSION: &str = "1.0.0";

/// Loaded code that can be called. The outputs are not validated. Implemented by
/// [`ComponentBackend`](crate::wasm::component::ComponentBackend),
/// [`NativeBackend`](crate::native::library::NativeBackend) and
/// [`ProcessBackend`](crate::native::process::ProcessBackend).
pub(crate) trait Backend: Send + Sync {
    /// Returns the form in which the code runs.
    fn form(&self) -> Form;

    /// Returns the roles that the code offers.
    fn roles(&self) -> Roles;

    /// Returns the names of the interfaces that the code imports. Empty for native libraries, which need no import to
    /// reach the system.
    fn imports(&self) -> &[String] {
        &[]
    }

    /// Has the plugin check its configuration, and returns the plugin's promises under this configuration.
    fn describe(&self, config: &str) -> Result<Manifest, Failure>;

    /// Makes one call, which ends at the deadline. The role of the batch must be one of [`Backend::roles`].
    fn call(&self, config: &str, batch: &Batch<'_>, deadline: Deadline) -> CallResult;
}
