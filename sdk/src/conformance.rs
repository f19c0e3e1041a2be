//! [`conformance!`](crate::conformance!): the kit in a plugin's own `cargo test`.

/// Makes a `#[test]` of each test of the [kit](crate::kit) that a linked-in plugin can take, under the configurations of
/// `kit.json` beside the crate's `Cargo.toml`: `conformance!(Arithmetic: Reader + Verifier);`.
///
/// Name the roles as for [`export!`](crate::export!). Fuel, and equality of a component and a library, are for
/// `alft plugin check`.
#[macro_export]
macro_rules! conformance {
    ($plugin:ident : $first:ident $(+ $role:ident)*) => {
        #[cfg(test)]
        mod conformance {
            fn subject() -> $crate::kit::Linked {
                let subject = $crate::kit::Linked::new::<super::$plugin>();
                let subject = $crate::__linked_role!(subject, super::$plugin, $first);
                $(let subject = $crate::__linked_role!(subject, super::$plugin, $role);)*
                subject
            }

            $crate::__kit_tests! {
                describes_itself hostile_configuration order_of_calls batch_equals_singles empty huge unicode adversarial
            }
            $crate::__role_tests!($first);
            $($crate::__role_tests!($role);)*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __linked_role {
    ($subject:ident, $plugin:path, Reader) => {
        $subject.reader::<$plugin>()
    };
    ($subject:ident, $plugin:path, Verifier) => {
        $subject.verifier::<$plugin>()
    };
    ($subject:ident, $plugin:path, Objective) => {
        $subject.objective::<$plugin>()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __role_tests {
    (Reader) => {
        $crate::__kit_tests! { reads_the_answer same_text_same_key }
    };
    (Verifier) => {
        $crate::__kit_tests! { right_answer score_range }
    };
    (Objective) => {
        $crate::__kit_tests! { concave gradient unanimous renaming }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __kit_tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::kit::pass(stringify!($name), &subject(), env!("CARGO_MANIFEST_DIR"));
            }
        )*
    };
}
