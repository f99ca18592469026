//! `RestorationService`: how the door of a restored broker opens again.
//!
//! Must never tell anybody but the operator who is missing; the broker sees to it.

use super::call::{Incoming, answer, arrived, serve};
use super::directory::signatures;
use super::reading::Reading;
use broker::Broker;
use broker::restoration::{
    AcceptUnreadable, ConfirmResent, GetRestoration, KeptDirectory, OpenDoor,
};
use papers::controllers::SignedByAll;
use rules::clock::Timestamp;
use rules::id::{Oin, RequestId};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::restoration::v1 as message;
use wire::restoration::v1::restoration_service_server::RestorationService;

/// The restoration service of a broker.
pub struct Restorations {
    broker: Arc<Broker>,
}

impl Restorations {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl Incoming for message::GetRestorationRequest {
    type Command = GetRestoration;
    const NAME: &'static str = "GetRestoration";

    fn read(self, reading: &mut Reading) -> Option<GetRestoration> {
        let missing_after = match self.missing_after.split_once('/') {
            None if self.missing_after.is_empty() => None,
            parts => {
                let (oin, desk) = parts.unwrap_or_default();
                let oin = reading.name("missing_after", oin);
                let desk = reading.name("missing_after", desk);
                Some((oin?, desk?))
            }
        };
        Some(GetRestoration { missing_after })
    }
}

impl Incoming for message::ConfirmResentRequest {
    type Command = (ConfirmResent, Option<KeptDirectory>);
    const NAME: &'static str = "ConfirmResent";

    fn read(self, _reading: &mut Reading) -> Option<Self::Command> {
        let command = ConfirmResent {
            restored_at: Timestamp::from_millis(self.restored_at_millis),
        };
        let directory = SignedByAll {
            content: self.directory_toml,
            signatures: signatures(self.signatures),
        };
        Some((
            command,
            Some((directory, self.directory_parts)).filter(|(file, _)| !file.content.is_empty()),
        ))
    }
}

impl Incoming for message::OpenDoorRequest {
    type Command = OpenDoor;
    const NAME: &'static str = "OpenDoor";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<OpenDoor> {
        let request_id = reading.request_id(&self.request_id)?;
        Some(OpenDoor { request_id })
    }
}

impl Incoming for message::AcceptUnreadableRequest {
    type Command = AcceptUnreadable;
    const NAME: &'static str = "AcceptUnreadable";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<AcceptUnreadable> {
        let request_id = reading.request_id(&self.request_id);
        let organisation = reading.name("organisation", &self.organisation);
        Some(AcceptUnreadable {
            request_id: request_id?,
            organisation: organisation?,
        })
    }
}

#[tonic::async_trait]
impl RestorationService for Restorations {
    async fn get_restoration(
        &self,
        request: Request<message::GetRestorationRequest>,
    ) -> Result<Response<message::GetRestorationResponse>, Status> {
        let (standing, _) = serve(&self.broker, request).await?;
        let moments = standing.shut;
        let millis = |moment: Option<Timestamp>| moment.map_or(0, Timestamp::millis);
        let missing = standing.missing.into_iter();
        Ok(Response::new(message::GetRestorationResponse {
            shut: moments.is_some(),
            backup_at_millis: millis(moments.map(|moments| moments.backup_at)),
            restored_at_millis: millis(moments.map(|moments| moments.restored_at)),
            missing_desks: missing.map(|(oin, desk)| format!("{oin}/{desk}")).collect(),
            more_missing: standing.more_missing,
            tells_missing: standing.tells_missing,
            unreadable_organisations: standing.unreadable.iter().map(Oin::to_string).collect(),
        }))
    }

    async fn confirm_resent(
        &self,
        request: Request<message::ConfirmResentRequest>,
    ) -> Result<Response<message::ConfirmResentResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (came, _) = answer(&self.broker, &call, request.into_inner(), async |command| {
            self.broker.confirm_resent(&call, command).await
        })
        .await?;
        Ok(Response::new(message::ConfirmResentResponse {
            open: came.open,
            missing_parts: came.missing.iter().map(|digest| digest.to_vec()).collect(),
        }))
    }

    async fn open_door(
        &self,
        request: Request<message::OpenDoorRequest>,
    ) -> Result<Response<message::OpenDoorResponse>, Status> {
        let (missing, promise) = serve(&self.broker, request).await?;
        Ok(Response::new(message::OpenDoorResponse {
            missing: i32::try_from(missing).unwrap_or(i32::MAX),
            entry_id: promise.entry.bytes().to_vec(),
        }))
    }

    async fn accept_unreadable(
        &self,
        request: Request<message::AcceptUnreadableRequest>,
    ) -> Result<Response<message::AcceptUnreadableResponse>, Status> {
        let (open, promise) = serve(&self.broker, request).await?;
        Ok(Response::new(message::AcceptUnreadableResponse {
            open,
            entry_id: promise.entry.bytes().to_vec(),
        }))
    }
}
