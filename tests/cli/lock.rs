//! `alft.lock`: a run starts only with the plugins that were approved.

use alft_build::Form;

use crate::support::{Small, all_text, built, component, fail, plugin_table, succeed};

/// A run with the plugin `diversity`, which lies in the run's folder, in the place of entropy.
fn diverse() -> Small {
    let small = Small::new();
    let entropy = plugin_table("entropy", &component("entropy"), "weight = 0.03");
    let diversity = plugin_table("diversity", "diversity.wasm".as_ref(), "weight = 0.1");
    small.write("run.toml", &small.read("run.toml").replace(&entropy, &diversity));
    std::fs::copy(component("entropy"), small.path().join("diversity.wasm")).unwrap();
    small
}

const ONE_STEP: [&str; 2] = ["--set", "train.steps=1"];

#[test]
fn a_plugin_that_is_not_the_approved_one_does_not_start() {
    let small = diverse();
    let run = small.read("run.toml");
    let text = all_text(&succeed(&mut small.command(&["plugin", "lock", "run.toml"])));
    assert!(text.contains("pins 3 plugins"), "{text}");
    let lock = small.read("alft.lock");
    for line in [
        "wasmtime = 48",
        "name = \"diversity\"",
        "blake3 = ",
        "contract = \"1.0.0\"",
        "concave = true",
        "diagnostics@1.0.0",
    ] {
        assert!(lock.contains(line), "{line}: {lock}");
    }
    succeed(small.train("a").args(ONE_STEP));

    std::fs::copy(component("gini"), small.path().join("diversity.wasm")).unwrap();
    fail(&mut small.train("b"), 5, &["plugin \"diversity\"", "diversity.wasm is not the pinned file"]);
    std::fs::copy(component("entropy"), small.path().join("diversity.wasm")).unwrap();
    small.write("run.toml", &run.replace("name = \"diversity\"", "name = \"variety\""));
    fail(&mut small.train("b"), 5, &["\"variety\" is not in", "alft plugin lock"]);
    small.write("run.toml", &run.replace("name = \"coherence\"", "roles = [\"objective\"]\nname = \"coherence\""));
    succeed(small.train("b").args(ONE_STEP));
    fail(
        small.train("c").args(["--set", "plugin.coherence.config={consensus=\"geometric\"}"]),
        5,
        &["plugin \"coherence\" is not the one", "set of claims", "alft plugin lock"],
    );
    small.write("alft.lock", &lock.replace("wasmtime = 48", "wasmtime = 47"));
    fail(&mut small.train("c"), 5, &["written for wasmtime 47", "alft plugin lock"]);
    small.write("alft.lock", "version = 1\n");
    fail(&mut small.train("c"), 5, &["alft.lock is not a lock", "missing field `wasmtime`"]);
}

#[test]
fn a_native_library_from_elsewhere_needs_trust_and_a_hash() {
    let small = Small::new();
    let library = built("entropy", Form::Native);
    let run = small.read("run.toml");
    let entropy = plugin_table("entropy", &component("entropy"), "weight = 0.03");
    let with = |keys: &str| {
        let native = plugin_table("entropy", &library, &format!("weight = 0.1\n{keys}"));
        small.write("run.toml", &run.replace(&entropy, &native));
    };
    with("");
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "add `trust = \"native\"`"]);
    with("trust = \"native\"");
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "without a pinned hash", "hash = \""]);
    with(&format!("trust = \"native\"\nhash = \"{}\"", "0".repeat(64)));
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "is not the pinned file"]);

    // A lock pins the library as well as a hash in the run file.
    with("trust = \"native\"");
    succeed(&mut small.command(&["plugin", "lock", "run.toml"]));
    let text = all_text(&succeed(small.train("x").args(ONE_STEP)));
    assert!(text.contains("native library in a child process"), "{text}");
}

/// The folder of a run has all that it needs to go on.
#[test]
fn a_run_goes_on_without_the_files_of_its_plugins() {
    let small = diverse();
    succeed(small.train("a").args(["--set", "train.steps=2"]));
    succeed(small.train("whole").args(["--set", "train.steps=3"]));
    let file = small.path().join("diversity.wasm");
    let plugin = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let output = succeed(small.resume("a").args(["--set", "train.steps=3"]));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("plugin diversity: ") && errors.contains("is gone, and the run goes on with its own copy"),
        "{errors}"
    );
    for file in ["samples.jsonl", "ledger"] {
        let of = |run: &str| std::fs::read(small.path().join(run).join(file)).unwrap();
        assert!(of("a") == of("whole"), "{file}");
    }
    fail(small.train("b").args(ONE_STEP), 5, &["diversity.wasm", "No such file"]);

    // A file that was written by half is refused with the place of the copy, which mends it.
    let copies = std::fs::read_dir(small.path().join("a/plugins")).unwrap().map(|copy| copy.unwrap().path());
    let copy = copies.into_iter().find(|copy| std::fs::read(copy).unwrap() == plugin).unwrap();
    std::fs::write(&file, &plugin[..plugin.len() / 2]).unwrap();
    let (name, again) = (copy.file_name().unwrap().to_str().unwrap(), ["--set", "train.steps=4"]);
    fail(small.resume("a").args(again), 5, &["not the one that the run used", name, "put in the file's place"]);
    std::fs::copy(&copy, &file).unwrap();
    succeed(small.resume("a").args(again));
    std::fs::remove_file(&file).unwrap();

    // A copy that was changed is not the plugin of the run.
    for copy in std::fs::read_dir(small.path().join("a/plugins")).unwrap() {
        let copy = copy.unwrap().path();
        let mut bytes = std::fs::read(&copy).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(copy, bytes).unwrap();
    }
    let resumed = ["--set", "train.steps=5"];
    fail(
        small.resume("a").args(resumed),
        5,
        &["diversity.wasm is gone", "own copy", "damaged", "put the plugin's file back"],
    );
}
