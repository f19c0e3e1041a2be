//! [`export!`](crate::export!): one line that offers a plugin's roles to the host, as whatever it is being built into.

/// Offers a plugin to the host: `export!(Arithmetic: Reader + Verifier);`.
///
/// Built for `wasm32-unknown-unknown` the crate becomes a component that exports the named interfaces and nothing
/// else; built for any other target it becomes a library with one entry symbol. Name the roles in the order
/// `Reader + Verifier + Objective`, leaving out those that the type does not have.
///
/// The entry symbol carries the crate's name after its version, so that several plugins can be linked into one
/// program; the loader finds it by its beginning.
#[macro_export]
macro_rules! export {
    ($plugin:ident : $first:ident $(+ $role:ident)*) => {
        const _: () = {
            #[cfg(not(target_arch = "wasm32"))]
            #[unsafe(export_name = concat!("alft_plugin_v1_", env!("CARGO_CRATE_NAME")))]
            extern "C" fn entry() -> *const $crate::native::PluginV1 {
                static PLUGIN: $crate::native::PluginV1 = {
                    #[allow(unused_mut)]
                    let mut plugin = $crate::native::PluginV1 {
                        size: ::core::mem::size_of::<$crate::native::PluginV1>() as u32,
                        version: $crate::native::VERSION,
                        describe: Some($crate::native::describe::<$plugin>),
                        read: None,
                        score: None,
                        evaluate: None,
                    };
                    $crate::__native_role!(plugin, $plugin, $first);
                    $($crate::__native_role!(plugin, $plugin, $role);)*
                    plugin
                };
                &PLUGIN
            }

            #[cfg(not(target_arch = "wasm32"))]
            #[unsafe(export_name = concat!("alft_fingerprint_v1_", env!("CARGO_CRATE_NAME")))]
            static FINGERPRINT: $crate::native::Fingerprint =
                if cfg!(panic = "unwind") { $crate::native::UNWINDS } else { $crate::native::ABORTS };

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
                $crate::__component_role!(Exported, $plugin, $first);
                $($crate::__component_role!(Exported, $plugin, $role);)*
            };
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __native_role {
    ($out:ident, $plugin:ident, Reader) => {
        $out.read = Some($crate::native::read::<$plugin>);
    };
    ($out:ident, $plugin:ident, Verifier) => {
        $out.score = Some($crate::native::score::<$plugin>);
    };
    ($out:ident, $plugin:ident, Objective) => {
        $out.evaluate = Some($crate::native::evaluate::<$plugin>);
    };
    ($out:ident, $plugin:ident, $role:ident) => {
        compile_error!(concat!(stringify!($role), " is no role: there are Reader, Verifier and Objective"));
    };
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! __component_role {
    ($exported:ident, $plugin:ident, Reader) => {
        impl $crate::component::wit::reader::Guest for $exported {
            fn read(
                config: ::std::string::String,
                batch: ::std::vec::Vec<$crate::component::wit::reader::Transcript>,
            ) -> $crate::component::Reply<::std::vec::Vec<::std::vec::Vec<::std::option::Option<::std::string::String>>>> {
                $crate::component::read::<$plugin>(&config, batch)
            }
        }
        $crate::component::reader::export_reader!($exported with_types_in $crate::component::reader);
    };
    ($exported:ident, $plugin:ident, Verifier) => {
        impl $crate::component::wit::verifier::Guest for $exported {
            fn score(
                config: ::std::string::String,
                batch: ::std::vec::Vec<$crate::component::wit::verifier::Question>,
            ) -> $crate::component::Reply<::std::vec::Vec<::std::vec::Vec<f64>>> {
                $crate::component::score::<$plugin>(&config, batch)
            }
        }
        $crate::component::verifier::export_verifier!($exported with_types_in $crate::component::verifier);
    };
    ($exported:ident, $plugin:ident, Objective) => {
        impl $crate::component::wit::objective::Guest for $exported {
            fn evaluate(
                config: ::std::string::String,
                batch: ::std::vec::Vec<$crate::component::wit::objective::Bundle>,
            ) -> $crate::component::Reply<::std::vec::Vec<$crate::component::wit::objective::Valuation>> {
                $crate::component::evaluate::<$plugin>(&config, batch)
            }
        }
        $crate::component::objective::export_objective!($exported with_types_in $crate::component::objective);
    };
    ($exported:ident, $plugin:ident, $role:ident) => {
        compile_error!(concat!(stringify!($role), " is no role: there are Reader, Verifier and Objective"));
    };
}
