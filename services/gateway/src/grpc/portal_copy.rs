//! `CopyService`: what the portal keeps at the broker for the day on which it is put back from a backup.
//!
//! Must never be served to anybody but the portal; the broker refuses the rest.

use super::call::{Incoming, serve};
use super::reading::Reading;
use broker::Broker;
use broker::portal_copy::{CopyRow, ListCopies, NAMES_MAX, PutCopies, TakeCopies};
use rules::limits::PORTAL_COPIES_AT_ONCE;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::portal::v1 as message;
use wire::portal::v1::copy_service_server::CopyService;

/// The copy service of a broker.
pub struct Copies {
    broker: Arc<Broker>,
}

impl Copies {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

fn name(reading: &mut Reading, field: &str, octets: &[u8]) -> Option<[u8; 16]> {
    reading.id(field, octets, |octets| octets.try_into().ok())
}

impl Incoming for message::PutCopiesRequest {
    type Command = PutCopies;
    const NAME: &'static str = "PutCopies";

    fn read(self, reading: &mut Reading) -> Option<PutCopies> {
        let copies = self.copies.into_iter().map(|copy| {
            Some(CopyRow {
                copy_id: name(reading, "copies.copy_id", &copy.copy_id)?,
                sealed: copy.sealed,
            })
        });
        let copies: Vec<_> = copies.collect();
        Some(PutCopies {
            copies: copies.into_iter().collect::<Option<_>>()?,
        })
    }
}

impl Incoming for message::ListCopiesRequest {
    type Command = ListCopies;
    const NAME: &'static str = "ListCopies";

    fn read(self, reading: &mut Reading) -> Option<ListCopies> {
        let most = if self.names_only {
            NAMES_MAX
        } else {
            PORTAL_COPIES_AT_ONCE
        };
        let limit = usize::try_from(self.limit)
            .ok()
            .filter(|limit| (1..=most).contains(limit));
        if limit.is_none() {
            reading.wrong("limit", &format!("must be 1 to {most}"));
        }
        let after = if self.after.is_empty() {
            Some([0; 16])
        } else {
            name(reading, "after", &self.after)
        };
        Some(ListCopies {
            after: after?,
            limit: limit?,
            names_only: self.names_only,
        })
    }
}

impl Incoming for message::TakeCopiesRequest {
    type Command = TakeCopies;
    const NAME: &'static str = "TakeCopies";

    fn read(self, reading: &mut Reading) -> Option<TakeCopies> {
        let names: Vec<_> = self
            .copy_ids
            .iter()
            .map(|octets| name(reading, "copy_ids", octets))
            .collect();
        Some(TakeCopies {
            names: names.into_iter().collect::<Option<_>>()?,
        })
    }
}

#[tonic::async_trait]
impl CopyService for Copies {
    async fn put_copies(
        &self,
        request: Request<message::PutCopiesRequest>,
    ) -> Result<Response<message::PutCopiesResponse>, Status> {
        serve(&self.broker, request).await?;
        Ok(Response::new(message::PutCopiesResponse {}))
    }

    async fn list_copies(
        &self,
        request: Request<message::ListCopiesRequest>,
    ) -> Result<Response<message::ListCopiesResponse>, Status> {
        let (copies, _) = serve(&self.broker, request).await?;
        let copies = copies.into_iter().map(|copy| message::Copy {
            copy_id: copy.copy_id.to_vec(),
            sealed: copy.sealed,
        });
        Ok(Response::new(message::ListCopiesResponse {
            copies: copies.collect(),
        }))
    }

    async fn take_copies(
        &self,
        request: Request<message::TakeCopiesRequest>,
    ) -> Result<Response<message::TakeCopiesResponse>, Status> {
        let (taken, _) = serve(&self.broker, request).await?;
        Ok(Response::new(message::TakeCopiesResponse {
            taken: i32::try_from(taken).unwrap_or(i32::MAX),
        }))
    }
}
