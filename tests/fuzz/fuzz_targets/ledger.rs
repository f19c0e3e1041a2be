//! Fuzzes the reader of ledgers: with any bytes, and with right frames around any bodies and any records, which anyone can
//! make. What is read is written and read back the same, and a batch has a result for each of its items.
#![no_main]

use std::path::Path;

use alft_fuzz::scratch;
use alft_plugin_host::fuzzing::LedgerBytes;
use alft_plugin_host::ledger::{self, Ledger, Record};

/// A header of the first format, which is still read, with empty names.
const HEADER: &[u8] = &[0, 1, 0, 0, 0];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((kind, mut rest)) = input.split_first() else { return };
    let mut bytes = LedgerBytes::default();
    if kind % 4 != 0 {
        bytes.push_record(HEADER);
    }
    while let Some((length, after)) = rest.split_first_chunk() {
        let (chunk, after) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        if kind % 4 == 1 {
            bytes.push_body(chunk)
        } else {
            bytes.push_record(chunk)
        }
        rest = after;
    }
    let bytes = if kind % 4 == 0 { input[1..].to_vec() } else { bytes.into_bytes() };
    let path = scratch::file("ledger", &bytes);
    if let Err(error) = read(&path) {
        assert!(error.to_string().contains("ledger"), "{error}");
    }
    let length = bytes.len() as u64;
    if Ledger::open(&path, length).is_ok() && length > 0 {
        // A ledger that another version began goes on under this version's header.
        let opened = std::fs::read(&path).expect("the ledger is there");
        assert!(opened.starts_with(&bytes), "a ledger was changed by opening it");
    }
});

fn read(path: &Path) -> Result<(), ledger::Error> {
    for record in ledger::read(path)? {
        let record = record?;
        let encoded = postcard::to_stdvec(&record).expect("plain data can be encoded");
        let again: Record<'_> = postcard::from_bytes(&encoded).expect("an encoded record can be decoded");
        assert_eq!(postcard::to_stdvec(&again).expect("plain data can be encoded"), encoded);
        if let Record::Batch { batch, calls, .. } = &record {
            assert_eq!(ledger::replay::items(batch, calls).len(), batch.item_count());
        }
    }
    Ok(())
}
