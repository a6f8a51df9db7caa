//! The service's port, which AWS clients connect to.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::{sleep, timeout};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::error::KmsError;
use crate::faults::{Ending, Faults, Outage};
use crate::http::{self, Body, Handler, Hangup, Limits, Peer};
use crate::service::Service;
use crate::wire;

/// Longer than any client waits for an answer.
const HANG: Duration = Duration::from_secs(300);

/// Serves the service's port.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) service: Arc<Service>,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
}

impl Handler for Endpoint {
    async fn handle(&self, mut request: Request<Incoming>, peer: &Peer) -> Result<Response<Body>, Hangup> {
        let mut buffer = [0; Hyphenated::LENGTH];
        let id: &str = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        match self.faults.outage() {
            None => {}
            Some(Outage::Reset) => return Err(peer.reset()),
            Some(Outage::Unavailable) => return Ok(wire::failure(id, &unavailable())),
        }
        let body = match http::read_body(&mut request, &self.limits).await {
            Ok(body) => body,
            Err(refusal) => return Ok(wire::unreadable(id, refusal)),
        };
        let parts = request.into_parts().0;
        let call = match wire::parse(&parts, &body, id, &peer.address, peer.tls.as_ref()) {
            Ok(call) => call,
            Err(error) => return Ok(wire::failure(id, &error)),
        };
        let plan = self.faults.plan(&call);
        if plan.wait > Duration::ZERO {
            sleep(plan.wait).await;
        }
        let answer = || match self.service.call(&call) {
            Ok(json) => wire::answer(id, json),
            Err(error) => wire::failure(id, &error),
        };
        match plan.ending {
            Ending::Answer => Ok(answer()),
            Ending::Truncate => Ok(answer().map(Body::truncated)),
            Ending::Error(error) => {
                self.service.refused(&call, &error);
                Ok(wire::failure(id, &error))
            }
            Ending::Reset => Err(peer.reset()),
            Ending::Hang => {
                let _ = timeout(HANG, peer.left()).await;
                Err(Hangup)
            }
        }
    }
}

fn unavailable() -> KmsError {
    let message = "The service is unavailable: an outage is set in kms-mock.".to_owned();
    KmsError {
        kind: "ServiceUnavailableException".to_owned(),
        message,
        status: 503,
    }
}
