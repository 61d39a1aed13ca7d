//! Series with samples of any age for a Prometheus, by its remote write protocol, version 1. In: the address of one that was
//! started with `--web.enable-remote-write-receiver`, and series. Does not talk to the cluster.
//!
//! Of all ways into a Prometheus this one takes native histograms and staleness markers.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use prost::Message;

use crate::net::http_with;

/// Labels by name, the metric's name under `__name__`.
pub type Labels = BTreeMap<String, String>;

/// A series.
#[derive(Clone, PartialEq, Message)]
pub struct Series {
    /// Its name and its labels, in the order of their names.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Numbers.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// One label.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A number at a time.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// In milliseconds.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A native histogram with integer counts and without negative buckets. Schema 0: bucket i ends at 2 to the power of i.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// Observations.
    #[prost(uint64, tag = "1")]
    pub count: u64,
    /// Their sum.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Which buckets there are.
    #[prost(message, repeated, tag = "11")]
    pub spans: Vec<Span>,
    /// Each bucket's count less that of the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub deltas: Vec<i64>,
    /// In milliseconds.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
}

/// Buckets in a row.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Span {
    /// Buckets that are left out before them.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// How many.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

/// A series without samples yet.
pub fn series(labels: Labels) -> Series {
    let labels = labels.into_iter().map(|(name, value)| Label { name, value }).collect();
    Series { labels, ..Series::default() }
}

/// Writes series, whose samples are in the order of time.
pub fn write(url: &str, series: Vec<Series>) -> Result<()> {
    let body = snappy(&WriteRequest { series }.encode_to_vec())?;
    let (status, answer) =
        http_with("POST", &format!("{url}/api/v1/write"), "application/x-protobuf", &body)?;
    ensure!(status == 204, "remote write: {status}: {answer}");
    Ok(())
}

/// Snappy's block format without compression: the length as a varint, and one literal with its length in four bytes.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut block = Vec::with_capacity(bytes.len() + 10);
    prost::encoding::encode_varint(bytes.len() as u64, &mut block);
    block.push(0b1111_1100);
    block.extend(u32::try_from(bytes.len() - 1)?.to_le_bytes());
    block.extend(bytes);
    Ok(block)
}
