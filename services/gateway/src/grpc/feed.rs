//! `FeedService`: what the portal takes over from the broker, so that every person can see everything.
//!
//! Must never be served to anybody but the portal; the broker refuses the rest.

use super::call::{Incoming, serve};
use super::reading::Reading;
use broker::Broker;
use broker::feed::{AckFeed, FEED_LINES_MAX, PullFeed};
use papers::feed::FeedLine;
use rules::id::EntryId;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::portal::v1 as message;
use wire::portal::v1::feed_service_server::FeedService;

/// The feed service of a broker.
pub struct Feed {
    broker: Arc<Broker>,
}

impl Feed {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl Incoming for message::PullFeedRequest {
    type Command = PullFeed;
    const NAME: &'static str = "PullFeed";

    fn read(self, reading: &mut Reading) -> Option<PullFeed> {
        let limit = usize::try_from(self.limit)
            .ok()
            .filter(|limit| (1..=FEED_LINES_MAX).contains(limit));
        if limit.is_none() {
            reading.wrong("limit", &format!("must be 1 to {FEED_LINES_MAX}"));
        }
        Some(PullFeed { limit: limit? })
    }
}

impl Incoming for message::AckFeedRequest {
    type Command = AckFeed;
    const NAME: &'static str = "AckFeed";

    fn read(self, reading: &mut Reading) -> Option<AckFeed> {
        let lines: Vec<Option<EntryId>> = self
            .line_ids
            .iter()
            .map(|octets| reading.id("line_ids", octets, EntryId::from_slice))
            .collect();
        Some(AckFeed {
            lines: lines.into_iter().collect::<Option<_>>()?,
        })
    }
}

fn shown(line: FeedLine) -> message::FeedLine {
    let told = line.told;
    message::FeedLine {
        line_id: line.id.bytes().to_vec(),
        exchange_id: told.exchange.to_vec(),
        introduction: told
            .introduction
            .map(|octets| octets.to_vec())
            .unwrap_or_default(),
        time_millis: line.time.millis(),
        kind: told.kind.number(),
        sender: told.sender.to_string(),
        recipient: told.recipient.to_string(),
        purpose: told.purpose.to_string(),
        basis: told.basis.0,
        article: told.basis.1,
        labels: told.labels,
        code: told.code,
    }
}

#[tonic::async_trait]
impl FeedService for Feed {
    async fn pull_feed(
        &self,
        request: Request<message::PullFeedRequest>,
    ) -> Result<Response<message::PullFeedResponse>, Status> {
        let (lines, _) = serve(&self.broker, request).await?;
        Ok(Response::new(message::PullFeedResponse {
            lines: lines.into_iter().map(shown).collect(),
        }))
    }

    async fn ack_feed(
        &self,
        request: Request<message::AckFeedRequest>,
    ) -> Result<Response<message::AckFeedResponse>, Status> {
        let (forgotten, _) = serve(&self.broker, request).await?;
        Ok(Response::new(message::AckFeedResponse {
            forgotten: i32::try_from(forgotten).unwrap_or(i32::MAX),
        }))
    }
}
