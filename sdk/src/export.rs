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
                    $crate::__export_role!(native plugin, $plugin, $first);
                    $($crate::__export_role!(native plugin, $plugin, $role);)*
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
                impl $crate::component::wit::about::Guest for Exported {
                    fn describe(
                        config: ::std::string::String,
                    ) -> $crate::component::Reply<$crate::component::wit::about::Manifest> {
                        $crate::component::describe::<$plugin>(&config)
                    }
                }
                $crate::component::about::export_about!(Exported with_types_in $crate::component::about);
                $crate::__export_role!(component Exported, $plugin, $first);
                $($crate::__export_role!(component Exported, $plugin, $role);)*
            };
        };
    };
}

/// Exports one role. Two arms for each: its field of the C struct, and its interface of the component.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    (native $table:ident, $plugin:ident, Reader) => {
        $table.read = Some($crate::native::read::<$plugin>);
    };
    (component $exported:ident, $plugin:ident, Reader) => {
        $crate::__export_interface!($exported, $plugin, reader, export_reader, read(Transcript) -> ::std::vec::Vec<::std::option::Option<::std::string::String>>);
    };

    (native $table:ident, $plugin:ident, Grader) => {
        $table.grade = Some($crate::native::grade::<$plugin>);
    };
    (component $exported:ident, $plugin:ident, Grader) => {
        $crate::__export_interface!($exported, $plugin, grader, export_grader, grade(Transcript) -> ::std::vec::Vec<f64>);
    };

    (native $table:ident, $plugin:ident, Verifier) => {
        $table.score = Some($crate::native::score::<$plugin>);
    };
    (component $exported:ident, $plugin:ident, Verifier) => {
        $crate::__export_interface!($exported, $plugin, verifier, export_verifier, score(Question) -> ::std::vec::Vec<f64>);
    };

    (native $table:ident, $plugin:ident, Objective) => {
        $table.evaluate = Some($crate::native::evaluate::<$plugin>);
    };
    (component $exported:ident, $plugin:ident, Objective) => {
        $crate::__export_interface!($exported, $plugin, objective, export_objective, evaluate(Bundle) -> $crate::component::wit::objective::Valuation);
    };

    ($form:ident $out:ident, $plugin:ident, $role:ident) => {
        compile_error!(concat!(stringify!($role), " is not a role; the roles are Reader, Grader, Verifier and Objective"));
    };
}

/// Implements one interface of the contract for `$exported`: its one function, which maps a batch of `$entry` records
/// to one `$result` for each.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    ($exported:ident, $plugin:ident, $interface:ident, $export:ident, $function:ident($entry:ident) -> $result:ty) => {
        impl $crate::component::wit::$interface::Guest for $exported {
            fn $function(
                config: ::std::string::String,
                batch: ::std::vec::Vec<$crate::component::wit::$interface::$entry>,
            ) -> $crate::component::Reply<::std::vec::Vec<$result>> {
                $crate::component::$function::<$plugin>(&config, batch)
            }
        }
        $crate::component::$interface::$export!($exported with_types_in $crate::component::$interface);
    };
}
