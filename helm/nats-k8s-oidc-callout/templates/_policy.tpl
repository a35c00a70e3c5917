{{/* The policy file: where it comes from, what it needs. A define gives text: nothing, where there is no policy. */}}

{{- define "nats-k8s-oidc-callout.policyText" -}}
{{- with .Values.policy.inline -}}
{{- kindIs "string" . | ternary . (toYaml .) -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap that has it. */}}
{{- define "nats-k8s-oidc-callout.policySource" -}}
{{- if .Values.policy.inline -}}
{{- printf "%s-policy" (include "nats-k8s-oidc-callout.fullname" . | trunc 56 | trimSuffix "-") -}}
{{- else -}}
{{- .Values.policy.existingConfigMap -}}
{{- end -}}
{{- end -}}

{{/* "true" where a rule asks for labels of namespaces, which the service must then be able to read. */}}
{{- define "nats-k8s-oidc-callout.namespaceLabels" -}}
{{- $uses := .Values.policy.namespaceLabels -}}
{{- with (include "nats-k8s-oidc-callout.policyText" . | fromYaml).rules -}}
{{- range kindIs "slice" . | ternary . list -}}
{{- if kindIs "map" . -}}
{{- if and (kindIs "map" .match) (hasKey (default dict .match) "namespace_labels") -}}
{{- $uses = true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $uses (include "nats-k8s-oidc-callout.policySource" .) }}true{{ end -}}
{{- end -}}
