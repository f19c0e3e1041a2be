//! Standard output, for data. A reader that stops reading (`alft … | head`) ends the program, quietly; a full disk ends it
//! with an error.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line.
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.write_all(b"\n")) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// `println!` that ends the program where its output cannot be written.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::print::line(format_args!($($text)*))
    };
}

/// Prints a report as a JSON object or as text.
pub(crate) fn report<R: serde::Serialize + std::fmt::Display>(report: &R, json: bool) {
    match json {
        true => say!("{}", serde_json::to_string(report).expect("a report is plain data")),
        false => say!("{report}"),
    }
}
