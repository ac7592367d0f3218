//! Where the objects come from: an API server, or in tests something that looks like one.

use std::future::Future;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

/// Answers GET requests.
pub trait Source {
    /// What stands at a path; larger answers than this are not read.
    fn get(&self, path: &str, max_bytes: usize) -> impl Future<Output = Result<String, Failure>>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such thing.
    #[error("there is no such thing")]
    NotFound,
    /// The list took so long that its next page is gone.
    #[error("the list took longer than the API server keeps its pages")]
    Expired {
        /// Where the API server offers to go on, with whatever has changed since.
        next: Option<String>,
    },
    /// The answer is larger than wanted.
    #[error("a single object is larger than can be read")]
    TooLarge,
    /// Anything else: no rights, no answer.
    #[error("{0}")]
    Other(String),
}

/// Asks the API server.
#[derive(Clone)]
pub struct KubeSource {
    client: Client,
}

/// A page with 500 objects is due in well under a second; this is for an API server in trouble.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pauses before it is asked again, if it has no time or cannot be reached.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
];

impl KubeSource {
    /// The client should not retry by itself (`kube::Config::default_retry`).
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Asks once; with whether asking again makes sense.
    async fn once(&self, path: &str, max_bytes: usize) -> Result<String, (Failure, bool)> {
        let other = |what: String, again| (Failure::Other(what), again);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path
            .parse()
            .map_err(|_| other(format!("{path} is no path"), false))?;
        let sent = self.client.send(request).await;
        let response =
            sent.map_err(|error| other(format!("no answer from the API server: {error}"), true))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => (Failure::TooLarge, false),
            None => other(format!("the answer broke off: {error}"), true),
        })?;
        let text = String::from_utf8(body.to_bytes().into());
        let text = text.map_err(|_| other("the answer is not UTF-8".to_owned(), false))?;
        match status {
            StatusCode::OK => Ok(text),
            StatusCode::NOT_FOUND => Err((Failure::NotFound, false)),
            StatusCode::GONE => Err((
                Failure::Expired {
                    next: Refused::read(&text).next(),
                },
                false,
            )),
            status => {
                let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                Err(other(Refused::read(&text).told(status), again))
            }
        }
    }
}

impl Source for KubeSource {
    async fn get(&self, path: &str, max_bytes: usize) -> Result<String, Failure> {
        let mut pauses = AGAIN.iter();
        loop {
            let once = timeout(PATIENCE, self.once(path, max_bytes)).await;
            let slow = || {
                Failure::Other(format!(
                    "no answer from the API server in {} s",
                    PATIENCE.as_secs()
                ))
            };
            match once.unwrap_or_else(|_| Err((slow(), true))) {
                Ok(text) => return Ok(text),
                Err((failure, again)) => match pauses.next().filter(|_| again) {
                    Some(pause) => sleep(*pause).await,
                    None => return Err(failure),
                },
            }
        }
    }
}

/// The API server's own words, if they are readable.
#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    message: String,
    #[serde(default)]
    metadata: Next,
}

#[derive(Default, Deserialize)]
struct Next {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Refused {
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn next(self) -> Option<String> {
        Some(self.metadata.next).filter(|next| !next.is_empty())
    }

    fn told(&self, status: StatusCode) -> String {
        match self.message.lines().next() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => format!("the API server answered {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use axum::http::Response;

    use super::*;

    /// A source behind which these answers wait, and how many of them are left.
    fn answering(answers: &[(u16, &str)]) -> (KubeSource, impl Fn() -> usize) {
        let answers = answers.iter().map(|(code, body)| (*code, (*body).to_owned()));
        let answers = Arc::new(Mutex::new(answers.collect::<std::collections::VecDeque<_>>()));
        let left = answers.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let (code, body) = answers.lock().unwrap().pop_front().unwrap();
            let response = Response::builder()
                .status(code)
                .body(Body::from(body.into_bytes()));
            async { Ok::<_, Infallible>(response.unwrap()) }
        });
        let client = Client::new(service, "default");
        (KubeSource::new(client), move || left.lock().unwrap().len())
    }

    async fn get(answers: &[(u16, &str)]) -> (Result<String, Failure>, usize) {
        let (source, left) = answering(answers);
        let got = source.get("/api/v1/pods", 100).await;
        (got, left())
    }

    fn other(what: &str) -> Result<String, Failure> {
        Err(Failure::Other(what.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_time_is_asked_again() {
        let busy = (503, r#"{"message": "no time"}"#);
        let answers = [busy, (429, "slowly"), (200, "fine"), busy];
        assert_eq!(get(&answers).await, (Ok("fine".to_owned()), 1));
        assert_eq!(get(&[busy; 5]).await, (other("no time"), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_in_the_servers_words_and_final() {
        let forbidden = r#"{"message": "x"}"#;
        assert_eq!(get(&[(403, forbidden), (200, "")]).await.1, 1);
        assert_eq!(
            get(&[(401, "")]).await.0,
            other("the API server answered 401 Unauthorized")
        );
        assert_eq!(get(&[(404, "404 pag")]).await.0, Err(Failure::NotFound));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_a_bound() {
        let [fits, too_large] = [100, 101].map(|bytes| "x".repeat(bytes));
        assert_eq!(get(&[(200, &fits)]).await.0, Ok(fits.clone()));
        assert_eq!(get(&[(200, &too_large)]).await.0, Err(Failure::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_list_may_offer_a_way_on() {
        let expired = |next: Option<&str>| {
            Err(Failure::Expired {
                next: next.map(Into::into),
            })
        };
        let (source, _) = answering(&[
            (
                410,
                r#"{"kind": "Status", "metadata": {"continue": "abc"}, "reason": "Expired"}"#,
            ),
            (410, r#"{"kind": "Status", "metadata": {}}"#),
        ]);
        assert_eq!(source.get("/x", 1000).await, expired(Some("abc")));
        assert_eq!(source.get("/x", 1000).await, expired(None));
    }
}
