//! Prices: the fuel of work that is not an ordinary instruction. A unit of fuel is about the time of an instruction, so a
//! component that does nothing but expensive work runs out of fuel in about the time of one that only computes.
//!
//! The prices depend on the call alone: the same call has the same fuel on every machine.

use wasmtime::OperatorCost;

/// Version of the prices. Within one version, and one major version of wasmtime, the same call uses the same fuel.
///
/// - 1: an instruction 1; a byte of a message, and of what `memory.copy` and its like move, 1; all else nothing.
/// - 2: calls of the host, instructions that call wasmtime, and bytes of a result have prices too.
pub const FUEL_RULES: u32 = 2;

/// Fuel of a call of the host, beside its bytes.
pub(super) const HOST_CALL: u64 = 1_000;

/// Fuel of a byte that the host copies out of the component: of a message, and of the result of a call.
pub(super) const BYTE: u64 = 1;

/// Returns the fuel of each instruction.
pub(super) fn instructions() -> OperatorCost {
    let mut cost = OperatorCost::new();
    // Instructions that call wasmtime.
    cost.MemoryGrow = 200;
    cost.TableGrow = 100;
    cost.RefFunc = 100;
    cost.ElemDrop = 50;
    cost.DataDrop = 50;
    // Each element of a segment becomes a reference to a function.
    cost.variable.table_init_per_element = 50;
    cost
}
