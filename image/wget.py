"""`wget` for the container, for one line: `wget -O- https://kubernetes.default.svc/openid/v1/jwks`.

It prints what a key endpoint answers to this pod, asked as the responder asks for JWKS_URL: by the same fetcher, which
sends the mounted token to the API server by its known names and to nobody else (core/identity/own_token.py), follows no redirect,
and waits 5 s for at most 1 MiB. `nats-k8s-oidc-callout doctor` says more.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer, MountedCredentials
from nats_k8s_oidc_callout.app.key_endpoint import endpoint
from nats_k8s_oidc_callout.core.spelling import escape
from nats_k8s_oidc_callout.errors import CalloutError
from nats_k8s_oidc_callout.settings import part

# Of all our variables only these say how a key endpoint is asked: what else is wrong does not matter here.
_VARIABLES = ("K8S_CREDENTIALS_DIR", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "JWKS_CA_FILE")


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Print what the URL answers; return 0, or 1 when there is nothing to print."""
    parser = argparse.ArgumentParser(prog="wget", allow_abbrev=False, description=__doc__.split("\n\n")[1])
    parser.add_argument("-O", "--output-document", choices=["-"], required=True, help="- is stdout, and all there is")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr")
    parser.add_argument("url", metavar="URL", help="https, or http to this machine")
    options = parser.parse_args(arguments)
    logs = telemetry.configure("error", "console")
    try:
        sys.stdout.buffer.write(asyncio.run(_fetch(options.url, env)))
        sys.stdout.buffer.flush()
    except (CalloutError, ValueError) as failure:
        if not options.quiet:
            sys.stderr.write(f"wget: {escape(str(failure))}\n")
        return 1
    finally:
        logs.close()
    return 0


async def _fetch(url: str, env: Mapping[str, str]) -> bytes:
    found = {name: env[name] for name in _VARIABLES if env.get(name)}
    settings = part({"NATS_ACCOUNT": "none", **found})
    api = ApiServer(MountedCredentials(settings.k8s_credentials_dir, settings.api_server))
    return (await endpoint(settings, url, api, FileWatch().watch).fetch()).body


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
