//! Components written by hand, with faults that no compiler makes: each is refused, or fails on its item alone.

use alft_plugin_host::{Error, FailureKind, Limits, Plugin};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::support::{self, chain, entry, open_bytes};

/// Returns a verifier whose `score` and allocator have these bodies, and whose module has the definitions `also`. Its
/// manifest is all zeros.
fn verifier(score: &str, realloc: &str, also: &str) -> Vec<u8> {
    importing("", score, realloc, also)
}

/// Returns a [verifier] whose module has these imports.
fn importing(imports: &str, score: &str, realloc: &str, also: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            {imports}
            (memory (export "memory") 2)
            {also}
            (global $next (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                {realloc}
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8)))))
            (func (export "alft:objective/about@1.0.0#describe") (param i32 i32) (result i32) (i32.const 1024))
            (func (export "alft:objective/verifier@1.0.0#score") (param i32 i32 i32 i32) (result i32) {score}))"#
    );
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit")).unwrap();
    let world = resolve.select_world(&[package], Some("verifier-plugin")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn open(component: &[u8]) -> Result<Plugin, Error> {
    open_bytes(component, Limits { fuel_base: 20_000_000, fuel_per_byte: 0, ..Limits::default() })
}

/// Has the verifier score one answer.
fn scored(score: &str, realloc: &str, also: &str) -> Result<f64, (FailureKind, String)> {
    let plugin = open(&verifier(score, realloc, also)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let mut result = support::score(&plugin, &[entry(None, &["4"])]);
    assert_eq!(result.items.len(), 1);
    result.items.remove(0).map_err(|failure| (failure.kind, failure.detail))
}

/// Returns code that returns `ok` with a list of `outer` lists, the first of which has `count` numbers at `numbers`.
fn returns(outer: i64, numbers: i64, count: i64) -> String {
    format!(
        "(i32.store (i32.const 2052) (i32.const 3000)) (i32.store (i32.const 2056) (i32.const {outer}))
         (i32.store (i32.const 3000) (i32.const {numbers})) (i32.store (i32.const 3004) (i32.const {count}))
         (i32.const 2048)"
    )
}

#[test]
fn a_correct_verifier_scores() {
    let score = format!("(f64.store (i32.const 3200) (f64.const 0.5)) {}", returns(1, 3200, 1));
    assert_eq!(scored(&score, "", ""), Ok(0.5));
}

#[test]
fn malformed_results_are_failures() {
    use FailureKind::{NonFinite, Output, Shape, Trap};
    let big = "(drop (memory.grow (i32.const 900)))";
    for (fault, score, kind) in [
        ("no list for the question", returns(0, 3200, 1), Shape),
        ("no number for the answer", returns(1, 3200, 0), Shape),
        ("two numbers for one answer", returns(1, 3200, 2), Shape),
        ("a list of 4 billion lists", returns(-1, 3200, 1), Trap),
        ("a list outside its memory", returns(1, 0x7fff_fff8, 1), Trap),
        ("a list that wraps around", returns(1, 3200, 0x2000_0001), Trap),
        ("a list that is not aligned", returns(1, 3201, 1), Trap),
        ("40 MB of numbers", format!("{big}{}", returns(1, 131_072, 5_000_000)), Output),
        ("a variant that does not exist", "(i32.store8 (i32.const 2048) (i32.const 7)) (i32.const 2048)".into(), Trap),
        (
            "an error that is not UTF-8",
            "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 3000))
             (i32.store (i32.const 2056) (i32.const 4)) (i32.store (i32.const 3000) (i32.const -1)) (i32.const 2048)"
                .into(),
            Trap,
        ),
        ("NaN", format!("(f64.store (i32.const 3200) (f64.const nan)) {}", returns(1, 3200, 1)), NonFinite),
        ("an answer at no address", "(i32.const -8)".into(), Trap),
    ] {
        let found = scored(&score, "", "").unwrap_err();
        assert_eq!(found.0, kind, "{fault}: {}", found.1);
    }
}

#[test]
fn growth_loops_and_traps_are_failures() {
    use FailureKind::{Memory, OutOfFuel, StackOverflow, Trap};
    // Not for the two bytes of the configuration: the component must not fail before `score` is called.
    let loops = "(if (i32.gt_u (local.get 3) (i32.const 2)) (then (loop $again (br $again))))";
    let lies = "(if (i32.gt_u (local.get 3) (i32.const 2)) (then (return (i32.const -16))))";
    for (fault, score, realloc, also, kind, words) in [
        (
            "a table that grows",
            "(loop $again (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $again)) (unreachable)",
            "",
            "(table $t 1 funcref)",
            Memory,
            "`limits.table_elements` is 10000",
        ),
        (
            "a memory that grows",
            "(loop $again (drop (memory.grow (i32.const 16))) (br $again)) (unreachable)",
            "",
            "",
            Memory,
            "`limits.memory` is 67108864",
        ),
        (
            "single instructions that fill a whole memory, which cost fuel by the byte",
            "(drop (memory.grow (i32.const 900)))
             (loop $again (memory.fill (i32.const 131072) (i32.const 7) (i32.const 50000000)) (br $again)) (unreachable)",
            "",
            "",
            OutOfFuel,
            "20000000",
        ),
        ("a loop in the allocator", "(i32.const 2048)", loops, "", OutOfFuel, "20000000"),
        ("an allocator that returns an address outside the memory", "(i32.const 2048)", lies, "", Trap, ""),
        ("recursion", "(call $deep) (i32.const 2048)", "", "(func $deep (call $deep))", StackOverflow, "limits"),
        ("division by zero", "(i32.div_u (i32.const 1) (i32.const 0))", "", "", Trap, "divide by zero"),
    ] {
        let (found, detail) = scored(score, realloc, also).unwrap_err();
        let words = if kind == StackOverflow { "its stack of" } else { words };
        assert_eq!(found, kind, "{fault}: {detail}");
        assert!(detail.contains(words), "{fault}: {detail}");
    }
}

/// Returns a component with one section.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let length: Vec<u8> =
        (0..5).map(|at| (content.len() >> (7 * at)) as u8 & 0x7f | if at < 4 { 0x80 } else { 0 }).collect();
    [b"\0asm\x0d\0\x01\0", &[id][..], &length, content].concat()
}

#[test]
fn components_that_are_hard_to_parse_or_compile_are_opened_or_refused() {
    let nested =
        |depth| verifier(&format!("{}{} i32.const 2048", "block ".repeat(depth), "end ".repeat(depth)), "", "");
    let components = |depth| (0..depth).fold(b"\0asm\x0d\0\x01\0".to_vec(), |inner, _| section(4, &inner));
    let exports: String = (0..50_000).map(|at| format!("(func (export \"f{at}\"))")).collect();
    let table = format!("(block (br_table {}(local.get 0)))", "0 ".repeat(100_000));
    let locals = format!("(func {} (nop))", "(local i64)".repeat(49_000));
    let long_name = "n".repeat(90_000);
    for (shape, component) in [
        ("blocks within blocks", nested(20_000)),
        ("components within components", components(3_000)),
        ("many functions", verifier("(i32.const 2048)", "", &exports)),
        ("a long table of branches", verifier(&format!("{table} (i32.const 2048)"), "", "")),
        ("many locals", verifier("(i32.const 2048)", "", &locals)),
        ("a long name", verifier("(i32.const 2048)", "", &format!("(func ${long_name} (unreachable))"))),
        ("a large memory", verifier("(i32.const 2048)", "", "(memory 65536)")),
        ("data outside its memory", verifier("(i32.const 2048)", "", "(data (i32.const 131071) \"xx\")")),
        ("a section that ends after the file", [verifier("(i32.const 2048)", "", ""), vec![0, 100, 1, b'x']].concat()),
    ] {
        match open(&component) {
            Ok(plugin) => assert!(!plugin.manifest().concave, "{shape}"),
            Err(error) => assert!(chain(&error).len() < 3_000, "{shape}: {}", chain(&error)),
        }
    }
}

#[test]
fn a_loop_in_the_start_function_is_refused() {
    let component = verifier("(i32.const 2048)", "", "(func $start (loop $again (br $again))) (start $start)");
    let error = chain(&open(&component).unwrap_err());
    assert!(error.contains("out-of-fuel"), "{error}");
}

#[test]
fn a_score_range_without_a_number_is_refused() {
    // score-range: some interval of NaN to 0.
    let also = r#"(data (i32.const 1056) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\f8\7f")"#;
    let error = chain(&open(&verifier("(i32.const 2048)", "", also)).unwrap_err());
    assert!(error.contains("its score range is"), "{error}");
}

#[test]
fn a_component_with_a_changed_byte_is_refused_or_called() {
    let score = format!("(f64.store (i32.const 3200) (f64.const 0.5)) {}", returns(1, 3200, 1));
    let whole = verifier(&score, "", "");
    // All positions would take minutes, because each component is compiled in a new process.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        if let Ok(plugin) = open(&changed) {
            assert_eq!(support::score(&plugin, &[entry(None, &["4"])]).items.len(), 1, "byte {at}");
        }
    }
}

/// The import of the host's only function.
const LOG: &str = r#"(import "alft:objective/diagnostics@1.0.0" "log" (func $log (param i32 i32 i32)))"#;

/// Has a verifier with these definitions do something so many times, and returns its fuel. The verifier then scores 0.5.
fn fuel_of(work: &str, times: u64, also: &str) -> u64 {
    let score = format!(
        "(local $left i32) (local.set $left (i32.const {times}))
         (loop $again (if (local.get $left) (then {work}
             (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br $again))))
         (f64.store (i32.const 3200) (f64.const 0.5)) {}",
        returns(1, 3200, 1)
    );
    let plugin = open(&importing(LOG, &score, "", also)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let result = support::score(&plugin, &[entry(None, &["4"])]);
    assert_eq!(result.items, [Ok(0.5)], "{work}");
    result.usage.fuel
}

#[test]
fn work_of_the_host_and_of_wasmtime_has_its_price_in_fuel() {
    let also = "(func $f) (table $t 9 funcref) (elem declare func $f) (elem $passive func $f $f $f) (data $data \"xy\")
                (memory $small 1 2)";
    let loop_alone = fuel_of("", 1000, also) / 1000;
    assert!(loop_alone < 15, "{loop_alone}");
    for (work, price) in [
        ("(call $log (i32.const 2) (i32.const 0) (i32.const 0))", 1_000),
        ("(call $log (i32.const 2) (i32.const 1024) (i32.const 500))", 1_500),
        ("(drop (memory.grow (i32.const 0)))", 200),
        ("(drop (memory.grow $small (i32.const 100)))", 200),
        ("(drop (table.grow $t (ref.null func) (i32.const 0)))", 100),
        ("(drop (ref.is_null (ref.func $f)))", 100),
        ("(table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 3))", 150),
        ("(elem.drop $passive)", 50),
        ("(data.drop $data)", 50),
        ("(memory.copy (i32.const 0) (i32.const 64) (i32.const 400))", 400),
    ] {
        let fuel = fuel_of(work, 1000, also) / 1000 - loop_alone;
        assert!((price..price + 20).contains(&fuel), "{work} costs {fuel} units, and not {price}");
    }
}

#[test]
fn the_bytes_of_a_result_have_their_price_in_fuel() {
    // An error of 60,000 bytes, which are all zeros.
    let error = "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 65536))
                 (i32.store (i32.const 2056) (i32.const 60000)) (i32.const 2048)";
    let fuel = |base: u64| {
        let limits = Limits { fuel_base: base, fuel_per_byte: 0, ..Limits::default() };
        let plugin = open_bytes(&verifier(error, "", ""), limits).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let mut result = support::score(&plugin, &[entry(None, &["4"])]);
        (result.items.remove(0).unwrap_err().kind, result.usage.fuel)
    };
    let (kind, used) = fuel(100_000);
    assert!(kind == FailureKind::Error && (60_000..61_000).contains(&used), "{kind}: {used}");
    assert_eq!(fuel(50_000), (FailureKind::OutOfFuel, 50_000));
}

#[test]
fn a_growth_beyond_a_modules_own_maximum_fails_and_is_not_charged() {
    let grow = "(local $left i32) (local.set $left (i32.const 9))
        (loop $again (if (local.get $left) (then
            (if (i32.ne (memory.grow $own (i32.const 2000)) (i32.const -1)) (then (unreachable)))
            (if (i32.ne (table.grow $few (ref.null func) (i32.const 9000)) (i32.const -1)) (then (unreachable)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br $again))))
        (f64.store (i32.const 3200) (f64.const 0.5))";
    let also = "(memory $own 1 2) (table $few 1 2 funcref)";
    let plugin = open(&verifier(&format!("{grow} {}", returns(1, 3200, 1)), "", also)).unwrap();
    let result = support::score(&plugin, &[entry(None, &["4"])]);
    assert_eq!((result.items, result.usage.memory), (vec![Ok(0.5)], 3 * 65_536));
}
