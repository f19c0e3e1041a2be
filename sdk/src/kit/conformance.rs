//! [`conformance!`](crate::conformance!): the kit in a plugin's own `cargo test`.

use std::path::Path;

use super::{Outcome, Settings, Subject, Test, Trial};

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

/// Runs the test of this name and panics unless it is passed or does not apply.
#[doc(hidden)]
pub fn pass(name: &str, subject: &dyn Subject, folder: &str) {
    let settings = Settings::of(Path::new(folder)).unwrap_or_else(|error| panic!("{folder}/kit.json: {error}"));
    let test = Test::named(&name.replace('_', "-")).expect("a test of the kit");
    match test.run(&Trial { subject, twin: None, settings: &settings, seed: 0 }) {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => eprintln!("skipped: {reason}"),
        Outcome::Failed(reason) | Outcome::Crashed(reason) => {
            panic!("a plugin {}; this one does not: {reason}", test.shows)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kit::TESTS;

    #[test]
    fn no_test_is_left_out_but_those_of_loaded_plugins() {
        let listed = |name: &str| {
            let words = include_str!("conformance.rs").split(|c: char| !c.is_alphanumeric() && c != '_');
            words.into_iter().any(|word| word == name.replace('-', "_"))
        };
        let left_out: Vec<&str> = TESTS.iter().map(|test| test.name).filter(|name| !listed(name)).collect();
        assert_eq!(left_out, ["fuel-grows-linearly", "twins-agree"]);
    }
}
