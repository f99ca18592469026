//! Bodies that are counted: what comes in against the budget of unfinished octets, what goes out against that of unread
//! ones.
//!
//! Must never hand over octets that go beyond the budget, and must never let a call's permit go before its answer has.

use super::budgets::{Budget, Permit};
use http_body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Octets that are handed on together. Below this layer they are out of sight until they are sent, so that each stream
/// holds so many that nobody counts.
const PIECE_BYTES: usize = 8 * 1024;

/// The budget that a request went beyond while it was read.
pub(super) type Beyond = Arc<OnceLock<Budget>>;

/// A request on its way in.
pub(super) struct Incoming {
    body: Body,
    permit: Arc<Permit>,
    beyond: Beyond,
}

impl Incoming {
    pub(super) const fn new(body: Body, permit: Arc<Permit>, beyond: Beyond) -> Self {
        Self {
            body,
            permit,
            beyond,
        }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(octets) = frame.data_ref()
            && let Err(budget) = self.permit.came_in(octets.len())
        {
            // What the caller is told is said where the call is answered.
            self.beyond.get_or_init(|| budget);
            return Poll::Ready(Some(Err(Status::resource_exhausted(budget.name()))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer on its way out.
pub(super) struct Outgoing {
    body: Body,
    /// What came out of the body and did not go on.
    rest: Bytes,
    /// What else came out of it before anybody asked.
    end: Option<Option<Result<Frame<Bytes>, Status>>>,
    permit: Arc<Permit>,
}

impl Outgoing {
    pub(super) const fn new(body: Body, permit: Arc<Permit>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            end: None,
            permit,
        }
    }

    /// Takes what is ready before anybody asks for it: an answer counts from when it is there, not from when it is
    /// read.
    pub(super) async fn begin(mut self) -> Self {
        std::future::poll_fn(|context| {
            if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
                match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(octets))) => {
                        self.permit.waits(octets.len());
                        self.rest = octets;
                    }
                    Some(Ok(Err(trailers))) => self.end = Some(Some(Ok(trailers))),
                    Some(Err(fault)) => self.end = Some(Some(Err(fault))),
                    None => self.end = Some(None),
                }
            }
            Poll::Ready(())
        })
        .await;
        self
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(end);
        }
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(octets) => {
                    self.permit.waits(octets.len());
                    self.rest = octets;
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.permit.went_on(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.end.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
