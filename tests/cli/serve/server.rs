//! A service in a scratch folder, and requests to it as bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Small, component, plugin_table};

/// A folder with a run file of a service.
pub(crate) struct Home(pub(crate) Small);

/// A service that runs. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// Standard error so far.
    log: Arc<Mutex<String>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The head, in small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Home {
    /// A service of `arithmetic` and `entropy`, whose targets move half of the way, with `keys` as further lines.
    pub(crate) fn new(keys: &str) -> Self {
        let plugins = [
            plugin_table("arithmetic", &component("arithmetic"), "config = { marker = \":\" }"),
            plugin_table("entropy", &component("entropy"), "weight = 0.25"),
        ];
        Self::with(keys, &plugins.concat())
    }

    pub(crate) fn with(keys: &str, plugins: &str) -> Self {
        let home = Self(Small::new());
        home.0.write(
            "serve.toml",
            &format!("output = \"out\"\ntarget = {{ dynamics = \"mirror\", rate = 0.5 }}\n{plugins}\n[serve]\nlisten = \"127.0.0.1:0\"\n{keys}\n"),
        );
        home
    }

    pub(crate) fn command(&self) -> Command {
        self.0.command(&["serve", "serve.toml"])
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(&mut self.command())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the service did not start: {log}");
            log += &line;
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        let log = Arc::new(Mutex::new(log));
        let more = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *more.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, address, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has these words.
    pub(crate) fn await_log(&self, words: &str) {
        for _ in 0..1200 {
            if self.log().contains(words) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no \"{words}\" in the log: {}", self.log());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends the service as a service manager does.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert!(self.wait().success(), "{}", self.log());
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.request("POST", path, &[], body.to_string().as_bytes())
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        try_request(&self.address, method, path, headers, body).unwrap()
    }

    /// Sends bytes as they are, and reads until the end of the connection.
    pub(crate) fn send(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        Reply::read(&mut stream).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes one request on a connection of its own; `None` if the service went away.
pub(crate) fn try_request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    // A refusal may come before the whole body was sent.
    let _ = stream.write_all(&[head.as_bytes(), b"\r\n", body].concat());
    Reply::read(&mut stream)
}

impl Reply {
    pub(crate) fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // A connection that is reset after the answer has given the answer.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head
            .to_lowercase()
            .split_once("content-length: ")
            .map(|(_, rest)| rest.split("\r\n").next().unwrap_or_default().parse::<usize>().unwrap());
        (body.len() == length.unwrap_or(body.len())).then_some(())?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer's body, which must be that of a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// Asserts a refusal with these words in its detail.
    pub(crate) fn is_refused(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert!(problem["detail"].as_str().unwrap().contains(words), "no \"{words}\": {self:?}");
        assert!(self.head.contains(&format!("x-request-id: {}", problem["request_id"].as_str().unwrap())), "{self:?}");
    }
}

/// A question of sums with these answers.
pub(crate) fn sum(id: &str, gold: u32, answers: &[u32]) -> Value {
    let completions: Vec<String> = answers.iter().map(|answer| format!("it is :{answer}")).collect();
    json!({ "id": id, "prompt": format!("what is {gold}+0?"), "gold": gold, "completions": completions })
}
