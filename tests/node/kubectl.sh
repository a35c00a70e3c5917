#!/bin/bash
# kubectl in the shell of a test node. exec, attach, port-forward and run need SPDY or WebSocket streams that our small
# kubelet does not speak: kubectl.py does the same by other means. Everything else is the real kubectl.
skip=
for word in "$@"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case "$word" in
        -n|--namespace|--context|--kubeconfig|-s|--server|--cluster|--user|--as|--request-timeout|-v) skip=1 ;;
        -*) ;;
        exec|attach|port-forward|run)
            PYTHONPATH='@CHECKOUT@' exec '@PYTHON@' -m tests.node.kubectl '@KUBECTL@' '@NODE@' "$@" ;;
        *) break ;;
    esac
done
exec '@KUBECTL@' "$@"
