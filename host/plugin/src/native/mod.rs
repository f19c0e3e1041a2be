//! Native libraries, through the C ABI of the contract. Nothing can confine a library: it runs with all the rights of its
//! process. So it is run only if the user trusts it by its hash, and by default in a child process.

pub(crate) mod examine;
pub(crate) mod library;
pub(crate) mod process;
