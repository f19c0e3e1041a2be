//! Standard output, for data. A reader that stops reading (`alft … | head`) ends the program, quietly.

use std::fmt::Arguments;
use std::io::Write;

/// Prints a line.
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if out.write_fmt(text).and_then(|()| out.write_all(b"\n")).is_err() {
        std::process::exit(0);
    }
}

/// `println!` that ends the program when the reader is gone.
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
