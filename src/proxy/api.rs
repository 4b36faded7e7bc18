//! Requests to the server itself: the welcome page, and what goes through the doorway to the API.

use std::pin::pin;
use std::sync::Arc;

use hyper::{Method, Response};
use tokio::time::timeout;

use super::answer::AnswerBody;
use super::client::Client;
use super::cores::Shared;
use super::headers::{self, Trailers, X_REQUEST_ID};
use super::outgoing::{Inbound, outgoing, upload};
use super::pages;
use super::upload::UploadWatch;
use super::upstream::{Carrier, Failure, Link};
use crate::route::{Doorway, Protocol};

/// Answers a request for the bare address.
pub(super) async fn answer(shared: &Shared, client: &Arc<Client>, request: Inbound) -> Response<AnswerBody> {
    let path = request.head.uri.path();
    if path == "/" && [Method::GET, Method::HEAD].contains(&request.head.method) {
        return pages::welcome(request.reader);
    }
    match &shared.doorway {
        Some(doorway) if path == "/v1" || path.starts_with("/v1/") => forward(shared, doorway, request, client).await,
        _ => pages::no_such_page(request.reader),
    }
}

async fn forward(shared: &Shared, doorway: &Doorway, request: Inbound, client: &Arc<Client>) -> Response<AnswerBody> {
    let Inbound { mut head, body, plan, visitor, reader } = request;
    let id = headers::identify(&mut head.headers, || shared.request_id());
    headers::to_upstream(&mut head.headers, &plan.host, &visitor, &client.ends);
    let (body, upload) = upload(shared, body, client, None);
    let request = outgoing(head, body, Protocol::Http1);
    let work = async {
        let arrival = timeout(shared.limits.connect, doorway.connect()).await.map_err(|_| Failure::Late)?;
        let mut link = Link::through(arrival.map_err(Failure::Refused)?).await?;
        // A build may say nothing for minutes before its answer; what is owed meanwhile is the client's own body.
        let answer = pin!(link.send(request));
        let answer = link.receive(answer, upload.as_deref(), None).await?;
        Ok::<_, Failure>((answer, link))
    };
    let failure = match work.await {
        Ok((answer, link)) => {
            let (mut head, body) = answer.into_parts();
            headers::to_client(&mut head.headers, Trailers::none());
            return Response::from_parts(head, AnswerBody::api(body, Carrier::Link(link)));
        }
        Err(failure) => failure,
    };
    if let Some(status) = upload.as_deref().and_then(UploadWatch::client_fault) {
        return pages::cut_upload(reader, status);
    }
    tracing::debug!(error = %failure, "the API did not answer");
    let mut page = pages::api_is_away();
    page.headers_mut().insert(X_REQUEST_ID, id);
    page
}
