"""Builds the container image with docker, podman or buildah, whichever is there: `make image`.

    python3 tools/image.py [--tag NAME:TAG] [--engine docker|podman|buildah] [--base IMAGE] [--stand-in]

The version comes from pyproject.toml, revision and time from git, so that one commit gives one image. --base pins Python's
image by digest. --stand-in is for machines that reach no registry of images, and for the tests: a base of the same name
made from Debian's packages and a Python 3.13 that is installed here (buildah and mmdebstrap, as root; a minute, once).
Only the standard library: this runs before anything is installed.
"""

import argparse
import datetime
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Run by its path, Python looks for modules beside this file only.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.build import cache

ROOT = Path(__file__).resolve().parent.parent
PYTHON_IMAGE = "python:3.13-slim-bookworm"
READ = ("Dockerfile", ".dockerignore", "LICENSE", "PACKAGE.md", "pyproject.toml", "requirements", "src", "image")
"""All that a build reads of the checkout."""
ENGINES = ("docker", "podman", "buildah")
# What a pip that goes through a CA of its own is told by the environment, in pip's own order.
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

# What Docker's image of Python has beside Debian's smallest: the libraries that Python was linked with.
_DEBIAN = (
    "ca-certificates,netbase,tzdata,libbz2-1.0,libexpat1,libffi8,libgdbm6,liblzma5,libncursesw6,libreadline8,"
    "libsqlite3-0,libssl3,libuuid1,zlib1g"
)
# As in Debian's slim images.
_LEFT_OUT = ("doc", "info", "locale", "man", "lintian", "groff", "linda")
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
# Raised when stand_in changes what it makes.
_RECIPE = 2


class CannotBuild(Exception):
    """The text says what is missing, or what the engine said."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the image is told about itself."""

    version: str
    revision: str
    epoch: int

    @property
    def created(self) -> str:
        """The time as labels write it."""
        return datetime.datetime.fromtimestamp(self.epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def arguments(self, base: str) -> Mapping[str, str]:
        """Return the build arguments."""
        return {
            "PYTHON_IMAGE": base,
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "CREATED": self.created,
            "VERSION": self.version,
            "REVISION": self.revision,
        }


def inputs(checkout: Path = ROOT) -> Inputs:
    """Return them for a checkout; without git (a source archive) the revision is `unknown` and the time a fixed one."""
    version = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"]
    try:
        revision, seconds = _git(checkout, "log", "-1", "--format=%H %ct").split()
        # A label that names a commit must not be about something else.
        changed = _git(checkout, "status", "--porcelain", "--", *READ)
    except (OSError, subprocess.CalledProcessError):
        return Inputs(version, "unknown", 315532800)
    return Inputs(version, f"{revision}-dirty" if changed else revision, int(seconds))


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def engine() -> str:
    """Return the first engine that is there and works: a docker without its daemon does not."""
    for name in ENGINES:
        if shutil.which(name) is None:
            continue
        probe = [name, "version"] if name != "buildah" else [name, "--version"]
        try:
            subprocess.run(probe, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
        except (OSError, subprocess.SubprocessError):
            continue
        return name
    raise CannotBuild(f"None of {', '.join(ENGINES)} is here, or works.")


def build(
    engine_command: Sequence[str],
    tag: str,
    what: Inputs,
    base: str = PYTHON_IMAGE,
    options: Sequence[str] = (),
    checkout: Path = ROOT,
) -> None:
    """Build the image with this engine (its name, then options of its own); raise CannotBuild."""
    command = [*engine_command, "build", "--file", str(checkout / "Dockerfile"), "--tag", tag, *options]
    for argument, value in what.arguments(base).items():
        command += ["--build-arg", f"{argument}={value}"]
    if engine_command[0] != "docker":
        # Podman and buildah write the times themselves; docker's BuildKit reads SOURCE_DATE_EPOCH. Docker's own format
        # would keep the builder's host name and container, a new one each time, and only a HEALTHCHECK would want it.
        command += ["--format", "oci", "--timestamp", str(what.epoch), "--identity-label=false"]
    for secret, variables in (("pip_ca", _CA_VARIABLES), ("pip_conf", ("PIP_CONFIG_FILE",))):
        file = next((os.environ[variable] for variable in variables if os.environ.get(variable)), "")
        if file and Path(file).is_file():
            command += ["--secret", f"id={secret},src={file}"]
    _run([*command, str(checkout)], DOCKER_BUILDKIT="1")


def _run(command: Sequence[str], **environment: str) -> str:
    """Run it, letting a terminal see what it says; return its output."""
    said: list[str] = []
    with subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            if sys.stdout.isatty():
                print(line, end="", flush=True)
    if process.returncode != 0:
        raise CannotBuild(f"{command[0]} ended with {process.returncode}:\n{''.join(said[-30:])}")
    return "".join(said)


@dataclass(frozen=True, slots=True)
class Store:
    """Images in a folder of their own, kept by buildah: no daemon, no user namespaces, nothing left when it is deleted."""

    folder: Path
    shared: Path | None = None
    """A second store, only read."""

    @property
    def command(self) -> list[str]:
        """Return buildah with the options that name this store."""
        command = ["buildah", "--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        command += ["--storage-driver", "vfs"]
        return [*command, "--storage-opt", f"vfs.imagestore={self.shared / 'store'}"] if self.shared else command

    def run(self, *arguments: str) -> str:
        """Run one buildah command; return what it printed."""
        return _run([*self.command, *arguments], BUILDAH_ISOLATION="chroot").strip()

    def build(self, tag: str, what: Inputs, checkout: Path = ROOT) -> None:
        """Build the image from the base in the shared store."""
        # No layer of an intermediate step is kept: vfs copies the whole file system for each.
        options = ["--isolation", "chroot", "--pull-never", "--layers=false"]
        build(self.command, tag, what, options=options, checkout=checkout)


def missing_for_stand_in() -> str:
    """Say what keeps this machine from making the stand-in; empty if nothing does."""
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} (as root: apt-get install --no-install-recommends buildah mmdebstrap)"
    return "" if _python() else "no Python 3.13 on PATH or in pyenv"


def _python() -> Path | None:
    """Return the prefix of a Python 3.13 that is installed here."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for candidate in (sys.executable, "python3.13", *map(str, sorted(pyenv.glob("versions/3.13*/bin/python3.13")))):
        ask = [candidate, "-c", "import sys; print(*sys.version_info[:2], sys.base_prefix)"]
        try:
            said = subprocess.run(ask, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        major, minor, prefix = said.split(maxsplit=2)
        if (major, minor) == ("3", "13") and (Path(prefix.strip()) / "bin" / "python3.13").is_file():
            return Path(prefix.strip())
    return None


def stand_in() -> Path:
    """Return a store that holds the stand-in for Python's image, kept in the cache of tools/build.py."""
    prefix = _python()
    reason = missing_for_stand_in()
    if reason or prefix is None:
        raise CannotBuild(f"The stand-in for {PYTHON_IMAGE} cannot be made: {reason}")
    recipe = hashlib.sha256(f"{prefix} {_DEBIAN} {_RECIPE}".encode()).hexdigest()[:12]
    made = cache() / f"python-image-{recipe}"
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent, prefix=".python-image-") as aside:
        folder = Path(aside)
        python, root = folder / "python.tar", folder / "root.tar"
        with tarfile.open(python, "w") as tar:
            for part in ("bin/python3.13", "lib/python3.13", "lib/libpython3.13.so", "lib/libpython3.13.so.1.0"):
                if (prefix / part).exists():
                    tar.add(prefix / part, part, filter=_as_in_the_image)
            for link in ("bin/python3", "bin/python"):
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.SYMTYPE, "python3.13"
                tar.addfile(entry)
        hooks = [f"tar-in {python} /usr/local", 'chroot "$1" ldconfig', 'chroot "$1" python3 -c "import ssl, ctypes"']
        command = ["mmdebstrap", "--variant=minbase", f"--include={_DEBIAN}", "bookworm", str(root)]
        command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
        command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        _run([*command, *(f"--customize-hook={hook}" for hook in hooks)])
        store = Store(folder / "made")
        container = store.run("from", "scratch")
        store.run("add", "--quiet", container, str(root), "/")
        store.run("config", "--env", f"PATH={_PATH}", "--cmd", "python3", container)
        store.run("commit", "--quiet", "--identity-label=false", container, f"docker.io/library/{PYTHON_IMAGE}")
        store.run("rm", container)
        (folder / "made").rename(made)
    return made


def _as_in_the_image(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what Docker's own recipe for Python leaves out, and what else lies in this Python's site-packages."""
    below = entry.name.partition("site-packages/")[2]
    left_out = {"test", "tests", "idle_test", "__pycache__"} & set(Path(entry.name).parts)
    if left_out or entry.name.endswith((".pyc", ".a")) or (below and not below.startswith("pip")):
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    return entry


def main(arguments: Sequence[str]) -> int:
    """Build the image, say what it is called; return the exit code."""
    what = inputs()
    parser = argparse.ArgumentParser(description="Build the container image.")
    parser.add_argument("--tag", default=f"nats-k8s-oidc-callout:{what.version}", help="nats-k8s-oidc-callout:VERSION")
    parser.add_argument("--engine", choices=ENGINES, help="the first that works")
    parser.add_argument("--base", default=PYTHON_IMAGE, help="Python's image, best with @sha256:…")
    parser.add_argument("--stand-in", action="store_true", help="make the base here, without a registry of images")
    parser.add_argument("--output", type=Path, help="also write an archive that docker, podman and containerd load")
    options = parser.parse_args(arguments)
    if options.stand_in and not options.output:
        parser.error("--stand-in wants --output: its store is gone at the end")
    try:
        if options.stand_in:
            with tempfile.TemporaryDirectory(prefix="image-") as folder:
                store = Store(Path(folder), shared=stand_in())
                store.build(options.tag, what)
                store.run("push", "--quiet", options.tag, f"docker-archive:{options.output}:{options.tag}")
        else:
            name = options.engine or engine()
            chroot = name == "buildah" and not any(map(shutil.which, ("crun", "runc")))
            build([name], options.tag, what, options.base, ["--isolation", "chroot"] if chroot else [])
            if options.output and name == "buildah":
                _run([name, "push", "--quiet", options.tag, f"docker-archive:{options.output}:{options.tag}"])
            elif options.output:
                _run([name, "save", "--output", str(options.output), options.tag])
    except CannotBuild as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"{options.tag}, revision {what.revision}{f', in {options.output}' if options.output else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
