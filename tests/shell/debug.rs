//! The page that shows what a replica decides by.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use datagate::admission::Mode;
use datagate::debug::Debug;
use datagate::index::{Lives, Worlds};
use datagate::server::{Health, Readiness};
use datagate_core::settings::Settings;
use datagate_core::world::{Catalogue, Namespace};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::admission::policy;
use crate::client::{Answer, Client};

/// Serves the page as the admin port does.
async fn serve(worlds: Worlds) -> SocketAddr {
    let readiness = Readiness::new();
    readiness.add("certificate", || Health::failing("none"));
    let debug = Debug {
        worlds,
        lives: Lives::new(),
        readiness,
        settings: Settings::default(),
        mode: Mode::Observe,
        clock: Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap()),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages: Router = debug.router();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    address
}

async fn get(address: SocketAddr, query: &str) -> Answer {
    Client::get(address, &format!("/debug{query}")).await
}

async fn page(address: SocketAddr, query: &str) -> Value {
    let answer = get(address, query).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_str(&answer.body).unwrap()
}

/// Many policies, of which one cannot be read, and namespaces that are called like people.
fn catalogue() -> Worlds {
    let mut catalogue = Catalogue::new(Settings::default());
    for name in ["zoe-private", "quentin"] {
        catalogue.put_namespace(name, Namespace::default());
    }
    for i in 0..250 {
        let mut policy = policy();
        policy.name = format!("p{i:03}").into();
        catalogue.put_policy(policy);
    }
    catalogue.put_unreadable_policy("p007", "spec.pauses[0]: no such region", None);
    catalogue.put_unreadable_record("broken", "spec.regions: no such region");
    Arc::new(ArcSwapOption::from_pointee(catalogue.publish()))
}

fn names(page: &Value) -> Vec<&str> {
    let items = page["index"]["items"].as_array().unwrap();
    items.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn it_says_what_is_decided_by() {
    let address = serve(catalogue()).await;
    let page = page(address, "?policy=p007&record=broken").await;
    let index = &page["index"];
    assert_eq!(
        index,
        &json!({
            "namespaces": 2,
            "records": 1,
            "unreadableRecords": [{"name": "broken", "error": "spec.regions: no such region"}],
            "record": {"name": "broken", "error": "spec.regions: no such region"},
            "policies": 250,
            "items": [{
                "name": "p007",
                "governedNamespaces": 2,
                "error": "spec.pauses[0]: no such region",
                "inForce": {
                    "uid": "", "generation": 0, "actions": ["Deny"], "pauses": 0, "requirements": 0,
                    "summary": index["items"][0]["inForce"]["summary"],
                },
            }],
        })
    );
    assert_eq!(
        (&page["ready"], &page["mode"]),
        (&json!(false), &json!("Observe"))
    );
    assert_eq!(
        page["checks"],
        json!([{"name": "certificate", "ok": false, "text": "none"}])
    );
    assert_eq!(page["watches"][0], json!({"name": "policies", "synced": false}));
    assert_eq!(
        page["settings"]["runtimeClasses"],
        json!(Settings::RUNTIME_CLASSES)
    );
    assert_eq!(
        page["settings"]["ignoredResources"],
        json!(Settings::IGNORED_RESOURCES)
    );
    let text = page.to_string();
    assert!(!text.contains("zoe") && !text.contains("quentin"), "{text}");
}

#[tokio::test]
async fn policies_come_in_pages() {
    let address = serve(catalogue()).await;
    let first = page(address, "").await;
    assert_eq!(names(&first).len(), 50);
    assert_eq!(first["index"]["next"], "p049");
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = page(address, &format!("?limit=200&after={after}")).await;
        seen.extend(names(&page).into_iter().map(ToOwned::to_owned));
        match page["index"]["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let all: Vec<_> = (0..250).map(|i| format!("p{i:03}")).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn before_the_first_snapshot_there_is_no_index() {
    let page = page(serve(Worlds::default()).await, "").await;
    assert_eq!(page.get("index"), None);
}

#[tokio::test]
async fn what_cannot_be_asked() {
    let address = serve(Worlds::default()).await;
    for query in ["?limit=0", "?limit=201", "?limit=all", "?namespace=x", "?policy"] {
        let answer = get(address, query).await;
        let told = "ask with policy=NAME, record=NAME, after=NAME or limit=1..200, joined by &\n";
        assert_eq!((answer.status, &*answer.body), (400, told), "{query}");
    }
}
