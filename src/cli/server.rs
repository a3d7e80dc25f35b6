//! Which server a command talks to, and with which headers.

use clap::Args;

use super::{api::ApiClient, failure::Failure, profile::Profile};

/// The server.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// The address of the REST API; SERVER of the configuration file if not given
    #[arg(long, value_name = "URL", env = "RSTUF_API_SERVER", hide_env_values = true, global = true)]
    pub api_server: Option<String>,
    /// Headers of every request: "Authorization: Bearer TOKEN, X-Other: value"
    #[arg(short = 'H', long, value_name = "HEADERS", global = true)]
    pub headers: Option<String>,
}

impl ServerArgs {
    /// The API of the server that is asked for, by option, environment or configuration file.
    ///
    /// # Errors
    /// When there is none, or the headers are malformed.
    pub fn connect(&self, profile: &Profile) -> Result<ApiClient, Failure> {
        self.find(profile)?.ok_or_else(|| {
            Failure::new("no server is given")
                .remedy("give --api-server URL, or write SERVER into the configuration file")
        })
    }

    /// As [`connect`](Self::connect), `None` when no server is given.
    ///
    /// # Errors
    /// When the headers are malformed.
    pub fn find(&self, profile: &Profile) -> Result<Option<ApiClient>, Failure> {
        let Some(server) = self.api_server.as_deref().or(profile.server()) else { return Ok(None) };
        let headers = self.headers.as_deref().or(profile.headers());
        ApiClient::with_headers(server, headers).map(Some)
    }
}
