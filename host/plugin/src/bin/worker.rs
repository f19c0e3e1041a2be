//! A worker by itself, for programs that embed this crate and cannot be started again as one: its tests, for one.

fn main() -> std::process::ExitCode {
    alft_plugin_host::worker::serve(std::env::args_os().skip(1))
}
