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
  namespace: {{ default (include "nats-k8s-oidc-callout.namespace" .root) .values.namespace | quote }}
  labels:
    {{- include "nats-k8s-oidc-callout.labelsAnd" (dict "root" .root "labels" .values.labels) | nindent 4 }}
  {{- with include "nats-k8s-oidc-callout.annotations" (dict "root" .root "own" .values.annotations) }}
  {{- . | nindent 2 }}
  {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "nats-k8s-oidc-callout.selectorLabels" .root | nindent 6 }}
  namespaceSelector:
    matchNames:
      - {{ include "nats-k8s-oidc-callout.namespace" .root | quote }}
{{- end -}}
{{/* Not empty: Prometheus comes, from where only networkPolicy.ingress.from can say. */}}
{{- define "nats-k8s-oidc-callout.monitored" -}}
{{- if or .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}true{{- end -}}
{{- end -}}
