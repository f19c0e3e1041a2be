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
                let subject = $crate::Linked::new::<super::$plugin>();
                let subject = $crate::__role!(subject of super::$plugin, $first);
                $(let subject = $crate::__role!(subject of super::$plugin, $role);)*
                subject
            }

            $crate::__tests! {
                describes_itself hostile_configuration order_of_calls batch_equals_singles empty huge unicode adversarial
                reads_the_answer same_text_same_key
                grades_the_completion
                right_answer score_range
                concave gradient unanimous renaming
            }
        }
    };
}

/// Adds a role to a subject.
#[doc(hidden)]
#[macro_export]
macro_rules! __role {
    ($subject:ident of $plugin:path, Reader) => {
        $subject.reader::<$plugin>()
    };
    ($subject:ident of $plugin:path, Grader) => {
        $subject.grader::<$plugin>()
    };
    ($subject:ident of $plugin:path, Verifier) => {
        $subject.verifier::<$plugin>()
    };
    ($subject:ident of $plugin:path, Objective) => {
        $subject.objective::<$plugin>()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::pass(stringify!($name), &subject(), env!("CARGO_MANIFEST_DIR"));
            }
        )*
    };
}
