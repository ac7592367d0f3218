//! The flags of what the server tells besides its answers: the decision log's pseudonyms, traces.

use std::path::PathBuf;

use axum::http::Uri;
use clap::Args;

use crate::trace::{self, Ratio};

/// What the server tells.
#[derive(Args, Clone, Debug, Default)]
pub struct TelemetryFlags {
    /// Replace the names of users, objects and namespaces in the decision log by a keyed hash (HMAC-SHA-256) with the key in
    /// this file, of 32 bytes at least. Read at the start.
    #[arg(long, value_name = "FILE", env = "DATAGATE_PSEUDONYMISE_KEY")]
    pseudonymise_key: Option<PathBuf>,
    /// Send OpenTelemetry traces to this collector, over OTLP/HTTP; /v1/traces is added to an address without a path.
    #[arg(long, value_name = "URL", env = "DATAGATE_OTLP_ENDPOINT", value_parser = endpoint)]
    otlp_endpoint: Option<Uri>,
    /// How many of the requests are traced, from 0 to 1, of those that come without a trace of their own.
    #[arg(
        long,
        value_name = "RATIO",
        env = "DATAGATE_TRACE_RATIO",
        default_value = "0.01",
        value_parser = ratio,
        requires = "otlp_endpoint"
    )]
    trace_ratio: Option<Ratio>,
}

/// What the server tells, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// The file of the key.
    pub pseudonymise_key: Option<PathBuf>,
    /// Where traces go.
    pub traces: Option<trace::Config>,
}

impl TelemetryFlags {
    /// The flags, parsed.
    #[must_use]
    pub fn telemetry(self) -> Telemetry {
        let traces = self.otlp_endpoint.map(|endpoint| {
            let mut config = trace::Config::new(endpoint);
            config.ratio = self.trace_ratio.unwrap_or(config.ratio);
            config
        });
        Telemetry {
            pseudonymise_key: self.pseudonymise_key,
            traces,
        }
    }
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let (Some(authority), "http" | "https") = (uri.authority(), scheme) else {
        return Err("it is no http:// or https:// address".to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("it holds a user or a password, which are not sent".to_owned());
    }
    match uri.path() {
        "" | "/" => format!("{scheme}://{authority}/v1/traces")
            .parse()
            .map_err(|error| format!("{error}")),
        _ => Ok(uri),
    }
}

fn ratio(text: &str) -> Result<Ratio, String> {
    let ratio = text.parse().ok().and_then(Ratio::new);
    ratio.ok_or_else(|| "it is no number from 0 to 1".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        telemetry: TelemetryFlags,
    }

    fn telemetry(flags: &[&str]) -> Result<Telemetry, String> {
        let parsed = Program::try_parse_from(["serve"].iter().chain(flags));
        parsed
            .map(|it| it.telemetry.telemetry())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_told_unless_asked_for() {
        assert_eq!(telemetry(&[]), Ok(Telemetry::default()));
    }

    #[test]
    fn addresses_of_collectors() {
        for (given, posted) in [
            ("http://otel:4318", "http://otel:4318/v1/traces"),
            ("https://otel.example.com/", "https://otel.example.com/v1/traces"),
            (
                "http://otel:4318/tenant/v1/traces",
                "http://otel:4318/tenant/v1/traces",
            ),
        ] {
            let config = telemetry(&["--otlp-endpoint", given]).unwrap().traces.unwrap();
            assert_eq!(config.endpoint.to_string(), posted);
            assert_eq!(Some(config.ratio), Ratio::new(0.01));
        }
        for (wrong, why) in [
            ("otel:4318", "no http:// or https:// address"),
            ("grpc://otel:4317", "no http:// or https:// address"),
            ("/v1/traces", "no http:// or https:// address"),
            ("http://me:secret@otel:4318", "a user or a password"),
        ] {
            let error = telemetry(&["--otlp-endpoint", wrong]).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn ratios_are_parts_of_one() {
        let given = |ratio: &str| telemetry(&["--otlp-endpoint=http://o", &format!("--trace-ratio={ratio}")]);
        assert_eq!(
            given("1").unwrap().traces.unwrap().ratio,
            Ratio::new(1.0).unwrap()
        );
        for wrong in ["1.5", "-1", "10%", "NaN", ""] {
            let error = given(wrong).unwrap_err();
            assert!(error.contains("no number from 0 to 1"), "{wrong}: {error}");
        }
    }
}
