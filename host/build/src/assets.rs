//! The contract and the modules of the other languages, as text. `alft plugin new` writes them into projects, and
//! `alft plugin build` compiles them with a plugin. Plugins in Rust need none of them.

/// objective.wit, the contract.
pub const WIT: &str = include_str!("../../../sdk/wit/objective.wit");

/// alft.h, the contract of native libraries, which a plugin in C includes.
pub const HEADER: &str = include_str!("../../../sdk/include/alft.h");
/// component.c, which exports the contract from a component, on top of a plugin that includes [`HEADER`].
pub const C_COMPONENT: &str = include_str!("../assets/c/component.c");

/// alft.py, the module that a plugin in Python imports.
pub const PYTHON: &str = include_str!("../assets/python/alft.py");
/// component.py, which exports the contract from a component, on top of a plugin that imports [`PYTHON`].
pub const PYTHON_COMPONENT: &str = include_str!("../assets/python/component.py");

/// alft.js, the module that a plugin in JavaScript imports.
pub const JAVASCRIPT: &str = include_str!("../assets/js/alft.js");
/// component.js, which exports the contract from a component, on top of a plugin that imports [`JAVASCRIPT`].
pub const JAVASCRIPT_COMPONENT: &str = include_str!("../assets/js/component.js");
