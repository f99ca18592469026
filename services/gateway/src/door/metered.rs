//! Bodies that are counted: what comes in against the budget of unfinished octets, what goes out against that of unread
//! ones.
//!
//! Must never hand over octets that go beyond the budget, and must never let a call's permit go before its answer has.

use super::budgets::{Budget, Permit};
use super::room::Line;
use http_body::{Body as _, Frame, SizeHint};
use rules::limits::MESSAGE_BYTES_MAX;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Octets that are handed on together. Below this layer they are out of sight until they are sent, so that each stream
/// holds so many that nobody counts.
const PIECE_BYTES: usize = 8 * 1024;

/// Octets of one answer: what is longer is no answer of ours but a conversation without end. Streams of a watch aside.
const ANSWER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

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
    /// Octets of it until now.
    length: usize,
    /// Whether the connection is to send what it has before it gets more.
    rests: bool,
    permit: Arc<Permit>,
    line: Line,
}

impl Outgoing {
    pub(super) const fn new(body: Body, permit: Arc<Permit>, line: Line) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            end: None,
            length: 0,
            rests: false,
            permit,
            line,
        }
    }

    /// Counts octets that came out of the body; an error where they are too many.
    fn take(&mut self, octets: Bytes) -> Result<(), Status> {
        self.length = self.length.saturating_add(octets.len());
        if self.length > ANSWER_BYTES_MAX && !self.permit.is_watch() {
            return Err(Status::resource_exhausted("the answer has no end"));
        }
        self.permit.waits(octets.len());
        self.rest = octets;
        Ok(())
    }

    /// Takes what is ready before anybody asks for it: an answer counts from when it is there, not from when it is
    /// read.
    pub(super) async fn begin(mut self) -> Self {
        std::future::poll_fn(|context| {
            if self.body.is_end_stream() {
                return Poll::Ready(());
            }
            if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
                match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(octets))) => {
                        if let Err(fault) = self.take(octets) {
                            self.end = Some(Some(Err(fault)));
                        }
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
        // HTTP/2 takes far more than the peer's connection does: what it has goes first.
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(octets) => self.take(octets)?,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        if self.line.is_stuck(context) {
            return Poll::Pending;
        }
        self.rests = true;
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.permit.went_on(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.end {
                Some(end) => end.is_none(),
                None => self.body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
