//! Small files that would take much memory: each is opened or refused, within bounds for this process and the compiler.

use std::path::Path;
use std::process::Command;

use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Source, Worker};

use crate::support::{chain, engine, open_bytes, source};

/// The memory that opening a plugin may take of this process, and of the compiler, in MiB.
const BUDGET_MIB: u64 = 1024;

/// Names a file for [`a_file_is_opened_on_request`].
const FILE: &str = "ALFT_TEST_OPEN";

/// Does nothing, unless [`measured`] starts this program again for it: opens a file, and prints the peak memory of this
/// process and of the compiler in MiB.
#[test]
fn a_file_is_opened_on_request() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let opened = Plugin::open(&source(Path::new(&file), NativeTrust::Refused, "{}"), engine());
    let outcome = opened.map_or_else(|error| chain(&error), |_| "opened".into());
    // SAFETY: zeros are a valid struct, and the pointer is to it.
    let mut children: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut children) }, 0);
    // The usage of this process itself would begin with its parent's.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: i64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("measured {} {} {outcome}", peak / 1024, children.ru_maxrss / 1024);
}

/// Opens a component in a process of its own. Returns the peak memory of that process and of its compiler in MiB, and the
/// outcome.
fn measured(component: &[u8]) -> (u64, u64, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugin.wasm");
    std::fs::write(&file, component).unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["budgets::a_file_is_opened_on_request", "--exact", "--nocapture"]);
    let output = again.env(FILE, &file).env("ALFT_CACHE", folder.path().join("cache")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.split_once("measured ").unwrap_or_else(|| panic!("{output:?}")).1;
    let mut words = found.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse().unwrap();
    (number(), number(), words.next().unwrap().trim().to_owned())
}

fn component(parts: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {parts})")).unwrap()
}

fn repeated(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn small_files_take_little_memory() {
    // Two bytes that lie far apart in the memory of each module.
    let sparse = r#"(core module (memory 256) (data (i32.const 0) "x") (data (i32.const 16777200) "x"))"#;
    let data = |at: usize| format!("(memory $m{at} 1) (data (memory $m{at}) (i32.const 100) \"x\")");
    let table = |at: usize| format!("(table $t{at} 900000 funcref) (elem (table $t{at}) (i32.const 899999) func $f)");
    let module = "(core module $m (memory 1) (data (i32.const 0) \"x\"))";
    // Each component has two instances of the one before.
    let nested = (0..16).fold(format!("{module} (core instance (instantiate $m))"), |inner, _| {
        format!("(component $c {inner}) (instance (instantiate $c)) (instance (instantiate $c))")
    });
    let no_role = "has no role";
    let too_many = "needs more than `limits.instances`, `limits.memory` or `limits.table_elements` allow";
    for (shape, parts, outcome) in [
        ("100 modules with an image of 16 MiB each", sparse.repeat(100), no_role),
        ("900 memories in 10 modules", format!("(core module {})", repeated(90, data)).repeat(10), no_role),
        ("tables with a last element", format!("(core module (func $f) {})", repeated(3, table)), too_many),
        ("900 instances of a module", format!("{module}{}", "(core instance (instantiate $m))".repeat(900)), too_many),
        ("65,536 instances by nesting", nested, too_many),
        (
            "passive elements of which each instance has a copy",
            format!("(core module (func $f) (elem func {}))", "$f ".repeat(20_000)),
            "needs 20000 elements in passive segments, above the limit of 10000; raise `limits.table_elements`",
        ),
    ] {
        let (host, compiler, found) = measured(&component(&parts));
        assert!(found.contains(outcome), "{shape}: {found}");
        assert!(host < BUDGET_MIB && compiler < BUDGET_MIB, "{shape}: {host} MiB here, {compiler} MiB in the compiler");
    }
}

#[test]
fn code_above_its_limit_is_refused_by_the_compiler_and_in_the_cache() {
    let functions = format!("(core module {})", repeated(3000, |at| format!("(func (export \"f{at}\"))")));
    let limits = Limits { compiled_size: 100_000, ..Limits::default() };
    for opened_before in [false, true] {
        let error = chain(&open_bytes(&component(&functions), limits.clone()).unwrap_err());
        let words = "bytes of code and static data, above the limit of 100000; raise `limits.compiled_size`";
        assert!(error.contains(words), "{opened_before}: {error}");
        // With more room it is compiled, and cached.
        let error = chain(&open_bytes(&component(&functions), Limits::default()).unwrap_err());
        assert!(error.contains("has no role"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_compiler_that_returns_too_much_is_not_listened_to() {
    // A reply of one byte says that code follows, and the code claims to have 4 GiB.
    let script = r"printf '\001\000\000\000\000\377\377\377\377'; cat >/dev/null";
    let worker = Worker { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
    let engine = Engine::new(&Limits::default(), worker).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), component("(core module (func (export \"never compiled before\")))")).unwrap();
    let source = Source { limits: Limits::default(), ..source(file.path(), NativeTrust::Refused, "{}") };
    let error = chain(&Plugin::open(&source, &engine).unwrap_err());
    assert!(error.contains("compiles to 4294967295 bytes") && error.contains("`limits.compiled_size`"), "{error}");
}

#[test]
fn one_limit_serves_instances_and_memories() {
    let memories = |count: usize| {
        let module = "(core module $m (memory 0))";
        component(&format!("{module}{}", "(core instance (instantiate $m))".repeat(count)))
    };
    let error = chain(&open_bytes(&memories(101), Limits::default()).unwrap_err());
    assert!(error.contains("has no role"), "101 are within the limit of 128: {error}");
    let in_one_module =
        component(&format!("(core module $m {}) (core instance (instantiate $m))", "(memory 0)".repeat(90)));
    let error = chain(&open_bytes(&in_one_module, Limits::default()).unwrap_err());
    assert!(error.contains("has no role"), "{error}");
    let error = chain(&open_bytes(&memories(129), Limits::default()).unwrap_err());
    assert!(error.contains("needs 129 memories, above the limit of 128; raise `limits.instances`"), "{error}");
}
