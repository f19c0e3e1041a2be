//! Wrong requests get a clear refusal and cost nobody else anything.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::json;

use super::server::{Home, Server, sum};
use crate::support::fail;

/// The service answers a right request.
fn is_well(server: &Server) {
    let reply = server.post("/v1/score", &json!({ "questions": [sum("a", 2, &[2, 3])] })).ok();
    assert_eq!(reply["results"][0]["scores"]["arithmetic"], json!([1.0, 0.0]));
}

#[test]
fn wrong_bodies_are_named() {
    let home = Home::new("");
    let server = home.start();
    let deep = format!("{{\"questions\": {}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let nested = format!(
        "{{\"questions\": [{{\"prompt\": \"a\", \"completions\": [\"b\"], \"m\": {}{}}}]}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let cases: [(&[u8], u16, &str); 9] = [
        (b"{\"questions\": [{\"prompt\"", 400, "no JSON"),
        (b"", 400, "no JSON"),
        (b"{\"questions\": [{\"prompt\": \"\xff\"}]}", 400, ""),
        (b"[1, 2]", 422, "the body is a list: write an object"),
        (b"{\"questions\": 7}", 422, "cannot be read"),
        (b"{\"questions\": [{\"prompt\": \"a\", \"completions\": \"b\"}]}", 422, "questions[0]: `completions`"),
        (b"{\"questions\": [{\"prompt\": \"a\", \"completions\": [\"b\"], \"gold\": []}]}", 422, "`gold` must be a text"),
        (b"{\"questions\": [{\"id\": 1, \"prompt\": \"a\", \"completions\": [\"b\"]}, {\"id\": 1, \"prompt\": \"a\", \"completions\": [\"b\"]}]}", 422, "questions[1]: the id \"1\""),
        (deep.as_bytes(), 422, "questions"),
    ];
    for (body, status, words) in cases {
        server.request("POST", "/v1/score", &[], body).is_refused(status, words);
    }
    // Metadata goes to plugins as it is.
    let reply = server.request("POST", "/v1/score", &[], nested.as_bytes());
    assert!([200, 400, 422].contains(&reply.status), "{reply:?}");
    server.request("POST", "/v1/runs/..%2F..%2Fx/rewards", &[], b"{}").is_refused(422, "the name of a run");
    server.request("POST", "/v1/runs/.x/rewards", &[], b"{}").is_refused(422, "begins with no dot");
    server.request("POST", "/v1/runs/x/rewards", &[("Idempotency-Key", "")], b"{}").is_refused(422, "1 to 128");
    server.request("GET", "/v1/score", &[], b"").is_refused(405, "no such method");
    server.get("/v2/score").is_refused(404, "/openapi.json");
    is_well(&server);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn bodies_and_clients_have_bounds() {
    let home = Home::new("max_body = 100000\nidle_s = 1\nconnections = 1100");
    let server = home.start();
    let large = format!("{{\"questions\": \"{}\"}}", "x".repeat(200_000));
    server.request("POST", "/v1/score", &[], large.as_bytes()).is_refused(413, "100000 bytes");
    // 100 MB that nobody reads, with a length and in pieces without one.
    let head = "POST /v1/score HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    server.send(format!("{head}Content-Length: 100000000\r\n\r\n{{").as_bytes()).is_refused(413, "100000 bytes");
    let piece = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000));
    server.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", piece.repeat(3)).as_bytes()).is_refused(413, "");
    // A head that never ends, and a body that stops.
    let mut slow = server.connect();
    slow.write_all(b"POST /v1/score HTTP/1.1\r\nHost: ").unwrap();
    let mut end = String::new();
    slow.read_to_string(&mut end).unwrap();
    assert!(end.is_empty() || end.starts_with("HTTP/1.1 408"), "{end}");
    server.send(format!("{head}Content-Length: 100\r\n\r\n{{\"que").as_bytes()).is_refused(408, "within 1 s");
    // Half-closed, and a thousand that say nothing.
    let half = server.connect();
    half.shutdown(Shutdown::Write).unwrap();
    // This process may have few files open at once, and other tests run in it.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let many = if soft.unwrap_or(0) > 4000 { 1000 } else { 100 };
    let idle: Vec<TcpStream> = (0..many).map(|_| server.connect()).collect();
    is_well(&server);
    drop((half, idle));
    // Bytes that are no HTTP.
    let mut garbage = server.connect();
    garbage.write_all(&[0, 159, 146, 150, 13, 10, 13, 10]).unwrap();
    let mut answer = Vec::new();
    let _ = garbage.read_to_end(&mut answer);
    is_well(&server);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_token_is_asked_for_and_never_told() {
    let home = Home::new("token_env = \"ALFT_TEST_TOKEN\"");
    fail(&mut home.command(), 3, &["ALFT_TEST_TOKEN, which `serve.token_env` names, is not set"]);
    let server = Server::start(home.command().env("ALFT_TEST_TOKEN", "s3cret-token"));
    let body = json!({ "questions": [sum("a", 2, &[2])] }).to_string();
    let ask = |headers: &[(&str, &str)]| server.request("POST", "/v1/score", headers, body.as_bytes());
    ask(&[]).is_refused(401, "Authorization: Bearer");
    ask(&[("Authorization", "Bearer s3cret-tokeN")]).is_refused(401, "Bearer");
    ask(&[("Authorization", "Basic s3cret-token")]).is_refused(401, "Bearer");
    assert_eq!(ask(&[("Authorization", "Bearer s3cret-token")]).status, 200);
    server.get("/metrics").is_refused(401, "Bearer");
    assert_eq!(server.get("/healthz").status, 200);
    assert!(!server.log().contains("s3cret"), "{}", server.log());
}

#[test]
fn other_machines_need_a_token() {
    let home = Home::new("");
    let open = &["--set", "serve.listen=0.0.0.0:0"];
    fail(home.command().args(open), 3, &["`serve.listen` is 0.0.0.0:0, which other machines reach", "token_env"]);
}

#[test]
fn a_disk_that_refuses_a_record_is_told_without_its_path() {
    let home = Home::new("");
    let server = home.start();
    std::fs::create_dir_all(home.path().join("out/serve/runs/r/ledger")).unwrap();
    let reply = server.post("/v1/runs/r/rewards", &json!({ "questions": [sum("a", 2, &[2])] }));
    reply.is_refused(503, "its log has the reason");
    assert!(!reply.body.contains("out/serve"), "{reply:?}");
    server.await_log("out/serve/runs/r/ledger");
    std::fs::remove_dir(home.path().join("out/serve/runs/r/ledger")).unwrap();
    server.post("/v1/runs/r/rewards", &json!({ "questions": [sum("a", 2, &[2])] })).ok();
}
