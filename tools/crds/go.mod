module nats-k8s-oidc-callout/tools/crds

go 1.26.0

// Nothing of these is compiled: tools/crds.py takes their CRD files, once the sums of go.sum hold.
require (
	github.com/grafana/agent v0.44.2
	github.com/grafana/alloy v1.11.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
