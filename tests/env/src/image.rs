//! Writes an image of static programs as an archive, without a container tool: one layer, and the same bytes whenever it
//! is made of the same files.
//!
//! The archive is an OCI image layout, which `ctr images import`, podman, skopeo and crane read, with the `manifest.json`
//! beside it that `docker load` wants.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::Error;

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Image {
    /// `name:tag`, with the registry unless it is Docker's.
    pub name: String,
    /// User and group by number: a name would need files that say who it is.
    pub user: String,
    /// The labels of the image.
    pub labels: Vec<(String, String)>,
    /// Its programs; the first is run.
    pub files: Vec<File>,
}

/// A file of an image.
#[derive(Debug, Clone)]
pub struct File {
    /// The file on this machine.
    pub from: PathBuf,
    /// Its path in the image, without a slash at the front.
    pub to: String,
}

/// A blob and what an index says of it.
struct Blob {
    content: Vec<u8>,
    digest: String,
}

impl Image {
    /// Writes the archive.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<(), Error> {
        let layer = Blob::new(self.layer()?);
        let config = Blob::json(&self.config(&layer));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        }));
        let mut entry = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(
                "platform".to_owned(),
                json!({"os": "linux", "architecture": architecture()}),
            );
            entry.insert(
                "annotations".to_owned(),
                json!({
                    "io.containerd.image.name": full_name(&self.name),
                    "org.opencontainers.image.ref.name": tag,
                }),
            );
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        let docker = json!([{"Config": config.path(), "RepoTags": [self.name], "Layers": [layer.path()]}]);

        let write = |to: &mut Vec<u8>| -> io::Result<()> {
            let mut tar = Builder::new(to);
            folder(&mut tar, "blobs/", 0o755)?;
            folder(&mut tar, "blobs/sha256/", 0o755)?;
            for blob in [&config, &layer, &manifest] {
                file(&mut tar, &blob.path(), 0o644, &blob.content)?;
            }
            file(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
            file(&mut tar, "manifest.json", 0o644, docker.to_string().as_bytes())?;
            file(
                &mut tar,
                "oci-layout",
                0o644,
                br#"{"imageLayoutVersion":"1.0.0"}"#,
            )?;
            tar.finish()
        };
        let mut bytes = Vec::new();
        write(&mut bytes).map_err(Error::io("make the archive", archive))?;
        if let Some(parent) = archive.parent() {
            fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        }
        fs::write(archive, bytes).map_err(Error::io("write", archive))
    }

    /// The tar of the layer: the files, the folders above them and `/tmp`.
    fn layer(&self) -> Result<Vec<u8>, Error> {
        let mut tar = Builder::new(Vec::new());
        let mut folders = BTreeSet::new();
        for file in &self.files {
            let above = Path::new(&file.to).ancestors().skip(1);
            folders.extend(above.map(Path::to_path_buf).filter(|path| path.as_os_str() != ""));
        }
        let failed = |path: &Path| Error::io("put into the image", path.to_owned());
        folder(&mut tar, "tmp/", 0o1777).map_err(failed(Path::new("/tmp")))?;
        for path in folders {
            folder(&mut tar, &format!("{}/", path.display()), 0o755).map_err(failed(&path))?;
        }
        for program in &self.files {
            let content = fs::read(&program.from).map_err(Error::io("read", &program.from))?;
            file(&mut tar, &program.to, 0o755, &content).map_err(failed(&program.from))?;
        }
        tar.into_inner().map_err(failed(Path::new("/")))
    }

    fn config(&self, layer: &Blob) -> Value {
        let labels: serde_json::Map<String, Value> = self
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let run: Vec<String> = self
            .files
            .first()
            .iter()
            .map(|file| format!("/{}", file.to))
            .collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            // The same bytes every time: a date would be that of the build and of no interest.
            "created": "1970-01-01T00:00:00Z",
            "config": {"User": self.user, "Env": ["PATH=/"], "Entrypoint": run, "WorkingDir": "/", "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "datagate-env image"}],
        })
    }
}

impl Blob {
    fn new(content: Vec<u8>) -> Self {
        let digest = hex(&Sha256::digest(&content));
        Self { content, digest }
    }

    fn json(content: &Value) -> Self {
        Self::new(content.to_string().into_bytes())
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({"mediaType": kind, "digest": format!("sha256:{}", self.digest), "size": self.content.len()})
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

/// Bytes as it is usual to write a digest.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name as a container runtime stores it.
fn full_name(name: &str) -> String {
    let host = name.split_once('/').map(|(host, _)| host);
    match host {
        Some(host) if host == "localhost" || host.contains(['.', ':']) => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// As Go calls it, and so everything about images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn folder(tar: &mut Builder<impl Write>, path: &str, mode: u32) -> io::Result<()> {
    append(tar, path, mode, EntryType::Directory, &[])
}

fn file(tar: &mut Builder<impl Write>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    append(tar, path, mode, EntryType::Regular, content)
}

fn append(
    tar: &mut Builder<impl Write>,
    path: &str,
    mode: u32,
    kind: EntryType,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_runtimes_do() {
        for (short, full) in [
            ("datagate:1", "docker.io/library/datagate:1"),
            ("org/datagate:1", "docker.io/org/datagate:1"),
            ("localhost/x:1", "localhost/x:1"),
            ("registry.example.com/x:1", "registry.example.com/x:1"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }

    #[test]
    fn the_same_files_make_the_same_bytes_and_every_digest_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "#!").unwrap();
        let image = Image {
            name: "localhost/x:7".to_owned(),
            user: "65532:65532".to_owned(),
            labels: vec![("a".to_owned(), "b".to_owned())],
            files: vec![File {
                from: program,
                to: "usr/bin/x".to_owned(),
            }],
        };
        let (one, two) = (dir.path().join("one/x.tar"), dir.path().join("two.tar"));
        image.write(&one).unwrap();
        image.write(&two).unwrap();
        let bytes = fs::read(&one).unwrap();
        assert_eq!(bytes, fs::read(&two).unwrap());

        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            io::Read::read_to_end(&mut entry, &mut content).unwrap();
            found.insert(path, content);
        }
        for (path, content) in &found {
            if let Some(digest) = path.strip_prefix("blobs/sha256/").filter(|rest| !rest.is_empty()) {
                assert_eq!(hex(&Sha256::digest(content)), digest);
            }
        }
        let read = |path: &str| -> Value { serde_json::from_slice(&found[path]).unwrap() };
        let blob = |descriptor: &Value| {
            format!(
                "blobs/sha256/{}",
                descriptor["digest"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("sha256:")
            )
        };
        let index = read("index.json");
        let manifest = read(&blob(&index["manifests"][0]));
        let config = read(&blob(&manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/x"]));
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Labels"], json!({"a": "b"}));
        let docker = read("manifest.json");
        assert_eq!(docker[0]["RepoTags"], json!(["localhost/x:7"]));
        assert_eq!(docker[0]["Layers"][0], json!(blob(&manifest["layers"][0])));

        let mut layer = tar::Archive::new(found[&blob(&manifest["layers"][0])].as_slice());
        let paths: Vec<_> = layer
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.path().unwrap().display().to_string(),
                    entry.header().mode().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("tmp/", 0o1777),
            ("usr/", 0o755),
            ("usr/bin/", 0o755),
            ("usr/bin/x", 0o755),
        ];
        assert_eq!(paths, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }
}
