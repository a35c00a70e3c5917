"""A Kubernetes node for tests: what helm installs here really runs.

etcd, kube-apiserver and kube-controller-manager are the real ones; a small kubelet of ours (tests/node/kubelet) runs the
Pods as processes of this machine, each with a network namespace and an address, a fresh root and PID namespace of its
own. It is also the scheduler (round robin over two Node objects), the DNS server and the Service proxy.

    from tests.node import Node, why_not

    pytest.skip(why_not())                       # says what this machine lacks; empty when a Node can run
    with Node(folder) as node:                   # image_root=…: our image is that root, not the host's venv
        done = node.shell("kubectl get pods -A", cwd=folder)       # Done(code, output); bash in the cluster's network
        node.kubectl("apply", "-f", "-", input=text)               # what it prints; NodeError with its output
        node.helm("install", "x", "./chart", "--wait")             # the same
        for pod in node.pods("nats-auth"): pod.name, pod.ip, pod.ready, pod.log.read_text(), pod.pid
        node.wait(lambda: condition(), 20, "what for")             # returns what the condition returned; NodeError
        node.rotate_tokens()                                       # every Pod's projected tokens, within seconds
    subprocess.Popen(node.enter("bash", cwd=folder), env=node.environment)  # a shell of your own, started in there
        node.inside(lambda: socket.create_connection(("10.96.0.1", 443)))  # our own code, in the cluster's network
        node.api.request("GET", "/api/v1/pods")                    # tests.e2e.cluster.Cluster: tokens, RBAC, requests

What resolves: `NAME.NAMESPACE.svc.cluster.local` and its short forms, `HOST.SERVICE.NAMESPACE.svc…` of StatefulSets, in
Pods and in `shell`. The API server is 10.96.0.1:443, DNS 10.96.0.10:53, Pods are 10.244.1.x (node-a), 10.244.2.x
(node-b). Nothing outside can be reached.

Images: `nats-k8s-oidc-callout` (any registry, tag or digest) → our package from this venv, or `image_root`; `nats` → the
built nats-server; `natsio/nats-box` → the nats CLI, sh; `busybox`, `alpine`, `curlimages/curl` → this machine's programs.
Any other image: ErrImagePull, as in a cluster.

kubectl on the PATH of `shell` is a script. `exec`, `port-forward`, `run` and `attach` need a protocol that our kubelet
does not speak; the script does the same by other means (kubectl.py). All else goes to the real kubectl.

What differs from a real node: no cgroups (limits are not enforced), no seccomp, no network policy, no images pulled, no
PersistentVolumes (a claim is a folder), every Node object is this machine.
"""

from tests.node.node import Done, Node, NodeError, Pod, why_not

__all__ = ["Done", "Node", "NodeError", "Pod", "why_not"]
