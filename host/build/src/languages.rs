//! The contract and the modules of the other languages as text. `alft plugin new` copies them into a project, and
//! `alft plugin build` compiles them with it. A plugin in Rust needs none of them.

/// The contract.
pub const WIT: &str = include_str!("../../../sdk/wit/objective.wit");

/// alft.h: the contract for native libraries, and the only header that a plugin in C includes.
pub const HEADER: &str = include_str!("../../../sdk/include/alft.h");
/// The exports of a component in C, on top of [`HEADER`].
pub const C_COMPONENT: &str = include_str!("../assets/c/component.c");

/// alft.py: the module that a plugin in Python imports.
pub const PYTHON: &str = include_str!("../assets/python/alft.py");
/// The exports of a component in Python, on top of [`PYTHON`].
pub const PYTHON_COMPONENT: &str = include_str!("../assets/python/component.py");

/// alft.js: the module that a plugin in JavaScript imports.
pub const JAVASCRIPT: &str = include_str!("../assets/js/alft.js");
/// The exports of a component in JavaScript.
pub const JAVASCRIPT_COMPONENT: &str = include_str!("../assets/js/component.js");
