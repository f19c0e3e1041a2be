//! Files that are something else than their name says: pages, pointers and archives that a download left.

/// The beginnings of formats that people have in place of the file that they mean, each with a noun and the remedy.
const FORMATS: [(&[u8], &str); 23] = [
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself by `git lfs pull`"),
    (b"# xet version", "a pointer of Xet; fetch the file itself with `hf download`, or by `git xet`"),
    (b"Entry not found", "the answer of a hub that has no such file; check the name and fetch it again"),
    (b"Repository not found", "the answer of a hub that has no such repository; check the name and fetch it again"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"PK\x05\x06", "an empty zip archive; fetch it again"),
    (b"\x89HDF\r\n\x1a\n", "of HDF5, as Keras writes; save its content in the format that is asked for"),
    (b"\x93NUMPY", "an array of NumPy; save its content in the format that is asked for"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\0asm", "in WebAssembly; it may be a plugin, which a run file names under `plugins`"),
    (b"\x7fELF", "a program or a library of Linux; write the path of another file"),
    (b"\xff\xfe\0\0", "in UTF-32; convert it to UTF-8"),
    (b"\0\0\xfe\xff", "in UTF-32; convert it to UTF-8"),
    (b"\xff\xfe", "in UTF-16; convert it to UTF-8"),
    (b"\xfe\xff", "in UTF-16; convert it to UTF-8"),
];

const PICKLE: &str = "a pickle of Python, which runs code when it is read; save its content in another format";

/// The beginnings of pages, in lower case, after white space.
const PAGES: [&str; 5] = ["<!doctype", "<html", "<head", "<body", "<title"];
const PAGE: &str = "an HTML page; download the file itself";

/// Zeros at the beginning of a file that has nothing else.
const ZEROS: usize = 16;

/// Returns what a file is, and the remedy, if its first bytes are those of a page, a pointer, an archive or another encoding:
/// the end of a sentence that begins with "the file is". The first 512 bytes tell every format.
pub fn other_format(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, noun)) = FORMATS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some(noun);
    }
    if bytes.starts_with(b"BZh") && bytes.get(4..10) == Some(b"1AY&SY") {
        return Some("compressed by bzip2; unpack it first");
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("a tar archive; unpack it first");
    }
    if bytes.len() >= ZEROS && bytes.iter().take(512).all(|byte| *byte == 0) {
        return Some("empty but for zeros, as a download leaves it that did not end; fetch it again");
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let is = |page: &str| text.get(..page.len()).is_some_and(|start| start.eq_ignore_ascii_case(page.as_bytes()));
    PAGES.iter().any(|page| is(page)).then_some(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_named_by_its_first_bytes() {
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, noun) in [
            (b"BZh91AY&SY..".as_slice(), "compressed by bzip2"),
            (b"\xfd7zXZ\0\0\0", "compressed by xz"),
            (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
            (b"Rar!\x1a\x07\0", "a RAR archive"),
            (&tar, "a tar archive"),
            (b"\x89HDF\r\n\x1a\n", "of HDF5"),
            (b"\x80\x02\x8a\n", "a pickle"),
            (b"\x80\x05\x95", "a pickle"),
            (b"\x93NUMPY\x01", "an array of NumPy"),
            (b"\0asm\x01\0\0\0", "in WebAssembly"),
            (b"\x7fELF\x02", "a program"),
            (&[0; 64], "empty but for zeros"),
            (b"PK\x05\x06\0\0", "an empty zip"),
            (b"Entry not found", "the answer of a hub"),
            (b"# xet version 0\n", "a pointer of Xet"),
            (b"\r\n \n<!DOCTYPE html>", "an HTML page"),
            (b"\xef\xbb\xbf<HTML lang", "an HTML page"),
            (b"<head><title>", "an HTML page"),
            (b"\xff\xfe\0\0a\0\0\0", "in UTF-32"),
            (b"\0\0\xfe\xff\0\0\0a", "in UTF-32"),
            (b"\xff\xfea\0", "in UTF-16"),
        ] {
            assert!(
                other_format(bytes).is_some_and(|found| found.starts_with(noun)),
                "{noun}: {:?}",
                other_format(bytes)
            );
        }
        for own in [b"BZ is a question".as_slice(), b"<|im_start|>", b"\0\0", b"7 + 7", b"Repository"] {
            assert_eq!(other_format(own), None);
        }
    }

    #[test]
    fn a_pointer_and_a_page_are_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n";
        assert!(other_format(pointer).unwrap().contains("git lfs pull"));
        assert!(other_format(b"<!doctype html>").unwrap().starts_with("an HTML page"));
        assert_eq!(other_format(b"{\"prompt\": 1}"), None);
        assert_eq!(other_format(b""), None);
    }
}
