"""A file of YAML documents, none of which grows or nests beyond what manifests do."""

import yaml

from nats_k8s_oidc_callout.errors import BadManifest

DEPTH_MAX = 100


def load_documents(content: bytes) -> list[object]:
    """Return the documents of a YAML file.

    Raises BadManifest for what is no YAML, and for aliases and deep nesting: with merge keys a kilobyte of aliases
    grows to gigabytes, and manifests never need them.
    """
    try:
        depth = 0
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise BadManifest("aliases are not supported")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH_MAX:
                raise BadManifest("nested too deeply")
        return list(yaml.load_all(content, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadManifest(f"not YAML{line}") from error
    # ValueError: a date such as 2026-13-45.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadManifest("not YAML") from error
