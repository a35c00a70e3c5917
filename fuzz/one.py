"""Runs one fuzzer for run.py: python -m fuzz.one TARGET [libFuzzer's arguments and corpus folders]."""

import sys

import atheris

with atheris.instrument_imports(include=["nats_k8s_oidc_callout"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Hand over to libFuzzer, which ends the process."""
    name, *rest = sys.argv[1:]
    atheris.Setup([f"fuzz-{name}", *rest], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
