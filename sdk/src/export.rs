//! [`export!`](crate::export!): offers a plugin's roles to the host, in whichever form the crate is built.

/// Offers a plugin to the host: `export!(Arithmetic: Reader + Verifier);`.
///
/// Built for `wasm32-unknown-unknown`, the crate becomes a component that exports the interfaces of the named roles and
/// nothing else. Built for any other target, it becomes a library with one entry symbol.
///
/// The entry symbol ends in the crate's name, so several plugins can be linked into one program. The loader finds the
/// symbol by its prefix.
#[macro_export]
macro_rules! export {
    ($plugin:ident : $first:ident $(+ $role:ident)*) => {
        const _: () = {
            #[cfg(not(target_arch = "wasm32"))]
            #[unsafe(export_name = concat!("alft_plugin_v1_", env!("CARGO_CRATE_NAME")))]
            extern "C" fn entry() -> *const $crate::abi::PluginV1 {
                static PLUGIN: $crate::abi::PluginV1 = {
                    let mut plugin = $crate::abi::PluginV1::new($crate::native::describe::<$plugin>);
                    $crate::__role!(native plugin, $plugin, $first);
                    $($crate::__role!(native plugin, $plugin, $role);)*
                    plugin
                };
                &PLUGIN
            }

            #[cfg(not(target_arch = "wasm32"))]
            #[unsafe(export_name = concat!("alft_fingerprint_v1_", env!("CARGO_CRATE_NAME")))]
            static FINGERPRINT: $crate::abi::Fingerprint =
                if cfg!(panic = "unwind") { $crate::abi::UNWINDS } else { $crate::abi::ABORTS };

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                struct Exported;
                impl $crate::component::about::exports::alft::objective::about::Guest for Exported {
                    fn describe(
                        config: ::std::string::String,
                    ) -> $crate::component::Reply<$crate::component::about::exports::alft::objective::about::Manifest> {
                        $crate::component::describe::<$plugin>(&config)
                    }
                }
                $crate::component::about::export_about!(Exported with_types_in $crate::component::about);
                $crate::__role!(component Exported, $plugin, $first);
                $($crate::__role!(component Exported, $plugin, $role);)*
            };
        };
    };
}

/// Implements one interface of the contract for `$exported`: its one function, which maps a batch of `$entry` records
/// to one `$result` for each.
#[doc(hidden)]
#[macro_export]
macro_rules! __interface {
    ($exported:ident, $plugin:ident, $role:ident, $interface:ident, $export:ident, $function:ident($entry:ident) -> $result:ty) => {
        impl $crate::roles::bindings::$interface::exports::alft::objective::$interface::Guest for $exported {
            fn $function(
                config: ::std::string::String,
                batch: ::std::vec::Vec<$crate::roles::bindings::$interface::exports::alft::objective::$interface::$entry>,
            ) -> $crate::component::Reply<::std::vec::Vec<$result>> {
                $crate::component::batch::<$plugin, $crate::roles::$role, _, _>(&config, batch)
            }
        }
        $crate::roles::bindings::$interface::$export!($exported with_types_in $crate::roles::bindings::$interface);
    };
}
