//! Length-prefixed octet strings: the form of payloads before they are sealed.
//!
//! Must never guess: what does not read back exactly is malformed.

use crate::Malformed;

/// Writes octet strings one behind the other, each with its length as u32 big-endian.
#[derive(Debug, Default)]
pub struct FrameWriter(Vec<u8>);

impl FrameWriter {
    /// Appends one octet string.
    ///
    /// # Errors
    /// When it is longer than a u32 can say.
    pub fn put(&mut self, octets: &[u8]) -> Result<(), Malformed> {
        let length = u32::try_from(octets.len()).map_err(|_| Malformed("a frame"))?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(octets);
        Ok(())
    }

    /// All that was put.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads octet strings in the order in which they were put.
#[derive(Debug)]
pub struct FrameReader<'a>(&'a [u8]);

impl<'a> FrameReader<'a> {
    /// Reads from the beginning.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The next octet string.
    ///
    /// # Errors
    /// When there is none, or it is cut off.
    pub fn take(&mut self) -> Result<&'a [u8], Malformed> {
        let wrong = || Malformed("a frame");
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or_else(wrong)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| wrong())?;
        let (octets, rest) = rest.split_at_checked(length).ok_or_else(wrong)?;
        self.0 = rest;
        Ok(octets)
    }

    /// The next octet string, as text.
    ///
    /// # Errors
    /// When there is none, or it is not UTF-8.
    pub fn take_text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take()?).map_err(|_| Malformed("a frame"))
    }

    /// True when all has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_put_and_refuses_what_is_cut_off() {
        let mut writer = FrameWriter::default();
        writer.put(b"label").unwrap();
        writer.put(b"").unwrap();
        writer.put(&[7; 300]).unwrap();
        let octets = writer.finish();
        let mut reader = FrameReader::new(&octets);
        assert_eq!(reader.take_text().unwrap(), "label");
        assert_eq!(reader.take().unwrap(), b"");
        assert_eq!(reader.take().unwrap(), [7; 300]);
        assert!(reader.is_empty() && reader.take().is_err());
        for cut in 1..octets.len() {
            let mut reader = FrameReader::new(&octets[..cut]);
            while !reader.is_empty() {
                if reader.take().is_err() {
                    break;
                }
            }
        }
    }
}
