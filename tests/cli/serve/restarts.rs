//! A service that is killed again and again ends where one left alone does.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Home, Server, sum, try_request};
use crate::support::succeed;

const CLIENTS: u32 = 4;
const REQUESTS: u32 = 60;
const KILLS: usize = 20;

/// The `n`th request of a client: its own questions, so that the order of clients does not matter.
fn body(client: u32, n: u32) -> Vec<u8> {
    let answers: Vec<u32> = (0..4).map(|at| (client + n * 7 + at * at) % 5).collect();
    json!({ "questions": [sum(&format!("{client}/{}", n % 3), client, &answers)] }).to_string().into_bytes()
}

/// Makes all requests, each until it is answered. Returns the answers by client.
fn ask_all(address: &Arc<Mutex<String>>, answered: &Arc<AtomicUsize>) -> Vec<Vec<String>> {
    let client = |client: u32| {
        let (address, answered) = (Arc::clone(address), Arc::clone(answered));
        std::thread::spawn(move || {
            let answer = |n: u32| loop {
                let (key, to) = (format!("{client}-{n}"), address.lock().unwrap().clone());
                let headers = [("Idempotency-Key", key.as_str())];
                match try_request(&to, "POST", "/v1/runs/r/rewards", &headers, &body(client, n)) {
                    Some(reply) if reply.status == 200 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                        return reply.body;
                    }
                    Some(reply) => assert!([429, 503].contains(&reply.status), "{reply:?}"),
                    None => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            (0..REQUESTS).map(answer).collect::<Vec<String>>()
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

/// The targets of the run after a graceful stop, and the number of its steps.
fn state(home: &Home) -> (Value, u64) {
    let journal = fs::read_to_string(home.path().join("out/serve/runs/r/journal.jsonl")).unwrap();
    let mut targets = serde_json::Map::new();
    let mut steps = 0;
    for line in journal.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        steps = entry["step"].as_u64().unwrap();
        targets.extend(entry["targets"].as_object().unwrap().clone());
    }
    (targets.into(), steps)
}

#[test]
fn a_service_that_is_killed_under_load_loses_nothing() {
    let (alone, killed) = (Home::new(""), Home::new(""));
    let server = alone.start();
    let address = Arc::new(Mutex::new(server.address.clone()));
    let expected = ask_all(&address, &Arc::default());
    server.stop();

    let server = Arc::new(Mutex::new(Some(killed.start())));
    let address = Arc::new(Mutex::new(server.lock().unwrap().as_ref().unwrap().address.clone()));
    let (answered, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let killer = {
        let (server, address, answered, done) =
            (Arc::clone(&server), Arc::clone(&address), Arc::clone(&answered), Arc::clone(&done));
        let mut command = killed.command();
        std::thread::spawn(move || {
            let mut kills = 0;
            let total = (CLIENTS * REQUESTS) as usize;
            for kill in 1..=KILLS {
                // At different moments of the work, and while it goes on.
                while answered.load(Ordering::Relaxed) < kill * total / (KILLS + 1) && !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let mut place = server.lock().unwrap();
                // Kills.
                drop(place.take());
                let next = Server::start(&mut command);
                *address.lock().unwrap() = next.address.clone();
                *place = Some(next);
                kills += 1;
            }
            kills
        })
    };
    let answers = ask_all(&address, &answered);
    done.store(true, Ordering::Relaxed);
    assert_eq!(killer.join().unwrap(), KILLS);
    server.lock().unwrap().take().unwrap().stop();

    assert!(answers == expected, "every client got the answers of the service that was left alone");
    assert_eq!(state(&killed), state(&alone));
    assert_eq!(state(&killed).1, u64::from(CLIENTS * REQUESTS));
    let calls = |home: &Home| {
        let replayed = succeed(&mut home.0.command(&["replay", "out/serve/runs/r", "--json"]));
        let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
        (report["calls"].clone(), report["fuel"].clone(), report["incomplete_bytes"].clone())
    };
    assert_eq!(calls(&killed), calls(&alone));
}

#[test]
fn requests_under_way_are_answered_before_the_end() {
    let home = Home::new("");
    let server = home.start();
    let (address, many) = (server.address.clone(), (0..2000).map(|at| sum(&at.to_string(), 2, &[2, 3, 4])));
    let body = json!({ "questions": many.collect::<Vec<_>>() }).to_string();
    let client = std::thread::spawn(move || try_request(&address, "POST", "/v1/runs/r/rewards", &[], body.as_bytes()));
    while !server.get("/metrics").body.contains("alft_requests_in_flight 1") && !client.is_finished() {}
    server.stop();
    assert_eq!(client.join().unwrap().unwrap().ok()["results"].as_array().unwrap().len(), 2000);
}

#[test]
fn one_service_has_the_folder() {
    let home = Home::new("");
    let _server = home.start();
    crate::support::fail(&mut home.command(), 7, &["another process works on this run"]);
}
