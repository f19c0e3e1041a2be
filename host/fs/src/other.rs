//! Files that are something else than their name says: pages, pointers and archives that a download left.

/// The beginnings of formats that people have in place of the file that they mean, each with a noun and the remedy.
const FORMATS: [(&[u8], &str); 9] = [
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself by `git lfs pull`"),
    (b"<!DOCTYPE", "an HTML page; download the file itself"),
    (b"<!doctype", "an HTML page; download the file itself"),
    (b"<html", "an HTML page; download the file itself"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\xff\xfe", "in UTF-16; convert it to UTF-8"),
    (b"\xfe\xff", "in UTF-16; convert it to UTF-8"),
];

/// Returns what a file is, and the remedy, if its first bytes are those of a page, a pointer, an archive or another encoding:
/// the end of a sentence that begins with "the file is".
pub fn other_format(bytes: &[u8]) -> Option<&'static str> {
    FORMATS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, noun)| *noun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_and_a_page_are_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n";
        assert!(other_format(pointer).unwrap().contains("git lfs pull"));
        assert!(other_format(b"<!doctype html>").unwrap().starts_with("an HTML page"));
        assert_eq!(other_format(b"{\"prompt\": 1}"), None);
        assert_eq!(other_format(b""), None);
    }
}
