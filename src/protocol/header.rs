//! What stands before every request and response: who asks what in which version, and which answer this is.
//!
//! A request header says its own layout: API key and version come first. Version 2 adds a tag buffer but keeps the
//! client id in its old, non-compact form, so that a broker can always read it (KIP-482). Responses to ApiVersions
//! keep header version 0. Source: `RequestHeader`, `ApiMessageType` in Kafka.

use super::api_key::ApiKey;
use super::wire::{Reader, UnknownTags, WireError, Writer};

/// What precedes a request's body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestHeader {
    /// Which API; may be a number this broker does not know.
    pub api_key: i16,
    /// Version of the body.
    pub api_version: i16,
    /// Chosen by the client, returned in the response.
    pub correlation_id: i32,
    /// The client's name for itself, if it gives one.
    pub client_id: Option<String>,
    /// Tagged fields of header version 2; none is defined yet.
    pub unknown_tags: UnknownTags,
}

impl RequestHeader {
    /// A header for `key` in `api_version`.
    pub fn new(
        key: ApiKey,
        api_version: i16,
        correlation_id: i32,
        client_id: Option<String>,
    ) -> RequestHeader {
        RequestHeader {
            api_key: key.number(),
            api_version,
            correlation_id,
            client_id,
            unknown_tags: UnknownTags::default(),
        }
    }

    /// Reads the header of a request and names its API. An unknown key is an error: its layout is unknown, and
    /// the connection must be closed. A version outside the API's range is left to the caller, because ApiVersions
    /// answers even then.
    pub fn decode(reader: &mut Reader) -> Result<(RequestHeader, ApiKey), WireError> {
        reader.enter("api_key");
        let number = reader.read_i16()?;
        reader.enter("api_version");
        let version = reader.read_i16()?;
        let key =
            ApiKey::from_number(number).ok_or(WireError::Version { message: "an unknown API", version })?;
        let header =
            RequestHeader::decode_rest(reader, number, version, key.request_header_version(version))?;
        Ok((header, key))
    }

    /// Reads a header whose version is known.
    pub fn decode_version(reader: &mut Reader, header_version: i16) -> Result<RequestHeader, WireError> {
        reader.enter("api_key");
        let number = reader.read_i16()?;
        reader.enter("api_version");
        let version = reader.read_i16()?;
        RequestHeader::decode_rest(reader, number, version, header_version)
    }

    fn decode_rest(
        reader: &mut Reader,
        api_key: i16,
        api_version: i16,
        header_version: i16,
    ) -> Result<RequestHeader, WireError> {
        reader.enter("correlation_id");
        let correlation_id = reader.read_i32()?;
        reader.enter("client_id");
        let client_id = if header_version >= 1 { reader.read_string(false)? } else { None };
        let unknown_tags = match header_version {
            0 | 1 => UnknownTags::default(),
            _ => reader.read_tags(&mut |_, _| Ok(false))?,
        };
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id, unknown_tags })
    }

    /// Writes the header in the version its API and API version ask for.
    pub fn encode(&self, writer: &mut Writer) -> Result<(), WireError> {
        let unknown = WireError::Version { message: "an unknown API", version: self.api_version };
        let key = ApiKey::from_number(self.api_key).ok_or(unknown)?;
        self.encode_version(writer, key.request_header_version(self.api_version));
        writer.check()
    }

    /// Writes the header in a given header version.
    pub fn encode_version(&self, writer: &mut Writer, header_version: i16) {
        writer.enter("client_id");
        writer.put(&self.api_key.to_be_bytes());
        writer.put(&self.api_version.to_be_bytes());
        writer.put(&self.correlation_id.to_be_bytes());
        if header_version >= 1 {
            writer.put_string(self.client_id.as_deref(), false);
        }
        if header_version >= 2 {
            put_tags(&self.unknown_tags, writer);
        }
    }
}

/// What precedes a response's body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseHeader {
    /// That of the request.
    pub correlation_id: i32,
    /// Tagged fields of header version 1; none is defined yet.
    pub unknown_tags: UnknownTags,
}

impl ResponseHeader {
    /// Reads a header of the version that [`ApiKey::response_header_version`] tells.
    pub fn decode(reader: &mut Reader, header_version: i16) -> Result<ResponseHeader, WireError> {
        reader.enter("correlation_id");
        let correlation_id = reader.read_i32()?;
        let unknown_tags = match header_version {
            0 => UnknownTags::default(),
            _ => reader.read_tags(&mut |_, _| Ok(false))?,
        };
        Ok(ResponseHeader { correlation_id, unknown_tags })
    }

    /// Writes the header.
    pub fn encode(&self, writer: &mut Writer, header_version: i16) {
        writer.put(&self.correlation_id.to_be_bytes());
        if header_version >= 1 {
            put_tags(&self.unknown_tags, writer);
        }
    }
}

fn put_tags(tags: &UnknownTags, writer: &mut Writer) {
    let mut entries = tags.entries();
    writer.put_varint(entries.len() as u32);
    writer.put_unknown_below(&mut entries, None);
}
