//! `alft.lock`: a run starts only with the plugins that were approved.

use crate::support::{Small, alft, built, fail, said, succeed};

#[test]
fn what_is_not_what_was_approved_does_not_start() {
    let small = Small::new();
    let (entropy, gini) = (built(small.path(), "entropy"), built(small.path(), "gini"));
    std::fs::copy(&entropy, small.path().join("diversity.wasm")).unwrap();
    let run = small.read("run.toml");
    let start = run.find("[[plugin]]\nname = \"entropy\"").unwrap();
    let end = start + 1 + run[start + 1..].find("[[plugin]]").unwrap();
    let run = format!(
        "{}[[plugin]]\nname = \"diversity\"\npath = \"diversity.wasm\"\nweight = 0.1\n\n{}",
        &run[..start],
        &run[end..]
    );
    small.write("run.toml", &run);

    let told = said(&succeed(alft(small.path()).args(["plugin", "lock", "run.toml"])));
    assert!(told.contains("pins 3 plugins"), "{told}");
    let lock = small.read("alft.lock");
    for word in [
        "wasmtime = 48",
        "name = \"diversity\"",
        "blake3 = ",
        "contract = \"1.0.0\"",
        "concave = true",
        "diagnostics@1.0.0",
    ] {
        assert!(lock.contains(word), "{word}: {lock}");
    }
    succeed(small.train("a").args(["--set", "train.steps=1"]));

    std::fs::copy(gini, small.path().join("diversity.wasm")).unwrap();
    fail(&mut small.train("b"), 5, &["diversity", "not the file that was pinned"]);
    std::fs::copy(entropy, small.path().join("diversity.wasm")).unwrap();
    small.write("run.toml", &run.replace("name = \"diversity\"", "name = \"variety\""));
    fail(&mut small.train("b"), 5, &["\"variety\" is not in", "alft plugin lock"]);
    small.write("run.toml", &run.replace("name = \"coherence\"", "roles = [\"objective\"]\nname = \"coherence\""));
    succeed(small.train("b").args(["--set", "train.steps=1"]));
    fail(
        small.train("c").args(["--set", "plugin.coherence.config={consensus=\"geometric\"}"]),
        5,
        &["coherence", "set of claims", "alft plugin lock"],
    );
    small.write("alft.lock", &lock.replace("wasmtime = 48", "wasmtime = 47"));
    fail(&mut small.train("c"), 5, &["written for wasmtime 47", "alft plugin lock"]);
    small.write("alft.lock", "version = 1\n");
    fail(&mut small.train("c"), 5, &["alft.lock", "missing field"]);
}

#[test]
fn a_native_library_from_elsewhere_needs_trust_and_a_hash() {
    let small = Small::new();
    let output = succeed(
        alft(small.path()).args(["plugin", "build", "--native"]).arg(crate::support::root().join("plugins/entropy")),
    );
    let library = String::from_utf8(output.stdout).unwrap();
    let run = small.read("run.toml");
    let start = run.find("name = \"entropy\"").unwrap();
    let end = start + run[start..].find("[[plugin]]").unwrap();
    let with = |more: &str| {
        let entropy = format!("name = \"entropy\"\npath = \"{}\"\nweight = 0.1\n{more}\n\n", library.trim());
        small.write("run.toml", &format!("{}{entropy}{}", &run[..start], &run[end..]));
    };
    with("");
    fail(&mut small.train("x"), 5, &["entropy", "trust = \"native\""]);
    with("trust = \"native\"");
    fail(&mut small.train("x"), 5, &["entropy", "not pinned", "hash = \""]);
    with(&format!("trust = \"native\"\nhash = \"{}\"", "0".repeat(64)));
    fail(&mut small.train("x"), 5, &["entropy", "not the file that was pinned"]);
    with("trust = \"native\"");
    succeed(alft(small.path()).args(["plugin", "lock", "run.toml"]));
    let told = said(&succeed(small.train("x").args(["--set", "train.steps=1"])));
    assert!(told.contains("native library in a process of its own"), "{told}");
}
