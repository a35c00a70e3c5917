"""`wget` for the container: prints what a URL answers, and reaches the API server as this pod's ServiceAccount.

    wget -O- https://kubernetes.default.svc/openid/v1/jwks

The mounted token and CA are used for https to the API server by its known names, by the same rule as JWKS_URL
(core/trust.py), and for nobody else. No redirect is ever followed, no proxy is used. Exit codes are those of GNU wget.
"""

import argparse
import contextlib
import http.client
import io
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TextIO
from urllib.parse import urlsplit

from nats_k8s_oidc_callout.core import trust
from nats_k8s_oidc_callout.core.trust import Trust

GENERIC, BAD_USE, FILE, NETWORK, TLS, LOGIN, PROTOCOL, SERVER = 1, 2, 3, 4, 5, 6, 7, 8

PACKAGE = "nats-k8s-oidc-callout"
CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"
RESOLV_CONF = Path("/etc/resolv.conf")
_CHUNK = 64 * 1024
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([ -~]*)")

Connect = Callable[[tuple[str, int], float], socket.socket]


class Failed(Exception):
    """What to say on stderr, and the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _NoCertificateNoAnswer(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        parser.error("--no-check-certificate is not supported; name the CA with --ca-certificate=FILE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wget",
        allow_abbrev=False,
        description="A small wget: one URL, no redirects, no proxies. For https to the Kubernetes API server "
        "(kubernetes.default.svc and its other names) it uses the pod's mounted CA and token, for nobody else.",
        epilog="Exit codes: 1 other, 2 bad use, 3 file, 4 network, 5 TLS, 6 login refused, 7 protocol, 8 server error.",
    )
    parser.add_argument("url", metavar="URL", help="https, or http to this machine")
    parser.add_argument("-O", "--output-document", metavar="FILE", default="", help="- is stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr but usage errors")
    parser.add_argument("-S", "--server-response", action="store_true", help="print the headers of the answer")
    parser.add_argument("-T", "--timeout", metavar="SECONDS", type=_seconds, default=10.0, help="10 unless told")
    parser.add_argument("--header", metavar="LINE", action="append", default=[], type=_header, help="'Name: value'")
    parser.add_argument(
        "--ca-certificate", metavar="FILE", default="", help="trust this CA; then no token of ours is sent to anybody"
    )
    parser.add_argument("--no-check-certificate", action=_NoCertificateNoAnswer, nargs=0, help=argparse.SUPPRESS)
    return parser


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 900:
        raise argparse.ArgumentTypeError("from 1 to 900")
    return float(text)


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("'Name: value', in plain ASCII")
    return match[1], match[2].strip()


def _connect(address: tuple[str, int], timeout: float) -> socket.socket:
    return socket.create_connection(address, timeout)


def main(
    arguments: Sequence[str],
    env: Mapping[str, str],
    out: io.RawIOBase,
    err: TextIO,
    connect: Connect = _connect,
) -> int:
    """Fetch what the command line names; return the exit code."""
    options = _parser().parse_args(arguments)

    def say(text: str) -> None:
        if not options.quiet:
            # Some of it is the server's, and this may be somebody's terminal.
            print("".join(each if each.isprintable() else "?" for each in text), file=err, flush=True)

    try:
        _fetch(options, env, out, say, connect)
    except Failed as failure:
        say(str(failure))
        return failure.code
    return 0


def _fetch(
    options: argparse.Namespace, env: Mapping[str, str], out: io.RawIOBase, say: Callable[[str], None], connect: Connect
) -> None:
    url: str = options.url
    is_api_server = _is_api_server(url, env)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    token, context = _identity(options, env, is_api_server)
    given = {name.lower() for name, _ in options.header}
    ours = {"Host": parts.netloc, "User-Agent": f"Wget/{version(PACKAGE)} ({PACKAGE})", "Accept": "*/*"}
    ours |= {"Accept-Encoding": "identity", "Connection": "close"} | (
        {"Authorization": f"Bearer {token}"} if token else {}
    )
    headers = {name: value for name, value in ours.items() if name.lower() not in given} | dict(options.header)
    say(f"--{time.strftime('%Y-%m-%d %H:%M:%S')}--  {url}")
    connection = _Connection(host, port, context if parts.scheme == "https" else None, options.timeout, connect)
    with contextlib.closing(connection), _failures():
        connection.connect()
        say(f"Connecting to {host}:{port}... connected.")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        say(f"HTTP request sent, awaiting response... {answer.status} {answer.reason}")
        if options.server_response:
            for name, value in answer.getheaders():
                say(f"  {name}: {value}")
        _judge(answer, is_api_server)
        say(f"Length: {answer.getheader('Content-Length', 'unspecified')} [{answer.getheader('Content-Type', '')}]")
        with _output(options.output_document or Path(parts.path).name or "index.html", out) as output:
            while chunk := answer.read(_CHUNK):
                _write(output, chunk)
            # Half a key set must not look like a whole one.
            if answer.length:
                raise Failed(NETWORK, "The answer ended too early.")


class _Connection(http.client.HTTPConnection):
    """One connection to the host of the URL and to nobody else: http.client neither follows nor asks a proxy."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, timeout: float, connect: Connect) -> None:
        super().__init__(host, port, timeout=timeout)
        self._tls, self._seconds, self._open = context, timeout, connect

    def connect(self) -> None:
        # Looking a name up raises the same, but with a socket in hand once TLS does it.
        self.host.encode("idna")
        plain = self._open((self.host, self.port), self._seconds)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain


def _is_api_server(url: str, env: Mapping[str, str]) -> bool:
    """Say whether our token may go there; the rule is the service's own, and refuses what can be read in two ways."""
    try:
        namespace = (_credentials(env) / "namespace").read_text().strip()
        domain = trust.cluster_domain(RESOLV_CONF.read_text(), namespace)
    except (OSError, ValueError):
        domain = None
    port = env.get("KUBERNETES_SERVICE_PORT", "")
    try:
        trusted = trust.trust_for(
            url,
            env.get("KUBERNETES_SERVICE_HOST", ""),
            int(port) if port.isascii() and port.isdigit() else 443,
            domain or trust.DEFAULT_CLUSTER_DOMAIN,
        )
    except ValueError as error:
        raise Failed(GENERIC, f"The URL: {error}.") from None
    return trusted is Trust.CLUSTER


def _credentials(env: Mapping[str, str]) -> Path:
    return Path(env.get("K8S_CREDENTIALS_DIR") or CREDENTIALS)


def _identity(options: argparse.Namespace, env: Mapping[str, str], is_api_server: bool) -> tuple[str, ssl.SSLContext]:
    """Return our token ("" where it does not belong) and whom to believe."""
    # The token goes only to a server that the mounted CA vouches for.
    ours = is_api_server and not options.ca_certificate
    ca = str(_credentials(env) / "ca.crt") if ours else options.ca_certificate
    try:
        token = (_credentials(env) / "token").read_text().strip() if ours else ""
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ValueError) as error:
        place = getattr(error, "filename", None) or ca
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise Failed(TLS if isinstance(error, ssl.SSLError) else FILE, f"{place}: {reason}") from None
    if token and not (token.isascii() and token.isprintable()):
        raise Failed(FILE, f"{_credentials(env) / 'token'}: not a token")
    return token, context


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Turn what can go wrong on the way into an exit code."""
    try:
        yield
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
        raise Failed(TLS, f"Unable to establish SSL connection: {reason}.") from None
    except http.client.IncompleteRead:
        raise Failed(NETWORK, "The answer ended too early.") from None
    except http.client.HTTPException as error:
        raise Failed(PROTOCOL, f"Not HTTP: {type(error).__name__}.") from None
    except TimeoutError:
        raise Failed(NETWORK, "No answer in time.") from None
    except UnicodeError:
        raise Failed(NETWORK, "Cannot connect: no host can be called that.") from None
    except OSError as error:
        raise Failed(NETWORK, f"Cannot connect: {error.strerror or type(error).__name__}.") from None


def _judge(answer: http.client.HTTPResponse, is_api_server: bool) -> None:
    """Let a 2xx pass, and say what the others mean."""
    if 200 <= answer.status < 300:
        return
    if 300 <= answer.status < 400:
        raise Failed(SERVER, f"Location: {answer.getheader('Location', '')!a} (not followed)")
    if answer.status == 401:
        raise Failed(LOGIN, "Username/Password Authentication Failed.")
    if answer.status == 403 and is_api_server:
        raise Failed(SERVER, "ERROR 403: our ServiceAccount may not (system:service-account-issuer-discovery?).")
    raise Failed(SERVER, f"ERROR {answer.status}: {answer.reason}.")


@contextlib.contextmanager
def _output(name: str, out: io.RawIOBase) -> Iterator[io.RawIOBase]:
    if name == "-":
        yield out
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(name).open("wb", buffering=0))
        except OSError as error:
            raise Failed(FILE, f"{name}: {error.strerror}") from None
        yield file


def _write(output: io.RawIOBase, chunk: bytes) -> None:
    try:
        left = memoryview(chunk)
        while left:
            left = left[output.write(left) :]
    except OSError as error:
        raise Failed(FILE, f"Cannot write: {error.strerror}") from None


if __name__ == "__main__":
    # Unbuffered, so that nothing is left to flush when whoever reads has gone.
    with open(1, "wb", buffering=0, closefd=False) as stdout:
        sys.exit(main(sys.argv[1:], os.environ, stdout, sys.stderr))
