"""Which server to talk to, as whom, and with what patience."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import grpc

from ._credentials import Bearer, Credentials, OnBehalfOf
from ._errors import ConfigError
from ._version import VERSION

MAX_MESSAGE_BYTES = 300 * 1024 * 1024
"""The largest message that is accepted: a page of 1,000 approvals with the largest inputs."""

_RECONNECT_MIN_MILLISECONDS = 100
_RECONNECT_MAX_MILLISECONDS = 5_000


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection of an ``https://`` URL is made."""

    ca_pem: bytes | None = None
    """The authorities to trust, and no others; one or several certificates in PEM. Absent: those that come with grpcio, or
    that ``GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`` names."""
    client_cert_pem: bytes | None = None
    """The certificate to show, with those between it and its authority, in PEM."""
    client_key_pem: bytes | None = field(default=None, repr=False)
    """Its key, in PEM."""
    server_name: str | None = None
    """The name that the server's certificate must be of. Absent: the URL's host."""

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes."""
        for what, pem in (
            ("the authorities' certificates", self.ca_pem),
            ("the client certificate", self.client_cert_pem),
        ):
            # What holds no certificate would trust nobody, or show nothing, without a word.
            if pem is not None and b"-----BEGIN CERTIFICATE-----" not in pem:
                raise ConfigError(f"{what}: no certificate in PEM")
        if (self.client_cert_pem is None) != (self.client_key_pem is None):
            raise ConfigError("the client certificate and its key go together")
        return grpc.ssl_channel_credentials(self.ca_pem, self.client_key_pem, self.client_cert_pem)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a client. Times are in seconds."""

    url: str
    """The server: ``http://127.0.0.1:50051``, or ``https://…``."""
    credentials: Credentials | None = None
    """Who is calling. Absent: nobody, or whom the client certificate names."""
    on_behalf_of: OnBehalfOf | None = None
    """Whom the caller, a service, acts for."""
    tls: Tls | None = None
    """How TLS is made, with an ``https://`` URL."""
    connect_timeout: float = 5.0
    """How long making a connection may take."""
    request_timeout: float = 30.0
    """How long a call may take, its retries included. The server knows it too."""
    keepalive_interval: float = 20.0
    """How often an HTTP/2 PING is sent while a call is open."""
    keepalive_timeout: float = 10.0
    """How long the answer to a PING may take before the connection counts as lost."""
    user_agent: str = f"approve-client-python/{VERSION}"
    """What goes before gRPC's own in the ``user-agent`` header."""

    def on_behalf(self, of: OnBehalfOf) -> Config:
        """The same, on behalf of a person."""
        return replace(self, on_behalf_of=of)

    def target(self) -> tuple[str, grpc.ChannelCredentials | None]:
        """Whom gRPC connects to, and how it makes TLS."""

        def bad(why: str) -> ConfigError:
            return ConfigError(f"server URL {self.url!r}: {why}")

        try:
            url = urlsplit(self.url)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise bad("not a URL") from error
        if url.scheme not in ("http", "https"):
            raise bad("it must start with http:// or https://")
        if not host or url.path not in ("", "/") or url.query or url.username:
            raise bad("expected a host, and perhaps a port")
        encrypted = url.scheme == "https"
        if not encrypted and self.tls is not None:
            raise bad("TLS needs https://")
        if not encrypted and isinstance(self.credentials, Bearer) and not _is_loopback(host):
            raise bad("a bearer token is not sent in the clear beyond this computer; use https://")
        place = f"[{host}]" if ":" in host else host
        return f"{place}:{port or (443 if encrypted else 80)}", (self.tls or Tls()).credentials() if encrypted else None

    def options(self) -> list[tuple[str, int | str]]:
        """gRPC's own settings."""
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", round(self.keepalive_interval * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            # One layer owns retries: the one above.
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MIN_MILLISECONDS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MILLISECONDS),
            # By its name something else, this is how long an attempt may take.
            ("grpc.min_reconnect_backoff_ms", round(self.connect_timeout * 1000)),
            ("grpc.primary_user_agent", self.user_agent),
        ]
        if self.tls is not None and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def _is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this computer."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
