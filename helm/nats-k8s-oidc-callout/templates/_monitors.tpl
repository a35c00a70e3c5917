{{/* Both monitors leave the label `job` to the operator: it ends in the Deployment's name, which the alerts rely on. */}}
{{- define "nats-k8s-oidc-callout.endpoint" -}}
port: http
path: /metrics
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- define "nats-k8s-oidc-callout.monitor" -}}
metadata:
  name: {{ include "nats-k8s-oidc-callout.fullname" .root | quote }}
  namespace: {{ include "nats-k8s-oidc-callout.namespace" .root | quote }}
  labels:
    {{- include "nats-k8s-oidc-callout.labelsAnd" (dict "root" .root "labels" .values.labels) | nindent 4 }}
  {{- with .values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "nats-k8s-oidc-callout.selectorLabels" .root | nindent 6 }}
  namespaceSelector:
    matchNames:
      - {{ include "nats-k8s-oidc-callout.namespace" .root | quote }}
{{- end -}}
