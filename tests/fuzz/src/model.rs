//! A model's folder in which one file is the input.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{fs, io, panic};

use alft_policy::{Device, Message, Policy};

use crate::scratch;

/// The data of the policy's tests.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../host/policy/tests/data");

/// Copies a folder of the tests' data, such as `families/llama`, into a fresh folder of this process.
pub fn copied(data: &str) -> PathBuf {
    let folder = scratch::folder().join(data);
    let _ = fs::remove_dir_all(&folder);
    uninterrupted(|| fs::create_dir_all(&folder));
    let files = fs::read_dir(Path::new(DATA).join(data)).expect("the model is there");
    for file in files.map(|entry| entry.expect("the model can be read")) {
        uninterrupted(|| fs::copy(file.path(), folder.join(file.file_name())));
    }
    folder
}

/// Works on the scratch folder. libFuzzer's clock interrupts system calls.
fn uninterrupted<T>(work: impl Fn() -> io::Result<T>) -> T {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.expect("the scratch folder can be written to"),
        }
    }
}

/// A small model.
pub const LLAMA: &str = "families/llama";

/// Adapters of [`LLAMA`].
pub const ADAPTER: &str = "adapters/llama";

/// Splits an input in two: its first byte chooses one of `names`, and the rest is the content of the file with that name.
pub fn chosen<'a, 'b>(names: &[&'a str], input: &'b [u8]) -> Option<(&'a str, &'b [u8])> {
    let (first, content) = input.split_first()?;
    // Letters and digits, so that seeds can be read.
    Some((names[usize::from(first.wrapping_sub(b'0')) % names.len()], content))
}

/// Leaves panics of the tokenizer library to the code that catches them: libfuzzer-sys ends the process at any panic. One that
/// nothing catches stays a finding.
fn leave_caught_panics() {
    static LEAVE: Once = Once::new();
    LEAVE.call_once(|| {
        let ending = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|at| at.file().contains("/tokenizers-")) {
                ending(info);
            }
        }));
    });
}

/// Opens a model and uses it. One that opens must tokenize, and must be saved and opened again as the same model.
pub fn open(path: &Path) {
    leave_caught_panics();
    let policy = match Policy::open(path, &Device::Cpu) {
        Ok(policy) => policy,
        Err(error) => return assert_names(&error, path),
    };
    let tokens = policy.encode("1+1=2\né");
    if let Ok(Some(template)) = policy.chat_template(None) {
        let _ = template.render(&[Message::new("user", "1+1=")], &Default::default());
    }
    let saved = scratch::folder().join("saved");
    policy.save(&saved).unwrap_or_else(|error| panic!("a model that was read cannot be saved: {}", chain(&error)));
    let again = Policy::open(&saved, &Device::Cpu)
        .unwrap_or_else(|error| panic!("a model that was saved cannot be read: {}", chain(&error)));
    assert_eq!(policy.config(), again.config());
    assert_eq!(tokens.ok(), again.encode("1+1=2\né").ok());
}

/// Asserts that an error names a file of the model.
pub fn assert_names(error: &dyn Error, path: &Path) {
    let text = chain(error);
    assert!(text.contains(&path.display().to_string()), "no file is named: {text}");
}

/// Returns an error with its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
