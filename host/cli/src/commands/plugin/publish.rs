//! `alft plugin publish`: puts a plugin into a registry, with its facts and the results of its conformance tests.

use std::time::Duration;

use alft_plugin_host::source;
use alft_registry::{Digest, Facts, Publication, Published, Reference};
use alft_runtime::conformance::{TestRun, TestSetup, count_outcomes, run_tests};
use alft_sdk::Manifest;
use alft_text::Foreign;
use serde::Serialize;
use serde_json::{Value, json};

use super::published::verdict;
use super::target::TargetArgs;
use crate::engine;
use crate::error::{Error, Result};
use crate::print;

/// Time limit of each conformance test.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Publish a plugin in a registry.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin publish plugins/math oci://ghcr.io/someone/math:1.2.0\n\n\
The artifact is the standard one of WebAssembly components, which wkg, oras, crane and cosign understand. The conformance \
tests run first, a plugin that does not pass is not published, and the results are attached. A native library is never \
published. Logins are docker's: `docker login HOST`. Exit code 5 if the plugin cannot be published.")]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The name in the registry, with the tag to publish under
    #[arg(value_name = "oci://HOST/NAME:TAG")]
    reference: Reference,
    /// Publish without the conformance tests
    #[arg(long)]
    no_check: bool,
    /// Move the tag if it names another plugin
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The report that is attached. It names no file of this machine.
#[derive(Debug, Serialize)]
struct Report<'a> {
    blake3: &'a str,
    #[serde(flatten)]
    conformance: alft_plugin_host::lock::Conformance,
    seed: u64,
    tests: &'a [TestRun],
}

#[derive(Debug, Serialize)]
struct Printed<'a> {
    /// With the digest: the text for a run file's `path`.
    reference: &'a Reference,
    component: &'a Digest,
    bytes: usize,
    /// The digest of the report's manifest.
    report: Option<&'a Digest>,
}

pub(crate) fn run(args: &PublishArgs) -> Result<()> {
    let name = args.target.name();
    let (target, settings) = args.target.find()?;
    let bytes = source::read(&target.file, &args.target.limits).map_err(Error::open(&name))?;
    alft_registry::publish::check_file(&target.file, &bytes)?;
    let config = Value::Object(settings.configs[0].clone()).to_string();
    let plugin = args.target.open(&target, &config)?.map_err(Error::open(&name))?;
    let (blake3, facts) = (plugin.hash().to_owned(), facts(plugin.manifest(), &config));
    drop(plugin);

    let setup = TestSetup {
        twin: if args.no_check { None } else { target.build_twin()? },
        file: target.file.clone(),
        trust_native: false,
        limits: args.target.limits.clone(),
        settings,
        seed: 0,
    };
    let report = if args.no_check { None } else { Some(report(&setup, &blake3, args)?) };
    let publication = Publication {
        path: &target.file,
        component: &bytes,
        facts,
        report: report.as_deref(),
        overwrite: args.overwrite,
    };
    let Published { reference, layer, report } = alft_registry::publish(&args.reference, &publication)?;
    if args.json {
        let (component, report) = (&layer, report.as_ref());
        print::json(&Printed { reference: &reference, component, bytes: bytes.len(), report });
    } else {
        say!("published  {reference}");
        say!("component  {layer}, {:.1} kB", bytes.len() as f64 / 1e3);
        if let Some(report) = report {
            say!("report     {report}");
        }
    }
    Ok(())
}

fn facts(manifest: &Manifest, config: &str) -> Facts {
    let Manifest { name, version, summary, score_range, concave, gradient, needs_reference } = manifest;
    let claims = json!({
        "config": serde_json::from_str::<Value>(config).unwrap_or_default(),
        "score_range": score_range,
        "concave": concave,
        "gradient": gradient,
        "needs_reference": needs_reference,
    });
    Facts {
        name: Some(Foreign::new(name.clone())),
        version: Some(Foreign::new(version.clone())),
        summary: Some(Foreign::new(summary.clone())),
        claims: Some(Foreign::new(claims.to_string())),
        ..Facts::default()
    }
}

/// Runs the conformance tests, and returns their report.
fn report(setup: &TestSetup, blake3: &str, args: &PublishArgs) -> Result<Vec<u8>> {
    let tests = run_tests(setup, &engine::check_child()?, None, TIME_LIMIT, |_| ());
    let failed: Vec<&str> = tests.iter().filter(|run| !run.passes()).map(|run| run.test).collect();
    if !failed.is_empty() {
        return Err(Error::Check { plugin: args.target.plugin.clone(), tests: failed.join(", ") });
    }
    let conformance = count_outcomes(&tests);
    tell!("{}", verdict(&conformance));
    let report = Report { blake3, conformance, seed: setup.seed, tests: &tests };
    Ok(serde_json::to_vec(&report).expect("a report is plain data"))
}
