//! A client that says exactly which bytes it sends, over TLS or not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::crypto::aws_lc_rs;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pki::{CA, NAME, NOW, serial};

/// Longer than anything takes; only a test that hangs waits for it.
pub const LONG: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client<S = TlsStream<TcpStream>> {
    pub io: S,
    buffer: BytesMut,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// The client's clock stands still, so that no test depends on the day.
#[derive(Debug)]
pub struct Still;

impl TimeProvider for Still {
    fn current_time(&self) -> Option<UnixTime> {
        let now = NOW.parse::<jiff::Timestamp>().unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            now.as_second().try_into().unwrap(),
        )))
    }
}

pub fn tls(alpn: &[&str], trusting: bool) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    if trusting {
        roots.add(CA.der().clone()).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Still))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

impl Client {
    pub async fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::connect_with(to, &tls(&["http/1.1"], true)).await
    }

    pub async fn connect_with(to: SocketAddr, tls: &TlsConnector) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).unwrap();
        Ok(Client::over(
            timeout(LONG, tls.connect(name, stream)).await.unwrap()?,
        ))
    }

    /// The serial number of the certificate that the server showed.
    pub fn serial(&self) -> String {
        serial(&self.io.get_ref().1.peer_certificates().unwrap()[0])
    }
}

impl Client<TcpStream> {
    pub async fn plain(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.unwrap())
    }

    /// `GET`s `path` on a connection of its own.
    pub async fn get(to: SocketAddr, path: &str) -> Answer {
        let mut client = Self::plain(to).await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .unwrap();
        client.answer().await.unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(io: S) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        timeout(LONG, async {
            self.io.write_all(bytes.as_ref()).await?;
            self.io.flush().await
        })
        .await
        .unwrap()
    }

    /// Posts a review and reads the answer.
    pub async fn post(&mut self, body: impl AsRef<[u8]>) -> io::Result<Answer> {
        self.send(post("/validate", body.as_ref())).await?;
        self.answer().await
    }

    /// Reads one answer.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        timeout(LONG, async {
            let end = loop {
                if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
                self.more().await?;
            };
            let head = String::from_utf8(self.buffer.split_to(end).to_vec())
                .unwrap()
                .to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            while self.buffer.len() < length {
                self.more().await?;
            }
            let body = String::from_utf8(self.buffer.split_to(length).to_vec()).unwrap();
            Ok(Answer {
                status: head[9..12].parse().unwrap(),
                head,
                body,
            })
        })
        .await
        .expect("an answer")
    }

    /// Waits until the server closes; says whether it did so in good order.
    pub async fn closed(&mut self) -> bool {
        assert!(self.buffer.is_empty(), "left over: {:?}", self.buffer);
        match timeout(LONG, self.io.read_buf(&mut self.buffer))
            .await
            .expect("the server closes")
        {
            Ok(0) => true,
            Ok(_) => panic!("instead of a close: {:?}", self.buffer),
            Err(_) => false,
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.io.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Answer {
    pub fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A request head that announces so many bytes.
pub fn head(target: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

/// A whole request.
pub fn post(target: &str, body: &[u8]) -> Vec<u8> {
    [head(target, body.len()).as_bytes(), body].concat()
}
