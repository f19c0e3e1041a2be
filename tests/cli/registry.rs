//! Plugins in registries, against Debian's `docker-registry` on this machine, and against servers that answer wrongly.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use alft_build::Form;
use alft_registry::Digest;
use serde_json::{Value, json};

use crate::support::{Small, alft, all_text, built, component, fail, plugin_table, succeed};

/// The interface that the tested components import in place of the contract's.
const WASI: &str = "wasi:random/random@0.2.0";

/// A registry with a storage of its own.
struct Registry {
    process: Child,
    host: String,
    storage: tempfile::TempDir,
}

impl Registry {
    /// Starts a registry. `None`, with a printed reason, where none is installed.
    fn start() -> Option<Self> {
        let storage = tempfile::tempdir().unwrap();
        // The port is free again once the listener is dropped.
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\nhttp: {{addr: {host:?}}}\n",
            storage.path().join("data")
        );
        fs::write(storage.path().join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(storage.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) => {
                skipped(&format!("docker-registry: {error} (Debian: apt install docker-registry)"));
                return None;
            }
        };
        let registry = Self { process, host, storage };
        for _ in 0..600 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen on {}", registry.host);
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Returns the reference of a repository.
    fn reference(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.host)
    }

    /// Returns the file in which the registry stores content.
    fn stored(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.storage.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_macros, reason = "a test prints")]
fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A user with an empty cache and without logins.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// Sets the user's cache and logins for a command.
    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("ALFT_CACHE", self.cache()).env("DOCKER_CONFIG", self.home.path().join("docker"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = alft(self.home.path());
        self.with(&mut command).args(args);
        command
    }

    /// Writes docker's configuration, with a login of the name `me` for a host.
    fn log_in(&self, host: &str) {
        fs::create_dir_all(self.home.path().join("docker")).unwrap();
        // Base64 of me:secret.
        let config = json!({ "auths": { host: { "auth": "bWU6c2VjcmV0" } } });
        fs::write(self.home.path().join("docker/config.json"), config.to_string()).unwrap();
    }

    /// Returns true if the cache has content with this digest.
    fn has(&self, digest: &str) -> bool {
        self.cache().join("registry").join(digest.replace(':', "-")).exists()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&succeed(&mut self.command(args)).stdout).unwrap()
    }

    /// Runs another program in the user's folder. `None`, with a printed reason, where it is not installed.
    fn tool(&self, program: &str, args: &[&str]) -> Option<Output> {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.home).env("HOME", self.home.path()).env("COSIGN_PASSWORD", "");
        match command.output() {
            Ok(output) => Some(succeeded(output)),
            Err(error) => {
                skipped(&format!("{program}: {error}"));
                None
            }
        }
    }

    /// Publishes a component without its tests.
    fn publish(&self, file: &Path, reference: &str) -> Value {
        self.json(&["plugin", "publish", file.to_str().unwrap(), reference, "--no-check", "--json"])
    }
}

/// A small run with entropy from a registry.
fn run_with(reference: &str, keys: &str) -> Small {
    let small = Small::new();
    let entropy = plugin_table("entropy", &component("entropy"), "weight = 0.03");
    let published = plugin_table("entropy", reference.as_ref(), &format!("weight = 0.03\n{keys}"));
    small.write("run.toml", &small.read("run.toml").replace(&entropy, &published));
    small
}

fn train<'a>(user: &User, command: &'a mut Command) -> &'a mut Command {
    user.with(command).args(["--set", "train.steps=1"])
}

#[test]
fn a_published_plugin_is_pinned_and_runs_without_the_registry() {
    let Some(mut registry) = Registry::start() else { return };
    let user = User::new();
    let (file, tag) = (component("entropy"), registry.reference("team/entropy:1.0.0"));
    let published = user.json(&["plugin", "publish", file.to_str().unwrap(), &tag, "--json"]);
    let reference = published["reference"].as_str().unwrap();
    assert!(reference.starts_with(&format!("{tag}@sha256:")), "{reference}");
    // The same component again is the same artifact.
    assert_eq!(user.publish(&file, &tag)["reference"], reference);

    let pulled = user.json(&["plugin", "pull", &tag, "--json"]);
    assert_eq!(pulled["reference"], reference);
    assert_eq!((&pulled["roles"], &pulled["name"]), (&"objective".into(), &"alft-entropy".into()));
    assert_eq!(pulled["imports"], json!(["alft:objective/diagnostics@1.0.0", "alft:objective/types@1.0.0"]));
    assert_eq!(pulled["conformance"]["failed"], 0, "{pulled}");
    assert!(pulled["conformance"]["passed"].as_u64().unwrap() > 5, "{pulled}");
    assert_eq!(fs::read(pulled["file"].as_str().unwrap()).unwrap(), fs::read(&file).unwrap());

    // A tag is what the lock says, and nothing without one.
    let small = run_with(&tag, "");
    fail(train(&user, &mut small.train("x")), 5, &["plugin \"entropy\"", &tag, "alft plugin lock"]);
    succeed(user.with(&mut small.command(&["plugin", "lock", "run.toml"])));
    let lock = small.read("alft.lock");
    assert!(lock.contains(&format!("oci = \"{reference}\"")), "{lock}");

    registry.stop();
    succeed(train(&user, &mut small.train("locked")));
    // The run file of the run's folder is the user's.
    assert!(small.read("locked/run.toml").contains(&tag));
    // A reference with a digest needs no lock.
    let digest = run_with(&reference.replace(":1.0.0@", "@"), "");
    succeed(train(&user, &mut digest.train("digest")));

    let list: Value = serde_json::from_slice(
        &succeed(user.with(&mut small.command(&["plugin", "list", "run.toml", "--json"]))).stdout,
    )
    .unwrap();
    let run = list["run"].as_array().unwrap().iter().find(|row| row["name"] == "entropy").unwrap();
    for row in [&list["cache"][0], run] {
        assert_eq!(row["roles"], "objective", "{list}");
        assert_eq!(row["bytes"], fs::metadata(&file).unwrap().len(), "{list}");
        assert_eq!(row["conformance"]["failed"], 0, "{list}");
    }
    assert_eq!(list["cache"][0]["source"], reference);
    assert_eq!(list["lock"].as_array().unwrap().len(), 3);
    let text = all_text(&succeed(user.with(&mut small.command(&["plugin", "list", "run.toml"]))));
    assert!(["cache", "alft.lock", "run", reference].iter().all(|part| text.contains(part)), "{text}");

    // A resumed run has all that it needs in its folder.
    fs::remove_dir_all(user.cache()).unwrap();
    succeed(user.with(&mut small.resume("locked")).args(["--set", "train.steps=2"]));
    fail(train(&user, &mut small.train("y")), 5, &["plugin \"entropy\"", "cannot be reached"]);
}

#[test]
fn other_tools_read_the_artifact() {
    let Some(registry) = Registry::start() else { return };
    let tag = registry.reference("entropy:1.0.0");
    let published = User::new().publish(&component("entropy"), &tag);
    let inspect = |args: &[&str]| {
        let mut command = Command::new("skopeo");
        command.args(args).arg("--tls-verify=false").arg(tag.replace("oci://", "docker://"));
        command.output().ok()
    };
    let Some(raw) = inspect(&["inspect", "--raw"]) else { return skipped("skopeo is not installed") };
    let manifest: Value = serde_json::from_slice(&succeeded(raw).stdout).unwrap();
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"][0]["digest"], published["component"]);
    assert_eq!(manifest["annotations"]["alft.roles"], "objective");
    let config = succeeded(inspect(&["inspect", "--raw", "--config"]).unwrap());
    let config: Value = serde_json::from_slice(&config.stdout).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"], json!([published["component"]]));

    let folder = tempfile::tempdir().unwrap();
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--src-tls-verify=false"]).arg(tag.replace("oci://", "docker://"));
    succeeded(copy.arg(format!("dir:{}", folder.path().display())).output().unwrap());
    let layer = published["component"].as_str().unwrap().trim_start_matches("sha256:");
    assert_eq!(fs::read(folder.path().join(layer)).unwrap(), fs::read(component("entropy")).unwrap());
}

#[test]
fn oras_crane_and_wkg_work_on_the_artifact() {
    let Some(registry) = Registry::start() else { return };
    let user = User::new();
    let tag = registry.reference("entropy:1.0.0");
    let file = component("entropy");
    let published = user.json(&["plugin", "publish", file.to_str().unwrap(), &tag, "--json"]);
    let name = tag.trim_start_matches("oci://");
    let digest = published["reference"].as_str().unwrap().split_once('@').unwrap().1;

    if let Some(output) = user.tool("crane", &["digest", name]) {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), digest);
        // A copy is the same plugin, under another name.
        let copy = format!("{}/copy:2", registry.host);
        user.tool("crane", &["copy", name, &copy]).unwrap();
        assert_eq!(user.json(&["plugin", "pull", &format!("oci://{copy}"), "--json"])["digest"], digest);
    }
    if user.tool("oras", &["pull", "--plain-http", name]).is_some() {
        assert_eq!(fs::read(user.home.path().join("alft-entropy.wasm")).unwrap(), fs::read(&file).unwrap());
        // The results of the conformance tests are a referrer.
        let output = user.tool("oras", &["discover", "--plain-http", "--format", "json", name]).unwrap();
        let referrers: Value = serde_json::from_slice(&output.stdout).unwrap();
        let referrer = &referrers["referrers"][0];
        assert_eq!(referrer["artifactType"], "application/vnd.alft.conformance.v1+json", "{referrers}");
        user.tool("oras", &["pull", "--plain-http", referrer["reference"].as_str().unwrap()]).unwrap();
        let report: Value =
            serde_json::from_slice(&fs::read(user.home.path().join("conformance.json")).unwrap()).unwrap();
        assert_eq!(report["failed"], 0, "{report}");
    }
    if user.tool("wkg", &["oci", "pull", name, "--insecure", &registry.host, "--output", "wkg.wasm"]).is_some() {
        assert_eq!(fs::read(user.home.path().join("wkg.wasm")).unwrap(), fs::read(&file).unwrap());
        // And what it publishes can be pulled.
        let other = format!("{}/by-wkg:1.0.0", registry.host);
        user.tool("wkg", &["oci", "push", &other, file.to_str().unwrap(), "--insecure", &registry.host]).unwrap();
        let pulled = user.json(&["plugin", "pull", &format!("oci://{other}"), "--json"]);
        assert_eq!(fs::read(pulled["file"].as_str().unwrap()).unwrap(), fs::read(&file).unwrap());
    }
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", all_text(&output));
    output
}

#[test]
fn content_that_was_tampered_with_is_not_used() {
    let Some(registry) = Registry::start() else { return };
    let (user, tag) = (User::new(), registry.reference("entropy:1.0.0"));
    let published = user.publish(&component("entropy"), &tag);
    let layer = published["component"].as_str().unwrap();
    let stored = registry.stored(layer);
    let good = fs::read(&stored).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&stored, bad).unwrap();
    fail(&mut user.command(&["plugin", "pull", &tag]), 5, &["component of", "is not what its digest names", layer]);
    fs::write(&stored, &good[..good.len() - 1]).unwrap();
    fail(&mut user.command(&["plugin", "pull", &tag]), 5, &["the component of"]);
    assert!(!user.has(layer));

    // Damaged content of the cache is fetched again.
    fs::write(&stored, &good).unwrap();
    let pulled = user.json(&["plugin", "pull", &tag, "--json"]);
    let cached = pulled["file"].as_str().unwrap();
    fs::write(cached, "damaged").unwrap();
    succeed(&mut user.command(&["plugin", "pull", pulled["reference"].as_str().unwrap()]));
    assert_eq!(fs::read(cached).unwrap(), good);

    let none = format!("{}@{}", registry.reference("entropy"), Digest::of(b"none"));
    fail(&mut user.command(&["plugin", "pull", &none]), 5, &["does not exist"]);
}

#[test]
fn a_moved_tag_does_not_change_a_locked_run() {
    let Some(registry) = Registry::start() else { return };
    let (user, tag) = (User::new(), registry.reference("entropy:1.0.0"));
    let first = user.publish(&component("entropy"), &tag);
    let small = run_with(&tag, "");
    succeed(user.with(&mut small.command(&["plugin", "lock", "run.toml"])));

    let gini = component("gini");
    let other = ["plugin", "publish", gini.to_str().unwrap(), &tag, "--no-check"];
    fail(&mut user.command(&other), 5, &["exists already", "--overwrite"]);
    succeed(user.command(&other).arg("--overwrite"));
    // Another user has the lock and nothing in the cache.
    let text = all_text(&succeed(train(&User::new(), &mut small.train("locked"))));
    assert!(text.contains("entropy") && !text.contains("gini"), "{text}");

    let text = all_text(&succeed(user.with(&mut small.command(&["plugin", "lock", "run.toml"]))));
    let digest = first["reference"].as_str().unwrap().split_once('@').unwrap().1;
    assert!(
        text.contains(&format!("the tag 1.0.0 of {}/entropy was {digest} and is sha256:", registry.host)),
        "{text}"
    );
    let lock = small.read("alft.lock");
    assert!(!lock.contains(digest), "{lock}");
    // A run file that asks for another digest than the lock has.
    small.write("run.toml", &small.read("run.toml").replace(&tag, first["reference"].as_str().unwrap()));
    fail(train(&user, &mut small.train("x")), 5, &["is not the plugin that alft.lock pins", "alft plugin lock"]);
}

#[test]
fn only_sandboxed_components_are_published() {
    let user = User::new();
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens there: each is refused before the registry is asked.
    let tag = "oci://127.0.0.1:1/x:1";
    let publish = |name: &str, bytes: &[u8], texts: &[&str]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        fail(&mut user.command(&["plugin", "publish", file.to_str().unwrap(), tag, "--no-check"]), 5, texts);
    };
    let native = fs::read(built("entropy", Form::Native)).unwrap();
    publish("library.so", &native, &["library.so is a native library", "publish the component"]);
    publish("wasi.wasm", &component_with_wasi(), &[WASI]);
    publish("module.wasm", &wat::parse_str("(module)").unwrap(), &["module.wasm"]);
    publish("text.wasm", b"text", &["text.wasm is no component"]);
    let entropy = component("entropy");
    let digest = format!("oci://127.0.0.1:1/x@{}", Digest::of(b""));
    let publish = |reference: &str, code, texts: &[&str]| {
        let args = ["plugin", "publish", entropy.to_str().unwrap(), reference, "--no-check"];
        fail(&mut user.command(&args), code, texts);
    };
    publish(&digest, 5, &["a tag and no digest"]);
    publish("oci://127.0.0.1:1/x", 2, &["neither a tag nor a digest"]);
    publish(tag, 5, &["cannot be reached"]);
}

fn component_with_wasi() -> Vec<u8> {
    wat::parse_str(format!("(component (import \"{WASI}\" (instance)))")).unwrap()
}

/// An answer: the status, further headers, and the body.
type Answer = (u16, String, Vec<u8>);

/// The first lines of requests, each with its header `Authorization`.
type Requests = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A server that answers as it is told to, and remembers the requests: their first line and the header `Authorization`.
struct Server {
    host: String,
    requests: Requests,
}

impl Server {
    fn start(answer: impl Fn(&str, Option<&str>) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client may end the connection at any time.
                let _ = Self::serve(stream, &answer, &seen);
            }
        });
        Self { host, requests }
    }

    fn serve(
        stream: TcpStream,
        answer: &impl Fn(&str, Option<&str>) -> Answer,
        seen: &Mutex<Vec<(String, Option<String>)>>,
    ) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let (mut authorization, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((key, value)) = line.trim_end().split_once(": ") else { break };
            match key.to_lowercase().as_str() {
                "authorization" => authorization = Some(value.to_owned()),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, headers, body) = answer(&target, authorization.as_deref());
        seen.lock().unwrap().push((target, authorization));
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status} x\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        stream.write_all(&body)
    }

    fn targets(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(target, _)| target.clone()).collect()
    }
}

/// The documents of an artifact: its manifest and its config.
struct Documents {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Digest,
}

/// Makes the documents of a component. `size` is what the manifest says of its size.
fn documents(component: &[u8], size: u64, imports: &[&str]) -> Documents {
    let layer = Digest::of(component);
    let config = json!({
        "created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2", "layerDigests": [layer],
        "component": { "imports": imports, "exports": [] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json", "digest": Digest::of(&config), "size": config.len(),
        },
        "layers": [{ "mediaType": "application/wasm", "digest": layer, "size": size }],
        "annotations": { "org.opencontainers.image.title": "name\u{1b}[2J" },
    });
    Documents { manifest: manifest.to_string().into_bytes(), config, layer }
}

/// Serves an artifact under every tag and digest; `layer` answers for its component.
fn serve(documents: Documents, layer: impl Fn() -> Answer + Send + 'static) -> Server {
    Server::start(move |target, _| match target {
        _ if target.contains("/manifests/sha256-") || target.contains("/referrers/") => {
            (404, String::new(), Vec::new())
        }
        _ if target.contains("/manifests/") => (200, String::new(), documents.manifest.clone()),
        _ if target.ends_with(&documents.layer.to_string()) => layer(),
        _ => (200, String::new(), documents.config.clone()),
    })
}

#[test]
fn a_strangers_registry_is_refused_before_any_code_is_fetched() {
    let user = User::new();
    let wasi = component_with_wasi();
    let pull = |server: &Server, texts: &[&str]| {
        let reference = format!("oci://{}/x:1", server.host);
        fail(&mut user.command(&["plugin", "pull", &reference]), 5, texts);
        server.targets()
    };
    let asked_for = |targets: &[String], digest: &Digest| targets.iter().any(|target| target.contains(digest.hex()));
    let none = || -> Answer { unreachable!("the component is not fetched") };

    // The manifest names a component of 10 GB.
    let huge = documents(&wasi, 10_000_000_000, &[]);
    let (layer, config) = (huge.layer.clone(), Digest::of(&huge.config));
    let targets = pull(&serve(huge, none), &["10000000000 bytes", "limits.component_size"]);
    assert!(!asked_for(&targets, &layer) && !asked_for(&targets, &config), "{targets:?}");

    // The config names an import that a plugin may not have. The facts are shown, without what steers a terminal.
    let honest = documents(&wasi, wasi.len() as u64, &[WASI]);
    let layer = honest.layer.clone();
    let targets = pull(&serve(honest, none), &[WASI, "name\\u{1b}[2J"]);
    assert!(!asked_for(&targets, &layer), "{targets:?}");

    // The config hides the import: the component is fetched, compared and not kept.
    let lying = documents(&wasi, wasi.len() as u64, &[]);
    let (layer, bytes) = (lying.layer.clone(), wasi.clone());
    pull(&serve(lying, move || (200, String::new(), bytes.clone())), &[WASI]);
    assert!(!user.has(&layer.to_string()));

    // The component is longer than the manifest says.
    let (short, bytes) = (documents(&wasi, wasi.len() as u64 - 1, &[]), wasi.clone());
    pull(&serve(short, move || (200, String::new(), bytes.clone())), &["the component of"]);

    // A digest is answered with another manifest.
    let server = serve(documents(&wasi, wasi.len() as u64, &[]), none);
    let reference = format!("oci://{}/x@{}", server.host, Digest::of(b"other"));
    fail(&mut user.command(&["plugin", "pull", &reference]), 5, &["the manifest of", "is not what its digest names"]);

    // A page in place of a manifest, and one without end.
    pull(&Server::start(|_, _| (200, String::new(), b"<html>".to_vec())), &["manifest of", "cannot be read"]);
    pull(&Server::start(|_, _| (200, String::new(), vec![b' '; 3 << 20])), &["manifest of", "the limit is 1048576"]);
    pull(&Server::start(|_, _| (500, String::new(), b"no\x1b[2J".to_vec())), &["500", "no\\u{1b}[2J"]);
    assert!(
        !user.cache().join("registry").exists()
            || fs::read_dir(user.cache().join("registry")).unwrap().next().is_none()
    );
}

#[test]
fn redirects_do_not_lead_into_this_network_and_take_no_password_along() {
    let user = User::new();
    let wasi = wat::parse_str("(component)").unwrap();
    let victim = Server::start(|_, _| (200, String::new(), b"secret".to_vec()));
    let inside = format!("http://{}/metadata", victim.host);
    for target in [inside.as_str(), "https://169.254.169.254/latest", "https://localhost/x", "//10.0.0.1/x"] {
        let location = format!("Location: {target}\r\n");
        let server = serve(documents(&wasi, wasi.len() as u64, &[]), move || (307, location.clone(), Vec::new()));
        user.log_in(&server.host);
        let reference = format!("oci://{}/x:1", server.host);
        fail(&mut user.command(&["plugin", "pull", &reference]), 5, &["redirects to", target, "not followed"]);
    }
    assert_eq!(victim.targets(), [""; 0], "nothing is asked there");

    // The same host may redirect to itself.
    let again = "Location: /v2/x/blobs/there\r\n";
    let documents = documents(&wasi, wasi.len() as u64, &[]);
    let layer = documents.layer.to_string();
    let server = Server::start(move |target, _| match target {
        _ if target.contains("sha256-") || target.contains("/referrers/") => (404, String::new(), Vec::new()),
        _ if target.contains("/manifests/") => (200, String::new(), documents.manifest.clone()),
        _ if target.ends_with(&layer) => (307, again.into(), Vec::new()),
        "/v2/x/blobs/there" => (200, String::new(), wasi.clone()),
        _ => (200, String::new(), documents.config.clone()),
    });
    succeed(&mut user.command(&["plugin", "pull", &format!("oci://{}/x:1", server.host)]));
}

#[test]
fn a_password_goes_to_its_registry_alone() {
    let user = User::new();
    let pull = |server: &Server, texts: &[&str]| {
        let reference = format!("oci://{}/x:1", server.host);
        fail(&mut user.command(&["plugin", "pull", &reference]), 5, texts);
    };
    let basic = || {
        Server::start(|_, authorization| match authorization {
            Some("Basic bWU6c2VjcmV0") => (404, String::new(), Vec::new()),
            _ => (401, "WWW-Authenticate: Basic realm=\"x\"\r\n".into(), Vec::new()),
        })
    };
    // Without a login the registry's refusal has a remedy; with one it answers.
    let server = basic();
    pull(&server, &["401", "docker login"]);
    user.log_in(&server.host);
    pull(&server, &["does not exist"]);
    let other = basic();
    pull(&other, &["401"]);
    assert!(other.requests.lock().unwrap().iter().all(|(_, authorization)| authorization.is_none()));

    // A token server elsewhere does not get the password.
    let thief = Server::start(|_, _| (200, String::new(), br#"{"token": "t"}"#.to_vec()));
    let realm = format!(
        "WWW-Authenticate: Bearer realm=\"https://{}/token\"\r\n",
        thief.host.replace("127.0.0.1", "localhost")
    );
    let server = Server::start(move |_, _| (401, realm.clone(), Vec::new()));
    user.log_in(&server.host);
    pull(&server, &["sends logins to", "is not sent"]);
    assert_eq!(thief.targets(), [""; 0]);

    // One on the registry's host gives a token, which is used.
    let tokens = Server::start(|_, authorization| match authorization {
        Some("Basic bWU6c2VjcmV0") => (200, String::new(), br#"{"token": "t"}"#.to_vec()),
        _ => (403, String::new(), Vec::new()),
    });
    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"s\"\r\n", tokens.host);
    let server = Server::start(move |_, authorization| match authorization {
        Some("Bearer t") => (404, String::new(), Vec::new()),
        _ => (401, realm.clone(), Vec::new()),
    });
    user.log_in(&server.host);
    pull(&server, &["does not exist"]);
    let targets = tokens.targets();
    assert!(targets[0].contains("scope=repository%3Ax%3Apull") && targets[0].contains("service=s"), "{targets:?}");
}

#[cfg(unix)]
#[test]
fn a_plugin_that_must_be_signed_is_checked_by_cosign() {
    use std::os::unix::fs::PermissionsExt;
    let Some(registry) = Registry::start() else { return };
    let user = User::new();
    let published = user.publish(&component("entropy"), &registry.reference("entropy:1.0.0"));
    let reference = published["reference"].as_str().unwrap();
    let small = run_with(reference, "signed_by = \"cosign.pub\"");
    small.write("cosign.pub", "a key\n");
    let empty = tempfile::tempdir().unwrap();
    let layer = published["component"].as_str().unwrap();
    let mut command = small.train("a");
    fail(train(&user, command.env("PATH", empty.path())), 5, &["must be signed", "cosign", "not installed"]);
    assert!(!user.has(layer), "nothing is fetched before its signature is checked");

    // A program in cosign's place that accepts this key and this reference.
    let bin = tempfile::tempdir().unwrap();
    let cosign = |key: &Path| {
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {:?}\n[ \"$*\" = \"verify --key={} {}\" ] || {{ echo no matching signatures >&2; exit 1; }}\n",
            bin.path().join("calls"),
            key.display(),
            reference.trim_start_matches("oci://")
        );
        fs::write(bin.path().join("cosign"), script).unwrap();
        fs::set_permissions(bin.path().join("cosign"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    cosign("other.pub".as_ref());
    fail(train(&user, small.train("a").env("PATH", bin.path())), 5, &["no valid signature", "no matching signatures"]);
    assert!(!user.has(layer));
    cosign(&small.path().join("cosign.pub"));
    succeed(train(&user, small.train("a").env("PATH", bin.path())));
    // A signature that was checked is remembered, for this key alone.
    succeed(train(&user, small.train("b").env("PATH", empty.path())));
    small.write("cosign.pub", "another key\n");
    fail(train(&user, small.train("c").env("PATH", empty.path())), 5, &["must be signed"]);
    small.write("run.toml", &small.read("run.toml").replace(reference, "entropy.wasm"));
    fail(train(&user, &mut small.train("c")), 3, &["plugin.entropy.signed_by", "oci://"]);
}

#[test]
fn a_signature_by_cosign_is_valid_for_its_key_and_content() {
    let Some(registry) = Registry::start() else { return };
    let user = User::new();
    if user.tool("cosign", &["generate-key-pair"]).is_none() {
        return;
    }
    let file = component("entropy");
    let published =
        user.json(&["plugin", "publish", file.to_str().unwrap(), &registry.reference("entropy:1.0.0"), "--json"]);
    let reference = published["reference"].as_str().unwrap();
    let small = run_with(reference, "signed_by = { key = \"cosign.pub\", transparency_log = false }");
    small.write("cosign.pub", &fs::read_to_string(user.home.path().join("cosign.pub")).unwrap());
    fail(train(&user, &mut small.train("unsigned")), 5, &["no valid signature", "no signatures found"]);
    assert!(!user.has(published["component"].as_str().unwrap()));

    let name = reference.trim_start_matches("oci://").replace(":1.0.0@", "@");
    let version = all_text(&user.tool("cosign", &["version"]).unwrap());
    let mut args = vec!["sign", "--key", "cosign.key", "--tlog-upload=false", "--yes"];
    // Without a log, cosign 3 wants to be told that it needs no list of services.
    if all_text(&user.tool("cosign", &["sign", "--help"]).unwrap()).contains("--use-signing-config") {
        args.push("--use-signing-config=false");
    }
    args.push(&name);
    user.tool("cosign", &args).unwrap();
    succeed(train(&user, &mut small.train("signed")));
    // Signature and results of the conformance tests both refer to the plugin.
    let pulled =
        user.json(&["plugin", "pull", reference, "--signed-by", "cosign.pub", "--no-transparency-log", "--json"]);
    assert_eq!(pulled["conformance"]["failed"], 0, "{version}: {pulled}");

    // For others the signature is not enough: it stands in no log, or is not by their key.
    let other = User::new();
    other.tool("cosign", &["generate-key-pair"]).unwrap();
    let key = user.home.path().join("cosign.pub");
    let pull = |key: &Path, options: &[&str]| {
        let mut command = other.command(&["plugin", "pull", reference, "--signed-by", key.to_str().unwrap()]);
        fail(command.args(options), 5, &["no valid signature"]);
    };
    pull(&key, &[]);
    pull(&other.home.path().join("cosign.pub"), &["--no-transparency-log"]);
}
