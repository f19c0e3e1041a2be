//! [`Linked`]: a plugin that is linked into this program, called without a sandbox, fuel or ledger.

use std::fmt;

use crate::call::{Entry, Output, Reply};
use crate::dispatch;
use crate::plugin::{Manifest, Plugin, Result};
use crate::roles::{Batch, Function, Role, Roles};

/// A configured plugin with the functions of its roles. [`linked!`](crate::linked!) makes the function that configures one.
pub struct Linked {
    manifest: Manifest,
    roles: Roles,
    call: Box<Call>,
}

type Call = dyn Fn(&Batch<'_>) -> Result<Output> + Send + Sync;

impl Linked {
    /// Configures a plugin by a JSON object.
    ///
    /// # Errors
    /// The plugin refuses the configuration.
    pub fn new<P: Plugin + Send + Sync + 'static>(config: &str, methods: Vec<Method<P>>) -> Result<Self> {
        let plugin: P = dispatch::configure(config)?;
        let manifest = plugin.manifest();
        Ok(Self { manifest, roles: roles(&methods), call: Box::new(move |batch| call(&plugin, &methods, batch)) })
    }

    /// Returns the plugin's name and promises.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the roles.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// Calls the function of the batch's role.
    ///
    /// # Errors
    /// The plugin does not have the role, or fails on an item.
    pub fn call(&self, batch: &Batch<'_>) -> Result<Output> {
        (self.call)(batch)
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// A role of a plugin with its function. [`methods!`](crate::methods!) makes them.
#[derive(Debug)]
pub struct Method<P> {
    role: Role,
    call: fn(&P, &Batch<'_>) -> Result<Output>,
}

impl<P> Method<P> {
    /// Returns the method of a role.
    pub const fn of<F: Function<P>>() -> Self {
        Self { role: F::ROLE, call: batch::<P, F> }
    }
}

/// Returns the roles of the methods.
pub fn roles<P>(methods: &[Method<P>]) -> Roles {
    methods.iter().map(|method| method.role).collect()
}

/// Calls the method of the batch's role.
///
/// # Errors
/// No method has the role, or the plugin fails on an item.
pub fn call<P>(plugin: &P, methods: &[Method<P>], batch: &Batch<'_>) -> Result<Output> {
    let role = batch.role();
    let method = methods.iter().find(|method| method.role == role);
    (method.ok_or_else(|| format!("the linked plugin is not a {role}"))?.call)(plugin, batch)
}

fn batch<P, F: Function<P>>(plugin: &P, batch: &Batch<'_>) -> Result<Output> {
    let entries = F::Entry::slice(batch.entries()).ok_or("the entries are those of another role")?;
    Ok(F::Reply::output(entries.iter().map(|entry| F::call(plugin, entry)).collect::<Result<_>>()?))
}

/// Makes a function from a configuration, a JSON object, to the [`Linked`] plugin: `linked!(Arithmetic: Reader + Verifier)`.
/// Name the roles as for [`export!`](crate::export!).
#[macro_export]
macro_rules! linked {
    ($plugin:ty : $first:ident $(+ $role:ident)*) => {
        |config: &str| $crate::Linked::new(config, $crate::methods!($plugin: $first $(+ $role)*))
    };
}

/// Returns the methods of a plugin's roles: `methods!(Arithmetic: Reader + Verifier)`.
#[macro_export]
macro_rules! methods {
    ($plugin:ty : $first:ident $(+ $role:ident)*) => {
        ::std::vec![$crate::__role!(function $plugin, $first) $(, $crate::__role!(function $plugin, $role))*]
            as ::std::vec::Vec<$crate::linked::Method<$plugin>>
    };
}
