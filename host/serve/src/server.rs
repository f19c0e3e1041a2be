//! Connections, signals, edits of the run file, and the end of the service.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alft_plugin_host::Worker;
use alft_runtime::chain;
use alft_runtime::config::{RunFileWatcher, Serve, ServeFile};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::event::{Observer, ServeEvent};
use crate::http::{App, router};
use crate::service::Service;

/// Stack of the threads on which plugins are called, in bytes: a guest's stack lies on its caller's.
const STACK: usize = 16 << 20;

/// The time in which requests under way are answered once the service is told to end.
const GRACE: Duration = Duration::from_secs(30);

/// Everything that the service starts from.
pub struct ServeOptions {
    /// The run file.
    pub run_file: PathBuf,
    /// Overrides of its keys, as `key.path=value`.
    pub overrides: Vec<String>,
    /// The folder in which `alft.lock` is looked for.
    pub lock_dir: PathBuf,
    /// The program that compiles components and runs native libraries in child processes.
    pub worker: Worker,
    /// Whoever is told the events.
    pub observer: Observer,
}

/// Answers requests until the process gets SIGTERM or SIGINT. Then it answers those under way, and returns. SIGHUP and edits of
/// the run file replace the plugins.
///
/// # Errors
/// Anything that is missing or wrong before the service listens; records that cannot be written at its end.
pub fn serve(options: ServeOptions) -> Result<()> {
    let ServeOptions { run_file, overrides, lock_dir, worker, observer } = options;
    let (watcher, file) = RunFileWatcher::of(run_file, overrides, ServeFile::parse)?;
    let token = file.serve.token_env.as_ref().map(|variable| {
        let token = std::env::var(variable).ok().filter(|token| !token.is_empty());
        token.ok_or_else(|| Error::Token { variable: variable.clone() })
    });
    let token = token.transpose()?;
    let service = Service::open(&file, lock_dir, worker, &mut |event| observer(&ServeEvent::Plugin(event)))?;
    let address = file.serve.listen;
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    allow_open_files();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(file.serve.concurrency + 8)
        .thread_stack_size(STACK)
        .thread_name("alft-serve")
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let app = Arc::new(App::new(Arc::new(service), token.as_deref(), observer));
    threads.block_on(run(&app, listener, watcher))?;
    let service = Arc::clone(&app.service);
    // Threads that still work are waited for no longer.
    threads.shutdown_timeout(Duration::from_secs(1));
    service.sync()
}

async fn run(app: &Arc<App>, listener: TcpListener, watcher: RunFileWatcher<ServeFile>) -> Result<()> {
    let Serve { connections, idle_s, listen: address, .. } = app.service.settings;
    let listen = |source| Error::Listen { address, source };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Threads)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Threads)?;
    let follow =
        tokio::spawn(follow_edits(Arc::clone(app), watcher, signal(SignalKind::hangup()).map_err(Error::Threads)?));
    (app.observer)(&ServeEvent::Listening { address: listener.local_addr().map_err(listen)? });

    let router = router(Arc::clone(app));
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(connections));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(idle_s)).max_buf_size(64 << 10);
    let accept = async {
        loop {
            // Further clients wait until a connection ends.
            let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            let Ok((stream, _)) = listener.accept().await else {
                // No more files can be open: connections have to end first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            let connection = graceful.watch(connection);
            let app = Arc::clone(app);
            tokio::spawn(async move {
                let _place = place;
                app.service.metrics.connections.inc();
                // A connection that breaks costs nobody else anything.
                let _ = connection.await;
                app.service.metrics.connections.dec();
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    (app.observer)(&ServeEvent::Stopping);
    follow.abort();
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}

/// Takes over edits of the run file, looked for every second and at SIGHUP.
async fn follow_edits(app: Arc<App>, mut watcher: RunFileWatcher<ServeFile>, mut hangup: tokio::signal::unix::Signal) {
    loop {
        let asked = tokio::time::timeout(Duration::from_secs(1), hangup.recv()).await.is_ok();
        let of_edit = Arc::clone(&app);
        let follow = move || {
            let edit = if asked { Some(watcher.read_again()) } else { watcher.poll() };
            if let Some(edit) = edit {
                take_over(&of_edit, edit);
            }
            watcher
        };
        match tokio::task::spawn_blocking(follow).await {
            Ok(back) => watcher = back,
            Err(_) => return,
        }
    }
}

fn take_over(app: &App, edit: alft_runtime::Result<ServeFile>) {
    let observer = &app.observer;
    let reloaded = edit.map_err(Error::from).and_then(|file| {
        app.service.reload(&file, &mut |event| observer(&ServeEvent::Plugin(event)))?;
        Ok(file)
    });
    match reloaded {
        Ok(file) => {
            observer(&ServeEvent::Reloaded);
            if file.serve != app.service.settings {
                observer(&ServeEvent::NeedsRestart);
            }
        }
        Err(error) => observer(&ServeEvent::ReloadRefused { reason: chain(&error) }),
    }
}

/// Allows as many open files as the system grants: each connection is one.
fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
