//! Lists, page by page, and what the API server serves at all.

use std::collections::{HashMap, HashSet};

use datagate_core::workload::{KnownKind, Scope as Lives};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::source::{Failure, Source};

/// Objects of a page.
const PAGE: usize = 500;

/// Bytes of a page. One that is larger is asked for in smaller pieces.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A list that expires more often than this will never end.
const MAX_RESTARTS: usize = 5;

/// A list that is being read.
#[derive(Debug)]
pub struct List<'s, S> {
    source: &'s S,
    path: String,
    limit: usize,
    next: Option<String>,
    begun: bool,
    /// How often its pages expired. What comes after that may have been there before.
    pub restarts: usize,
    /// How many objects are still to come, if the API server says so.
    pub remaining: Option<u64>,
}

/// Which versions of which kinds there are, asked once for each group.
#[derive(Debug, Default)]
pub struct Served {
    groups: HashMap<String, Result<HashSet<String>, Failure>>,
}

#[derive(Deserialize)]
struct Ends {
    #[serde(default)]
    metadata: End,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    #[serde(default, rename = "continue")]
    next: Option<String>,
    #[serde(default)]
    remaining_item_count: Option<u64>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

impl<'s, S: Source> List<'s, S> {
    /// Of everything at a path.
    pub fn new(source: &'s S, path: String) -> Self {
        Self {
            source,
            path,
            limit: PAGE,
            next: None,
            begun: false,
            restarts: 0,
            remaining: None,
        }
    }

    /// The next page, if there is one.
    ///
    /// # Errors
    ///
    /// If the list cannot be read, or not to its end.
    pub async fn page(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if self.begun && self.next.is_none() {
                return Ok(None);
            }
            let mut path = format!("{}?limit={}", self.path, self.limit);
            if let Some(next) = &self.next {
                path.push_str("&continue=");
                path.push_str(&escaped(next));
            }
            match self.source.get(&path, MAX_BYTES).await {
                Ok(text) => {
                    let ends: Ends = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
                    self.begun = true;
                    self.next = ends.metadata.next.filter(|next| !next.is_empty());
                    self.remaining = ends.metadata.remaining_item_count;
                    return Ok(Some(text));
                }
                Err(Failure::Expired { next }) if self.restarts < MAX_RESTARTS => {
                    self.restarts = self.restarts.saturating_add(1);
                    self.begun = next.is_some();
                    self.next = next;
                }
                Err(Failure::TooLarge) if self.limit > 1 => self.limit = (self.limit / 8).max(1),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// The objects of a page, as they are.
///
/// # Errors
///
/// If it is no list.
pub fn items(page: &str) -> Result<Vec<&RawValue>, Failure> {
    let page: Page<'_> = serde_json::from_str(page).map_err(|error| unreadable(&error))?;
    Ok(page.items.unwrap_or_default())
}

impl Served {
    /// The first of the versions that are read which is served; none: there is no such kind in this cluster.
    ///
    /// # Errors
    ///
    /// If the API server does not say.
    pub async fn version<S: Source>(
        &mut self,
        source: &S,
        kind: KnownKind,
    ) -> Result<Option<&'static str>, Failure> {
        let info = kind.info();
        for version in info.versions {
            let group = group_path(info.group, version);
            if !self.groups.contains_key(&group) {
                let resources = resources(source, &group).await;
                self.groups.insert(group.clone(), resources);
            }
            match self.groups.get(&group) {
                Some(Ok(resources)) if resources.contains(info.plural) => return Ok(Some(version)),
                Some(Err(failure)) => return Err(failure.clone()),
                _ => {}
            }
        }
        Ok(None)
    }
}

async fn resources<S: Source>(source: &S, group: &str) -> Result<HashSet<String>, Failure> {
    match source.get(group, MAX_BYTES).await {
        Err(Failure::NotFound) => Ok(HashSet::new()),
        Err(failure) => Err(failure),
        Ok(text) => {
            let all: Resources = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
            Ok(all.resources.into_iter().map(|it| it.name).collect())
        }
    }
}

/// Where the objects of a kind are listed.
#[must_use]
pub fn path(kind: KnownKind, version: &str, namespace: Option<&str>) -> String {
    let info = kind.info();
    let group = group_path(info.group, version);
    match namespace.filter(|_| info.scope == Lives::Namespaced) {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{}", info.plural),
        None => format!("{group}/{}", info.plural),
    }
}

fn group_path(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    }
}

/// `jobs.batch`, as kubectl says it.
#[must_use]
pub fn resource(kind: KnownKind) -> String {
    let info = kind.info();
    match info.group {
        "" => info.plural.to_owned(),
        group => format!("{}.{group}", info.plural),
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::Other(format!("the answer of the API server cannot be read: {error}"))
}

/// A value of a query. Tokens are base64, but nothing promises that.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Gives prepared answers, and notes what it was asked.
    struct Script {
        answers: RefCell<Vec<Result<String, Failure>>>,
        asked: RefCell<Vec<String>>,
    }

    impl Source for Script {
        async fn get(&self, path: &str, _: usize) -> Result<String, Failure> {
            self.asked.borrow_mut().push(path.to_owned());
            self.answers.borrow_mut().remove(0)
        }
    }

    fn script(answers: Vec<Result<String, Failure>>) -> Script {
        Script {
            answers: RefCell::new(answers),
            asked: RefCell::default(),
        }
    }

    fn page(next: &str, items: &str) -> Result<String, Failure> {
        Ok(format!(
            r#"{{"metadata":{{"continue":"{next}"}},"items":{items}}}"#
        ))
    }

    /// How many items came with each page, until the end.
    async fn all(list: &mut List<'_, Script>) -> Result<Vec<usize>, Failure> {
        let mut counts = Vec::new();
        while let Some(text) = list.page().await? {
            counts.push(items(&text)?.len());
        }
        Ok(counts)
    }

    #[tokio::test]
    async fn pages_follow_one_another() {
        let script = script(vec![page("a=/+", "[1,2]"), page("", "null")]);
        let mut list = List::new(&script, "/api/v1/pods".to_owned());
        assert_eq!(all(&mut list).await, Ok(vec![2, 0]));
        assert_eq!(
            *script.asked.borrow(),
            [
                "/api/v1/pods?limit=500",
                "/api/v1/pods?limit=500&continue=a%3D%2F%2B"
            ]
        );
    }

    #[tokio::test]
    async fn an_expired_list_goes_on_where_the_server_offers_or_begins_again() {
        let expired = |next: Option<&str>| {
            Err(Failure::Expired {
                next: next.map(Into::into),
            })
        };
        let script = script(vec![
            page("a", "[1]"),
            expired(Some("b")),
            page("c", "[2]"),
            expired(None),
            page("", "[1]"),
        ]);
        let mut list = List::new(&script, "/x".to_owned());
        assert_eq!(all(&mut list).await, Ok(vec![1, 1, 1]));
        assert_eq!(list.restarts, 2);
        assert_eq!(
            *script.asked.borrow(),
            [
                "/x?limit=500",
                "/x?limit=500&continue=a",
                "/x?limit=500&continue=b",
                "/x?limit=500&continue=c",
                "/x?limit=500"
            ]
        );
    }

    #[tokio::test]
    async fn a_list_that_always_expires_is_given_up() {
        let script = script(vec![Err(Failure::Expired { next: None }); MAX_RESTARTS + 1]);
        let mut list = List::new(&script, "/x".to_owned());
        assert_eq!(list.page().await.unwrap_err(), Failure::Expired { next: None });
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_in_pieces() {
        let script = script(vec![
            Err(Failure::TooLarge),
            Err(Failure::TooLarge),
            page("", "[]"),
        ]);
        assert_eq!(all(&mut List::new(&script, "/x".to_owned())).await, Ok(vec![0]));
        assert_eq!(
            *script.asked.borrow(),
            ["/x?limit=500", "/x?limit=62", "/x?limit=7"]
        );
    }

    #[tokio::test]
    async fn a_group_is_asked_about_once() {
        let script = script(vec![
            Ok(r#"{"resources":[{"name":"jobs"},{"name":"jobs/status"}]}"#.to_owned()),
            Err(Failure::NotFound),
        ]);
        let mut served = Served::default();
        let mut version = async |kind| served.version(&script, kind).await;
        assert_eq!(version(KnownKind::Job).await, Ok(Some("v1")));
        assert_eq!(version(KnownKind::CronJob).await, Ok(None));
        assert_eq!(version(KnownKind::Deployment).await, Ok(None));
        assert_eq!(script.asked.borrow().len(), 2);
    }
}
