//! A worker as a program, for programs that embed this crate and cannot be started again as a worker, such as its tests.

fn main() -> std::process::ExitCode {
    alft_plugin_host::worker::serve(std::env::args_os().skip(1))
}
