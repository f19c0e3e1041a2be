//! A hang costs its own requests; a full queue says when to come again.

use std::time::{Duration, Instant};

use serde_json::json;

use super::server::{Home, sum, try_request};
use crate::support::{component, plugin_table};

/// A reader and a verifier that never returns for answers with a 9. Its calls end by their fuel.
fn hanging(keys: &str, limits: &str) -> Home {
    let plugins = [
        plugin_table("arithmetic", &component("arithmetic"), "roles = [\"reader\"]\nconfig = { marker = \":\" }"),
        plugin_table(
            "hang",
            &component("misbehave"),
            &format!(
                "roles = [\"verifier\"]\nlimits = {{ {limits} }}\nmax_failure_rate = 1.0\nconfig = {{ on = \"9\", fault = \"loop\" }}"
            ),
        ),
    ];
    Home::with(keys, &plugins.concat())
}

#[test]
fn a_hang_costs_its_own_requests() {
    let home = hanging("", "fuel_base = 2_000_000_000");
    let server = home.start();
    let address = server.address.clone();
    let bad = json!({ "questions": [sum("bad", 9, &[9])] }).to_string();
    let hang = std::thread::spawn(move || try_request(&address, "POST", "/v1/runs/r/rewards", &[], bad.as_bytes()));
    while !server.get("/metrics").body.contains("alft_requests_in_flight 1") && !hang.is_finished() {}
    let mut beside = 0;
    while !hang.is_finished() {
        let reply = server.post("/v1/runs/r/rewards", &json!({ "questions": [sum("good", 2, &[2, 3])] })).ok();
        assert_eq!(reply["results"][0]["scores"]["hang"], json!([0.0, 0.0]));
        beside += 1;
    }
    assert!(beside > 3, "others were answered meanwhile: {beside}");
    let reply = hang.join().unwrap().unwrap().ok();
    let failure = reply["results"][0]["scores"]["hang"][0]["failure"].as_str().unwrap();
    assert!(failure.contains("fuel"), "a failure is no number: {reply}");
    assert_eq!(reply["results"][0]["rewards"], json!([null]));
}

#[test]
fn a_full_queue_says_when_to_come_again_and_a_deadline_ends_the_waiting() {
    let home =
        hanging("concurrency = 1\nqueue = 1\ndeadline_s = 2", "fuel_base = 60_000_000_000, deadline_ms = 20_000");
    let server = home.start();
    let begun = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|at| {
            let address = server.address.clone();
            std::thread::sleep(Duration::from_millis(100));
            std::thread::spawn(move || {
                let body = json!({ "questions": [sum(&at.to_string(), 9, &[9])] }).to_string();
                try_request(&address, "POST", "/v1/score", &[], body.as_bytes()).unwrap()
            })
        })
        .collect();
    let replies: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let of = |status: u16| replies.iter().filter(|reply| reply.status == status).collect::<Vec<_>>();
    assert_eq!((of(504).len(), of(429).len()), (2, 2), "{replies:?}");
    of(504)[0].is_refused(504, "not answered within 2 s");
    of(429)[0].is_refused(429, "1 requests wait already");
    assert!(of(429)[0].head.contains("retry-after: 1"), "{replies:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "nobody waited for the plugin");
}

#[test]
fn a_failure_that_aborts_training_refuses_its_request() {
    let home = hanging("", "fuel_base = 1000");
    home.0.write("serve.toml", &home.0.read("serve.toml").replace("max_failure_rate = 1.0", "on_error = \"abort\""));
    let server = home.start();
    let reply = server.post("/v1/runs/r/rewards", &json!({ "questions": [sum("a", 9, &[9])] }));
    reply.is_refused(502, "plugin hang failed");
    reply.is_refused(502, "`on_error` is \"abort\"");
    server.post("/v1/runs/r/rewards", &json!({ "questions": [sum("a", 2, &[2])] })).ok();
}

#[test]
fn a_plugin_that_fails_too_often_makes_the_service_unready() {
    let home = hanging("", "fuel_base = 1000");
    home.0.write("serve.toml", &home.0.read("serve.toml").replace("max_failure_rate = 1.0", ""));
    let server = home.start();
    for at in 0..20 {
        let questions: Vec<_> = (0..5).map(|n| sum(&format!("{at}/{n}"), 9, &[90 + n, 9])).collect();
        server.post("/v1/score", &json!({ "questions": questions })).ok();
    }
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "1 plugins fail too often\n"));
    assert_eq!(server.get("/healthz").status, 200);
}
