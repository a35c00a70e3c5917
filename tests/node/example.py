"""A Deployment that uses what a chart may use, on a node of its own, and looks at it as a person would."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.node import Node, Pod, why_not

NAMESPACE = "works"
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {colour: blue}}
    spec:
      enableServiceLinks: false
      terminationGracePeriodSeconds: 5
      securityContext: {runAsUser: 65532, runAsGroup: 65532, runAsNonRoot: true, fsGroup: 65532}
      containers:
        - name: web
          image: registry.example/library/busybox:1.36@sha256:0000000000000000000000000000000000000000000000000000000000000000
          command: [python3, -u, -c]
          args:
            - |
              import http.server, signal, sys
              signal.signal(signal.SIGTERM, lambda *_: (print("asked to stop"), sys.exit(0)))
              print("greeting $(GREETING) from $(POD)")
              http.server.HTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
          workingDir: /etc/files
          ports: [{name: http, containerPort: 8080}]
          env:
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: GREETING, valueFrom: {configMapKeyRef: {name: files, key: greeting}}}
            - {name: BOTH, value: "$(GREETING)-$(POD_IS_NOT_KNOWN)-$$(GREETING)"}
          startupProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, failureThreshold: 20}
          readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, failureThreshold: 1}
          securityContext:
            {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts:
            - {name: files, mountPath: /etc/files}
            - {name: secret, mountPath: /etc/secret, readOnly: true}
            - {name: mixed, mountPath: /var/run/mixed, readOnly: true}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - {name: files, configMap: {name: files}}
        - {name: secret, secret: {secretName: pass, defaultMode: 0400, optional: true}}
        - name: mixed
          projected:
            sources:
              - serviceAccountToken: {path: token, audience: nats, expirationSeconds: 600}
              - downwardAPI: {items: [{path: colour, fieldRef: {fieldPath: "metadata.annotations['colour']"}}]}
              - secret: {name: pass, optional: true, items: [{key: word, path: deep/word}]}
        - {name: tmp, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data: {greeting: hello, ready: "yes"}
"""


@contextmanager
def node_in(folder: Path) -> Iterator[Node]:
    """Run a node with the example in it, or skip saying why there is none."""
    lacking = why_not()
    if lacking:
        pytest.skip(lacking)
    with Node(folder) as running:
        running.kubectl("create", "namespace", NAMESPACE)
        running.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=WEB)
        running.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/web", "--timeout=60s")
        yield running


def said(node: Node, script: str) -> str:
    done = node.shell(script)
    assert 0 == done.code, done.output
    return done.output


def shows(node: Node, command: str, text: str) -> bool:
    return text in node.shell(command).output


def web(node: Node) -> Pod:
    return node.pods(NAMESPACE, "app=web")[0]


def run(node: Node, name: str, command: str, more: str = "") -> None:
    """Create a Pod of one container that runs a shell command."""
    text = f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  {more or "restartPolicy: Always"}
  terminationGracePeriodSeconds: 1
  containers: [{{name: main, image: alpine, command: [sh, -c, {command!r}]}}]
"""
    node.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=text)
