//! The contract and the sdks of the other languages, as text: what `alft plugin new` puts into a project and
//! `alft plugin build` compiles with it. No plugin in Rust needs any of it.

/// The contract.
pub const WIT: &str = include_str!("../../../sdk/wit/objective.wit");

/// alft.h: the contract for native libraries, and all that a plugin in C includes.
pub const HEADER: &str = include_str!("../../../sdk/include/alft.h");
/// What makes a component of a plugin on [`HEADER`].
pub const C_COMPONENT: &str = include_str!("../assets/c/component.c");

/// alft.py: the module that a plugin in Python imports.
pub const PYTHON: &str = include_str!("../assets/python/alft.py");
/// What makes a component of a plugin on [`PYTHON`].
pub const PYTHON_COMPONENT: &str = include_str!("../assets/python/component.py");

/// alft.js: the module that a plugin in JavaScript imports.
pub const JAVASCRIPT: &str = include_str!("../assets/js/alft.js");
/// What makes a component of a plugin in JavaScript.
pub const JAVASCRIPT_COMPONENT: &str = include_str!("../assets/js/component.js");
