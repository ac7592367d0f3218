//! The CRDs in `crds/` are what the types say. `DATAGATE_UPDATE=1` writes them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use datagate_api::crd::{crds, yaml};

#[test]
fn crds_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    for crd in crds().unwrap() {
        let name = format!("datagate.dev_{}.yaml", crd.spec.names.plural);
        let path = folder.join(&name);
        let expected = yaml(&crd).unwrap();
        assert!(expected.len() < 256 * 1024, "{name} has {} bytes", expected.len());
        if std::env::var_os("DATAGATE_UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "crds/{name} is out of date: run with DATAGATE_UPDATE=1"
        );
    }
}
