//! Counting before decoding: how often each field is repeated, over the bytes as they were received, at every depth.
//!
//! Two bytes on the wire can become two hundred in memory, so a message of the largest size could fill a server. The
//! bounds are an option of each field in `proto/`; the build fails where one has none. Must never allocate, and must
//! never let a message be decoded that was not counted.

use prost::Message;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// Most fields of one message that are counted; the build holds it.
const COUNTED_MAX: usize = 16;

/// What is counted of a message.
#[derive(Debug)]
pub struct Shape {
    fields: &'static [Field],
}

/// A field that is counted.
#[derive(Debug)]
struct Field {
    number: u64,
    name: &'static str,
    max: u32,
    /// What each element is, where it is a message.
    inner: Option<&'static Shape>,
}

/// A message of `proto/`.
pub trait Counted {
    /// What is counted of it.
    const SHAPE: &'static Shape;
}

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// Why a message is not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// It is not a message of protobuf.
    Malformed,
    /// A field is there more often than it may be.
    TooMany {
        /// The field's name in `proto/`.
        field: &'static str,
        /// How often it may be there.
        max: u32,
    },
}

impl fmt::Display for Uncounted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => out.write_str("is not a message of protobuf"),
            Self::TooMany { field, max } => write!(out, "`{field}` is there more than {max} times"),
        }
    }
}

impl std::error::Error for Uncounted {}

/// Decodes a message after counting it. For what travels inside another message as signed bytes.
///
/// # Errors
/// When it is not one, or a field is there too often.
pub fn decode<M: Message + Counted + Default>(octets: &[u8]) -> Result<M, Uncounted> {
    count(M::SHAPE, octets)?;
    M::decode(octets).map_err(|_| Uncounted::Malformed)
}

/// Counts a message.
fn count(shape: &Shape, mut rest: &[u8]) -> Result<(), Uncounted> {
    let mut counts = [0_u32; COUNTED_MAX];
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let content = match key & 7 {
            0 => {
                varint(&mut rest)?;
                None
            }
            1 => {
                take(&mut rest, 8)?;
                None
            }
            2 => {
                let length = varint(&mut rest)?;
                let length = usize::try_from(length).map_err(|_| Uncounted::Malformed)?;
                Some(take(&mut rest, length)?)
            }
            5 => {
                take(&mut rest, 4)?;
                None
            }
            // Groups went out of protobuf before this protocol began.
            _ => return Err(Uncounted::Malformed),
        };
        let fields = shape.fields.iter().zip(&mut counts);
        let Some((field, count_so_far)) = fields
            .into_iter()
            .find(|(field, _)| field.number == key >> 3)
        else {
            continue;
        };
        *count_so_far = count_so_far.saturating_add(1);
        if *count_so_far > field.max {
            return Err(Uncounted::TooMany {
                field: field.name,
                max: field.max,
            });
        }
        if let (Some(inner), Some(octets)) = (field.inner, content) {
            count(inner, octets)?;
        }
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64, Uncounted> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let octet = *take(rest, 1)?.first().ok_or(Uncounted::Malformed)?;
        value |= u64::from(octet & 0x7f) << shift;
        if octet < 0x80 {
            return Ok(value);
        }
    }
    Err(Uncounted::Malformed)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Uncounted> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Uncounted::Malformed)?;
    *rest = left;
    Ok(taken)
}

/// The codec of every call: protobuf, counted before it is decoded. The generated stubs use it on both sides.
#[derive(Clone, Debug)]
pub struct CountingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CountingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CountingCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Counted + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CountingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        CountingDecoder(PhantomData)
    }
}

/// The decoder of [`CountingCodec`].
#[derive(Clone, Debug)]
pub struct CountingDecoder<U>(PhantomData<U>);

impl<U: Message + Counted + Default> Decoder for CountingDecoder<U> {
    type Item = U;
    type Error = Status;

    /// A message that may not be decoded is `INVALID_ARGUMENT`, with an [`Uncounted`] as its source.
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        use prost::bytes::Buf as _;
        let octets = buffer.chunk();
        // tonic gives a message as one piece; what came in several could not be counted.
        let decoded = if octets.len() == buffer.remaining() {
            decode(octets)
        } else {
            decode(&buffer.copy_to_bytes(buffer.remaining()))
        };
        buffer.advance(buffer.remaining());
        decoded.map(Some).map_err(|fault| {
            let mut status = Status::invalid_argument(fault.to_string());
            status.set_source(Arc::new(fault));
            status
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::v1::{OfferRequest, PrepareRequest};
    use crate::pseudonym::v1::{ConvertRequest, EnrolRequest};

    /// Field 1: sixteen octets, as a request id.
    const ID: &[u8] = b"\x0a\x10................";

    /// A message of the largest size that has the same two octets again and again.
    fn bomb(begin: &[u8], unit: &[u8]) -> Vec<u8> {
        let times = (1024 * 1024 - begin.len()) / unit.len();
        [begin, &unit.repeat(times)].concat()
    }

    fn refused<M: Message + Counted + Default>(octets: &[u8], field: &'static str, max: u32) {
        let fault = Uncounted::TooMany { field, max };
        assert_eq!(decode::<M>(octets).map(drop), Err(fault));
    }

    #[test]
    fn what_is_there_too_often_is_refused_at_every_depth() {
        refused::<EnrolRequest>(&bomb(ID, b"\x12\x00"), "items", 1_000);
        refused::<PrepareRequest>(&bomb(ID, b"\x2a\x00"), "summary_labels", 128);
        refused::<ConvertRequest>(&bomb(b"", b"\x0a\x00"), "items", 1_000);
        // One item with many vouchers; one message that is there again and again, each with some.
        let vouchers = bomb(b"", b"\x1a\x00");
        let mut octets = vec![0x0a];
        prost::encoding::encode_varint(vouchers.len() as u64, &mut octets);
        octets.extend(vouchers);
        refused::<ConvertRequest>(&octets, "earlier", 8);
    }

    #[test]
    fn a_message_that_may_be_there_once_is_not_put_together_from_many() {
        let shape = OfferRequest::SHAPE;
        let once = shape.fields.iter().find(|field| field.max == 1).unwrap();
        let key = u8::try_from(once.number << 3 | 2).unwrap();
        assert!(decode::<OfferRequest>(&[key, 0]).is_ok());
        refused::<OfferRequest>(&[key, 0, key, 0], once.name, 1);
    }

    #[test]
    fn as_many_as_may_be_there_pass() {
        let octets = [ID, &b"\x12\x00".repeat(1_000)].concat();
        assert_eq!(decode::<EnrolRequest>(&octets).unwrap().items.len(), 1_000);
    }

    #[test]
    fn what_is_no_message_is_refused_as_that() {
        for octets in [
            &b"\x12"[..],
            b"\x12\x05abc",
            b"\x0b",
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let fault = decode::<EnrolRequest>(octets).map(drop);
            assert_eq!(fault, Err(Uncounted::Malformed), "{octets:?}");
        }
    }
}
