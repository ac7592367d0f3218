//! Asks the API server what it serves. Each answer is read and dropped before the next one is asked for, on a thread
//! where nobody waits for a verdict.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::time::Duration;

use axum::http::header::ACCEPT;
use axum::http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::crd::{self, Page};
use super::discovery::{self, Discovery};
use super::rules::{Configuration, Configurations, Rules};
use super::{Asked, Cluster};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const JSON: &str = "application/json";

/// CRDs in a page: few, as some are megabytes.
const PAGE: usize = 4;

/// Bytes of an answer. etcd keeps objects of up to 1.5 MiB unless it is told otherwise.
const LARGEST: usize = 32 * 1024 * 1024;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the rules are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// In all webhook configurations.
    All,
    /// In the one of that name, which needs fewer rights.
    Named(String),
}

/// What kept us from telling.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused.
    #[error(
        "the API server answered {status} to GET {path}. Grant `{verb}` on {resource}, or use another account"
    )]
    Refused {
        /// The status.
        status: StatusCode,
        /// What was asked for.
        path: String,
        /// The right that it takes.
        verb: &'static str,
        /// On what.
        resource: &'static str,
    },
    /// It failed.
    #[error("the API server answered {status} to GET {path}. Try again")]
    Status {
        /// The status.
        status: StatusCode,
        /// What was asked for.
        path: String,
    },
    /// It could not be reached.
    #[error("cannot reach the API server: {0}. Is the context of your kubeconfig the right one?")]
    Client(String),
    /// It took too long.
    #[error("no answer to GET {path} within {} s. Try again", PATIENCE.as_secs())]
    Late {
        /// What was asked for.
        path: String,
    },
    /// The answer broke off, or is too large.
    #[error("the answer to GET {path} broke off or is larger than {LARGEST} bytes: {what}")]
    Body {
        /// What was asked for.
        path: String,
        /// What happened.
        what: String,
    },
    /// The answer is something else.
    #[error("the answer to GET {path} is not what Kubernetes 1.33 or newer says: {what}")]
    Form {
        /// What was asked for.
        path: String,
        /// What is wrong.
        what: String,
    },
}

/// Looks at everything once.
///
/// # Errors
///
/// If the API server does not say what it serves. Where the rules are missing, that is part of the answer.
pub async fn look(client: &Client, at: &Where) -> Result<Cluster, Error> {
    let mut cluster = Cluster::default();
    let mut custom = BTreeSet::new();
    let mut next = None;
    loop {
        let page = page(client, next.as_deref()).await?;
        custom.extend(page.groups);
        cluster.kinds.extend(page.kinds);
        cluster.unread.extend(page.unread);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let core = ask(client, "/api", discovery::ACCEPT, Discovery::read).await?;
    let others = ask(client, "/apis", discovery::ACCEPT, Discovery::read).await?;
    cluster.unseen = others.unseen(&custom);
    cluster.kinds.extend(core.built_in().chain(others.built_in()));
    cluster.asked = rules(client, at).await;
    Ok(cluster)
}

async fn page(client: &Client, next: Option<&str>) -> Result<Page, Error> {
    let from = next.map_or_else(String::new, |next| format!("&continue={next}"));
    let path = format!("{CRDS}?limit={PAGE}{from}");
    ask(client, &path, JSON, crd::read).await
}

async fn rules(client: &Client, at: &Where) -> Asked {
    let found = match at {
        Where::All => {
            ask(client, WEBHOOKS, JSON, |json| {
                serde_json::from_str::<Configurations>(json).map(Rules::from)
            })
            .await
        }
        Where::Named(name) => {
            let path = format!("{WEBHOOKS}/{name}");
            let one = ask(client, &path, JSON, |json| {
                serde_json::from_str::<Configuration>(json).map(|one| Rules::of([one]))
            });
            match one.await {
                Err(Error::Status {
                    status: StatusCode::NOT_FOUND,
                    ..
                }) => Ok(Rules::default()),
                other => other,
            }
        }
    };
    found.map_or_else(|error| Asked::Unknown(error.to_string()), Asked::Rules)
}

/// One answer, read where reading it holds up nobody.
async fn ask<T: Send + 'static>(
    client: &Client,
    path: &str,
    accept: &'static str,
    read: impl FnOnce(&str) -> Result<T, serde_json::Error> + Send + 'static,
) -> Result<T, Error> {
    let get = get(client, path, accept);
    let Ok(body) = timeout(PATIENCE, get).await else {
        return Err(Error::Late { path: bare(path) });
    };
    let body = body?;
    let read = move || {
        let text = std::str::from_utf8(&body).map_err(|error| error.to_string())?;
        read(text).map_err(|error| error.to_string())
    };
    let read = spawn_blocking(read)
        .await
        .unwrap_or_else(|ended| Err(ended.to_string()));
    read.map_err(|what| Error::Form {
        path: bare(path),
        what,
    })
}

async fn get(client: &Client, path: &str, accept: &'static str) -> Result<Vec<u8>, Error> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path
        .parse()
        .map_err(|error: axum::http::uri::InvalidUri| Error::Form {
            path: bare(path),
            what: error.to_string(),
        })?;
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static(accept));
    let response = client
        .send(request)
        .await
        .map_err(|error| Error::Client(chain(&error)))?;
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(refused(status, path));
    }
    if status != StatusCode::OK {
        return Err(Error::Status {
            status,
            path: bare(path),
        });
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| Error::Body {
        path: bare(path),
        what: error.to_string(),
    })?;
    Ok(body.to_bytes().into())
}

fn refused(status: StatusCode, path: &str) -> Error {
    let (verb, resource) = match path {
        crds if crds.starts_with(CRDS) => ("list", "customresourcedefinitions.apiextensions.k8s.io"),
        all if all == WEBHOOKS => (
            "list",
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
        ),
        one if one.starts_with(WEBHOOKS) => (
            "get",
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
        ),
        _ => ("get", "the URLs of system:discovery"),
    };
    Error::Refused {
        status,
        path: bare(path),
        verb,
        resource,
    }
}

/// Without the query, which says nothing to people.
fn bare(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// An error with its causes: the outer ones often say nothing.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        source = error.source();
    }
    text
}
