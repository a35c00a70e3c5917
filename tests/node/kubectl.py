"""What kubectl does with streams, by other means: exec, attach, port-forward and run on a node of ours.

Called by kubectl.sh, inside the cluster's namespaces, with the real kubectl, the node's folder and kubectl's arguments.
"""

# ruff: noqa: T201 - prints for people, as kubectl does
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

_WITH_VALUE = {
    "-n": "namespace",
    "--namespace": "namespace",
    "-c": "container",
    "--container": "container",
    "--address": "address",
}
_ALONE = {"-i", "-t", "-it", "-ti", "--stdin", "--tty", "-q", "--quiet", "--rm", "--attach"}
_RUN_SECONDS = 120.0
_LAUNCH = Path(__file__).parent / "kubelet" / "launch.py"


@dataclass
class Call:
    """One kubectl call, taken apart. `words` are its positional arguments, `after` what stands behind `--`."""

    verb: str = ""
    namespace: str = ""
    container: str = ""
    address: str = "127.0.0.1"
    alone: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def parse(arguments: list[str]) -> Call:
    call, rest = Call(), list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            call.after = rest
            break
        if name in _WITH_VALUE:
            setattr(call, _WITH_VALUE[name], value if equals else rest.pop(0))
        elif name in _ALONE:
            call.alone.add(name)
        elif word.startswith("-"):
            call.others.append(word)
            if not equals and call.verb == "run" and rest and not rest[0].startswith("-"):
                call.others.append(rest.pop(0))
        elif not call.verb:
            call.verb = word
        else:
            call.words.append(word)
    return call


class Kubectl:
    """The real kubectl, and the folder of the node."""

    def __init__(self, program: str, node: Path, call: Call) -> None:
        self.program = program
        self.node = node
        self.call = call
        self.scope = ["-n", call.namespace] if call.namespace else []

    def get(self, *arguments: str) -> Any:
        done = subprocess.run(
            [self.program, "get", *self.scope, *arguments, "-o", "json"], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            fail(done.stderr.strip())
        return json.loads(done.stdout)

    def pod(self, target: str) -> Any:
        """Return the Pod that a target stands for: itself, or a ready one of a workload or Service."""
        kind, _, name = target.rpartition("/")
        if kind in {"", "pod", "pods", "po"}:
            return self.get("pod", name)
        owner = self.get(kind, name)
        selector = owner["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        text = ",".join(f"{label}={value}" for label, value in labels.items())
        found = [one for one in self.get("pods", "-l", text)["items"] if "deletionTimestamp" not in one["metadata"]]
        found.sort(key=lambda one: not is_ready(one))
        if not found:
            fail(f"error: no pods of {target}")
        return found[0]

    def state(self, pod: Any) -> dict[str, Any]:
        file = self.node / "pods" / pod["metadata"]["uid"] / "state.json"
        known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return known

    # The verbs

    def exec(self) -> NoReturn:
        pod = self.pod(self.call.words[0])
        name = self.call.container or pod["spec"]["containers"][0]["name"]
        if not self.call.container and len(pod["spec"]["containers"]) > 1:
            names = ", ".join(one["name"] for one in pod["spec"]["containers"])
            print(f'Defaulted container "{name}" out of: {names}', file=sys.stderr)
        known = self.state(pod).get(name)
        if not known or not known["pid"]:
            fail(f'error: Internal error occurred: unable to upgrade connection: container not found ("{name}")')
        command = self.call.after or self.call.words[1:]
        if not {"-i", "-it", "-ti", "--stdin"} & self.call.alone:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        plan = self.node / "pods" / pod["metadata"]["uid"] / f"{name}.plan.json"
        launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(plan), str(known["pid"])]
        done = subprocess.run([*launch, *command], check=False)
        if done.returncode:
            print(f"command terminated with exit code {done.returncode}", file=sys.stderr)
        sys.exit(done.returncode)

    def run(self) -> NoReturn:
        call = self.call
        attached = bool(call.alone & {"-i", "-it", "-ti", "--stdin", "--attach", "-t", "--tty"})
        command = [self.program, "run", *self.scope, *call.words[:1], *call.others]
        after = call.words[1:] + call.after
        subprocess.run(
            [*command, *(["--", *after] if after else [])],
            check=True,
            stdout=None if not attached else subprocess.DEVNULL,
        )
        if not attached:
            sys.exit(0)
        name, deadline = call.words[0], time.monotonic() + _RUN_SECONDS
        while True:
            pod = self.get("pod", name)
            statuses = pod["status"].get("containerStatuses", [])
            if any("terminated" in one["state"] for one in statuses) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        code = next((one["state"]["terminated"]["exitCode"] for one in statuses if "terminated" in one["state"]), 1)
        subprocess.run([self.program, "logs", *self.scope, name], check=False)
        if "--rm" in call.alone:
            subprocess.run(
                [self.program, "delete", "pod", *self.scope, name, "--wait=false", "--grace-period=1"],
                check=False,
                stdout=subprocess.DEVNULL,
            )
            print(f'pod "{name}" deleted from {pod["metadata"]["namespace"]} namespace')
        if code:
            print(f"pod {pod['metadata']['namespace']}/{name} terminated (Error)", file=sys.stderr)
        sys.exit(code)

    def port_forward(self) -> NoReturn:
        target, *ports = self.call.words
        pod = self.pod(target)
        pairs = []
        for text in ports:
            local, _, remote = text.partition(":")
            number = self.target_port(target, pod, remote or local)
            pairs.append((int(local or 0) if local != "" else 0, number))
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(forward(self.call.address, pod["status"]["podIP"], pairs))
        sys.exit(0)

    def target_port(self, target: str, pod: Any, port: str) -> int:
        """Return the number of the Pod's port, which may be a name, or that of a Service's port."""
        wanted: Any = int(port) if port.isdigit() else port
        kind, _, name = target.rpartition("/")
        if kind in {"svc", "service", "services"}:
            for one in self.get("service", name)["spec"]["ports"]:
                if wanted in {one["port"], one.get("name")}:
                    wanted = one.get("targetPort", one["port"])
                    break
            else:
                fail(f"error: Service {name} does not have a service port {port}")
        named = [one for container in pod["spec"]["containers"] for one in container.get("ports", [])]
        found = (
            wanted
            if isinstance(wanted, int)
            else next((p["containerPort"] for p in named if p.get("name") == wanted), 0)
        )
        return int(found) or fail(f"error: Pod does not have a named port {wanted}")


async def forward(address: str, host: str, pairs: list[tuple[int, int]]) -> None:
    """Forward each local port to the Pod's, until somebody ends us."""
    for local, remote in pairs:

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, front: int = local, port: int = remote
        ) -> None:
            print(f"Handling connection for {front}", flush=True)
            try:
                there = await asyncio.open_connection(host, port)
                await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
            except OSError as error:
                print(f"error: {error}", file=sys.stderr, flush=True)
            except asyncio.CancelledError:
                pass  # We are ending, and asyncio's streams would print a traceback about it.
            writer.close()

        server = await asyncio.start_server(serve, address, local)
        number = server.sockets[0].getsockname()[1]
        print(f"Forwarding from {address}:{number} -> {remote}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def is_ready(pod: Any) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(1)


def main(program: str, node: str, *arguments: str) -> NoReturn:
    call = parse(list(arguments))
    kubectl = Kubectl(program, Path(node), call)
    if call.verb == "exec":
        kubectl.exec()
    if call.verb == "port-forward":
        kubectl.port_forward()
    if call.verb == "run":
        kubectl.run()
    fail(f"error: kubectl {call.verb} cannot be had on a test node")


if __name__ == "__main__":
    main(*sys.argv[1:])
