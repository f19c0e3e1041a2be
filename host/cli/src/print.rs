//! Everything that is printed: data on standard output, messages on standard error. Files, plugins and paths are written by
//! strangers, so no character that steers a terminal passes, and a line of theirs cannot look like one of alft's. Nothing else
//! in this program prints: `clippy.toml` sees to it.
//!
//! A reader of the data that stops reading (`alft … | head`) ends the program, quietly; a full disk ends it with an error.
//! Nobody need listen to the messages.

use std::fmt::{Arguments, Display, Write as _};
use std::io::{ErrorKind, Write};

use alft_text::steers_terminal;
use serde::Serialize;

/// Longest line for people, in characters. Names and texts of strangers can be as long as a file.
const LONGEST: usize = 2000;

/// Longest message, in lines: the first ones and the last ones are printed. A compiler's words are as long.
const FIRST_LINES: usize = 100;
const LAST_LINES: usize = 100;

/// Prints a line of data. A line break within it is escaped.
pub(crate) fn line(text: Arguments<'_>) {
    write_data(&shown(&text.to_string()));
}

/// Prints several lines of data.
pub(crate) fn lines(text: &str) {
    text.lines().for_each(|text| line(format_args!("{text}")));
}

/// Prints a JSON value on a line.
pub(crate) fn json<T: Serialize>(value: &T) {
    write_data(&alft_text::json(&serde_json::to_string(value).expect("what is printed is plain data")));
}

/// Prints the result of a child process as it is, for the process that started it.
pub(crate) fn for_parent(result: &str) {
    write_data(result);
}

/// Prints a report as a JSON object or as text.
pub(crate) fn report<R: Serialize + Display>(report: &R, as_json: bool) {
    match as_json {
        true => json(report),
        false => lines(&report.to_string()),
    }
}

/// Prints a message on standard error. Its lines after the first are set in, so that none passes for a message of its own.
pub(crate) fn message(text: Arguments<'_>) {
    // A terminal that hung up, or a full disk behind a log, must not end a run.
    let _ = std::io::stderr().lock().write_all(set_in(&text.to_string()).as_bytes());
}

/// Returns the lines of a message, those after the first set in.
fn set_in(text: &str) -> String {
    let count = text.lines().count();
    let left_out = FIRST_LINES..count.saturating_sub(LAST_LINES);
    let mut printed = String::new();
    for (number, line) in text.lines().enumerate() {
        if left_out.contains(&number) {
            if number == FIRST_LINES {
                writeln!(printed, "    … ({} more lines)", left_out.len()).expect("a text can be written to");
            }
            continue;
        }
        let set_in = if number == 0 || line.is_empty() || line.starts_with([' ', '\t']) { "" } else { "    " };
        writeln!(printed, "{set_in}{}", shown(line)).expect("a text can be written to");
    }
    printed
}

/// `println!` of a line of data.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::print::line(format_args!($($text)*))
    };
}

/// `eprintln!` of a message.
macro_rules! tell {
    ($($text:tt)*) => {
        $crate::print::message(format_args!($($text)*))
    };
}

/// Prints the panics of this program as messages: they quote what strangers wrote.
pub(crate) fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        tell!("thread '{name}' ({:?}) {panic}\nthis is a mistake of alft; please report it", thread.id());
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            tell!("{}", std::backtrace::Backtrace::force_capture());
        }
    }));
}

/// Returns a line with an escape for each character that steers a terminal, cut at its longest length.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(2 * LONGEST));
    for (place, c) in text.chars().enumerate() {
        match c {
            _ if place == LONGEST => {
                write!(shown, "… ({} characters in all)", text.chars().count()).expect("a text can be written to");
                break;
            }
            '\t' => shown.push(c),
            _ if steers_terminal(c) => shown.extend(c.escape_default()),
            _ => shown.push(c),
        }
    }
    shown
}

/// Prints the help, the version or the error that clap made of a command line.
pub(crate) fn of_command_line(text: &clap::Error) {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    // Help goes to standard output, as data; an error quotes the arguments and goes to standard error, which may be lost.
    if text.use_stderr() && text.kind() != DisplayHelpOnMissingArgumentOrSubcommand {
        return message(format_args!("{}", text.render()));
    }
    if let (Err(error), false) = (text.print(), text.use_stderr()) {
        refused(&error);
    }
}

fn write_data(line: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    if let Err(error) = written {
        refused(&error);
    }
}

/// Ends the program because standard output takes no more.
fn refused(error: &std::io::Error) -> ! {
    match error.kind() {
        ErrorKind::BrokenPipe => std::process::exit(0),
        _ => {
            message(format_args!("error: cannot write to standard output: {error}"));
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_steer_a_terminal_and_ends_somewhere() {
        assert_eq!(shown("größer\t5"), "größer\t5");
        assert_eq!(shown("a\u{1b}[2J\r\u{9b}b\n\u{7f}"), "a\\u{1b}[2J\\r\\u{9b}b\\n\\u{7f}");
        for steering in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{2028}'] {
            assert_eq!(shown(&steering.to_string()), steering.escape_unicode().to_string());
        }
        let long = shown(&"x".repeat(60_000));
        assert!(long.chars().count() < LONGEST + 50 && long.ends_with("(60000 characters in all)"), "{long}");
    }

    #[test]
    fn a_message_is_set_in_after_its_first_line_and_ends_somewhere() {
        assert_eq!(set_in("error: a\nstep 9\n\n  b\u{1b}"), "error: a\n    step 9\n\n  b\\u{1b}\n");
        let long: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
        let printed = set_in(&long.join("\n"));
        assert_eq!(printed.lines().count(), FIRST_LINES + LAST_LINES + 1);
        assert!(printed.contains("    99\n    … (4800 more lines)\n    4900\n"), "{printed}");
    }
}
