//! Plugins change while the service runs.

use serde_json::json;

use super::server::{Home, sum};

#[test]
fn an_edit_is_taken_over_and_a_broken_one_is_refused() {
    let home = Home::new("");
    let server = home.start();
    let text = home.0.read("serve.toml");
    let rewards = || {
        let reply = server.post("/v1/score", &json!({ "questions": [sum("a", 2, &[2, 2])] })).ok();
        reply["results"][0]["rewards"][0].as_f64().unwrap()
    };
    let before = rewards();
    home.0.write("serve.toml", &text.replace("weight = 0.25", "weigth = 0.25"));
    server.await_log("the edit of the run file is refused, and the service keeps its plugins: unknown field `weigth`");
    assert_eq!(rewards(), before);
    home.0
        .write("serve.toml", &text.replace("config = { marker = \":\" }", "config = { marker = \":\" }\nweight = 3.0"));
    server.await_log("the edit of the run file is in force");
    assert_eq!(rewards(), before + 2.0);
    server.signal("HUP");
    for _ in 0..600 {
        if server.log().matches("is in force").count() == 2 {
            server.stop();
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("SIGHUP did nothing: {}", server.log());
}

#[test]
fn another_reader_begins_with_new_targets() {
    let home = Home::new("");
    let text = home.0.read("serve.toml");
    let body = json!({ "questions": [sum("a", 2, &[2, 3, 3, 3])] });
    let server = home.start();
    let first = server.post("/v1/runs/r/rewards", &body).ok();
    server.post("/v1/runs/r/rewards", &json!({ "questions": [sum("a", 2, &[2, 2, 2, 2])] })).ok();
    // The same keys under another configuration, so the target begins as that of a new run.
    home.0.write("serve.toml", &text.replace("marker = \":\"", "marker = \"is :\""));
    server.await_log("the edit of the run file is in force");
    assert_eq!(server.post("/v1/runs/r/rewards", &body).ok(), first);
}
