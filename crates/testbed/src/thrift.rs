//! What an old Jaeger client sends. In: a span's operation. Out: bytes for a collector's `/api/traces`. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// The type of these bytes in HTTP.
pub const THRIFT: &str = "application/x-thrift";

/// The trace of the span, in hex.
pub const THRIFT_TRACE: &str = "00112233445566770123456789abcdef";

const STOP: u8 = 0;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const LIST: u8 = 15;

/// A batch of one root span of now, in the binary Thrift protocol.
///
/// # Errors
/// When the operation is too long, or the clock stands before 1970.
pub fn thrift_span(operation: &str) -> Result<Vec<u8>> {
    let microseconds = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let number = |number: i64| number.to_be_bytes();
    let process = [field(STRING, 1, &text("old-client")?), vec![STOP]].concat();
    let span = [
        // The trace's id, its lower half first.
        field(I64, 1, &number(0x0123_4567_89ab_cdef)),
        field(I64, 2, &number(0x0011_2233_4455_6677)),
        field(I64, 3, &number(42)),
        field(I64, 4, &number(0)),
        field(STRING, 5, &text(operation)?),
        field(I32, 7, &1_u32.to_be_bytes()),
        field(I64, 8, &number(microseconds)),
        field(I64, 9, &number(1000)),
        vec![STOP],
    ]
    .concat();
    let spans = [&[STRUCT][..], &1_u32.to_be_bytes(), &span].concat();
    Ok([field(STRUCT, 1, &process), field(LIST, 2, &spans), vec![STOP]].concat())
}

fn field(kind: u8, id: u16, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &id.to_be_bytes(), value].concat()
}

fn text(text: &str) -> Result<Vec<u8>> {
    Ok([&u32::try_from(text.len())?.to_be_bytes()[..], text.as_bytes()].concat())
}
