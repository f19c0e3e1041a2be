//! [`conformance!`](crate::conformance!): the kit in a plugin's own `cargo test`.

/// Makes a `#[test]` of each test of the kit that a linked plugin can take: `conformance!(Arithmetic: Reader + Verifier);`.
///
/// The tests run under the configurations of `kit.json` beside the crate's `Cargo.toml`. Name the roles as for
/// [`export!`](alft_sdk::export!). Only `alft plugin check` measures fuel and compares a component with a library.
#[macro_export]
macro_rules! conformance {
    ($plugin:ident : $first:ident $(+ $role:ident)*) => {
        #[cfg(test)]
        mod conformance {
            fn subject() -> $crate::Linked {
                $crate::Linked::new($crate::alft_sdk::methods!(super::$plugin: $first $(+ $role)*))
            }

            $crate::__suite!();
        }
    };
}
