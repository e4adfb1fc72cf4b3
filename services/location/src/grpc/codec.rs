//! How the messages of the hot paths travel; their bytes are those of the proto.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use hexcab_proto::location::v1::StreamPingsResponse;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

/// What nobody needs otherwise.
pub type UsualCodec<Answer, Asked> = ProstCodec<Answer, Asked>;

/// A `StreamPingsRequest` that is still to be read.
#[derive(Debug)]
pub struct PingBytes(pub Bytes);

/// Pings in, as bytes.
#[derive(Debug, Default)]
pub struct PingCodec;

impl Codec for PingCodec {
    type Encode = StreamPingsResponse;
    type Decode = PingBytes;
    type Encoder = ProstEncoder<StreamPingsResponse>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self
    }
}

impl Decoder for PingCodec {
    type Item = PingBytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<PingBytes>, Status> {
        Ok(Some(PingBytes(from.copy_to_bytes(from.remaining()))))
    }
}

/// A message that was written already.
#[derive(Debug, Default)]
pub struct Encoded(pub Vec<u8>);

/// Nearby drivers out, written already.
#[derive(Debug)]
pub struct NearbyCodec<Asked>(PhantomData<Asked>);

impl<Asked> Default for NearbyCodec<Asked> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Asked: Message + Default + Send + 'static> Codec for NearbyCodec<Asked> {
    type Encode = Encoded;
    type Decode = Asked;
    type Encoder = EncodedWriter;
    type Decoder = <ProstCodec<Asked, Asked> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        EncodedWriter
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Asked, Asked>::raw_decoder(BufferSettings::default())
    }
}

/// Copies what was written.
#[derive(Debug)]
pub struct EncodedWriter;

impl Encoder for EncodedWriter {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(item.0.len());
        into.put_slice(&item.0);
        Ok(())
    }
}
