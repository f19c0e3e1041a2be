//! Sends bundles to a server from many connections, and prints the times of their answers as JSON. `benches/peer_serve.py` runs
//! it against `alft serve` and against a server in Python.
//!
//! Arguments: `ADDRESS PATH REQUESTS CONNECTIONS CASES.jsonl`. A line of the cases has `gold` and `pred`; a bundle is a question
//! with eight of the answers. Every sixteenth has a hostile answer: powers of powers, a megabyte of braces, text that is no
//! text.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Answers of a bundle.
const GROUP: usize = 8;
/// A bundle in so many has a hostile answer.
const HOSTILE: usize = 16;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [address, path, requests, connections, cases] = args.as_slice() else {
        println!("usage: load ADDRESS PATH REQUESTS CONNECTIONS CASES.jsonl (see benches/peer_serve.py)");
        return;
    };
    let (requests, connections) = (requests.parse().expect("REQUESTS"), connections.parse().expect("CONNECTIONS"));
    let cases = std::fs::read_to_string(cases).expect("the cases can be read");
    let cases: Vec<Value> = cases.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect();
    let bodies: Vec<String> = (0..256).map(|at| body(&cases, at)).collect();

    let next = AtomicUsize::new(0);
    let (times, statuses) = (Mutex::new(Vec::new()), Mutex::new(std::collections::BTreeMap::<u16, usize>::new()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection: Option<BufReader<TcpStream>> = None;
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= requests {
                        return;
                    }
                    let sent = Instant::now();
                    let stream = connection.take().unwrap_or_else(|| connect(address));
                    let (status, stream) = ask(stream, address, path, &bodies[at % bodies.len()]);
                    connection = stream;
                    times.lock().expect("no thread panics").push(sent.elapsed());
                    *statuses.lock().expect("no thread panics").entry(status).or_default() += 1;
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut times = times.into_inner().expect("no thread panics");
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let statuses = statuses.into_inner().expect("no thread panics");
    let line = json!({
        "requests": requests, "seconds": seconds, "per_second": requests as f64 / seconds,
        "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0),
        "statuses": statuses.iter().map(|(status, count)| (status.to_string(), json!(count))).collect::<serde_json::Map<_, _>>(),
    });
    println!("{line}");
}

/// A question with eight answers, the right one among them.
fn body(cases: &[Value], at: usize) -> String {
    let text = |case: &Value, key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let case = &cases[at % cases.len()];
    let mut completions: Vec<String> = (0..GROUP).map(|n| text(&cases[(at + 7 * n) % cases.len()], "pred")).collect();
    if at % HOSTILE == 0 {
        completions[3] = match at / HOSTILE % 3 {
            0 => "\\boxed{5^{5^{5^{5^5}}}}".into(),
            1 => format!("\\boxed{{{}", "{".repeat(100_000)),
            _ => "\u{202e}\u{7}\\boxed{\u{0}1\u{feff}}".repeat(1000),
        };
    }
    json!({ "questions": [{ "id": at, "prompt": "?", "gold": text(case, "gold"), "completions": completions }] })
        .to_string()
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(300))).expect("a socket");
    BufReader::with_capacity(64 << 10, stream)
}

/// Makes a request. Returns the status, and the connection if it stays open.
fn ask(mut stream: BufReader<TcpStream>, address: &str, path: &str, body: &str) -> (u16, Option<BufReader<TcpStream>>) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("the server reads");
    let (mut status, mut length, mut close) = (0, 0, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("the server answers");
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        } else if line.starts_with("http/1.1 ") {
            status = line[9..12].parse().expect("a status");
        }
        close |= line == "connection: close";
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).expect("the server answers");
    (status, (!close).then_some(stream))
}
