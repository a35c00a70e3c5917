{{/* Names and labels. */}}

{{- define "nats-k8s-oidc-callout.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Name of a role: it carries the namespace, so that releases of one name in two namespaces never meet, neither among
the cluster's roles nor in a namespace that both watch. No name of a namespace holds a colon, nor does any of ours. */}}
{{- define "nats-k8s-oidc-callout.roleName" -}}
{{- printf "%s:%s" (include "nats-k8s-oidc-callout.namespace" .) (include "nats-k8s-oidc-callout.fullname" .) -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.serviceAccountName" -}}
{{- default (include "nats-k8s-oidc-callout.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The selector cannot be changed by an upgrade, so it holds nothing that ever changes. */}}
{{- define "nats-k8s-oidc-callout.selectorLabels" -}}
app.kubernetes.io/name: {{ include "nats-k8s-oidc-callout.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "nats-k8s-oidc-callout.labels" -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
-}}
{{- toYaml (mustMergeOverwrite $ours (include "nats-k8s-oidc-callout.selectorLabels" . | fromYaml) .Values.commonLabels) -}}
{{- end -}}

{{/* The same, and labels of a value that one object alone has. */}}
{{- define "nats-k8s-oidc-callout.labelsAnd" -}}
{{- toYaml (mustMergeOverwrite (include "nats-k8s-oidc-callout.labels" .root | fromYaml) .labels) -}}
{{- end -}}

{{/* The Pod of `helm test`; not the selector's labels, or the Service would lead to it. */}}
{{- define "nats-k8s-oidc-callout.testLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "nats-k8s-oidc-callout.name" . | trunc 58 | trimSuffix "-") | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The Pod that checks the policy; not the selector's labels either. */}}
{{- define "nats-k8s-oidc-callout.policyCheckLabels" -}}
app.kubernetes.io/name: {{ printf "%s-policy-check" (include "nats-k8s-oidc-callout.name" . | trunc 50 | trimSuffix "-") | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Without helm.sh/chart: a new version of the chart alone does not replace Pods. */}}
{{- define "nats-k8s-oidc-callout.podLabels" -}}
{{- $ours := dict "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63) -}}
{{- toYaml (mustMergeOverwrite $ours (include "nats-k8s-oidc-callout.selectorLabels" . | fromYaml) .Values.commonLabels .Values.podLabels) -}}
{{- end -}}

{{/* The annotations of one object: the common ones, then its own, which win. Nothing where there are none. */}}
{{- define "nats-k8s-oidc-callout.annotations" -}}
{{- with mustMergeOverwrite (dict) .root.Values.commonAnnotations (default dict .own) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The global registry stands in place of one that the repository names: its first part, if that has a dot or a port. */}}
{{- define "nats-k8s-oidc-callout.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $parts := splitList "/" $repository -}}
{{- if and (gt (len $parts) 1) (or (regexMatch "[.:]" (first $parts)) (eq "localhost" (first $parts))) -}}
{{- $repository = rest $parts | join "/" -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Of the release and of the chart that this one is a part of, where they may be names alone; each once. */}}
{{- define "nats-k8s-oidc-callout.pullSecrets" -}}
{{- $secrets := list -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with uniq $secrets -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* What follows from the values. A define gives text: "true" or nothing. */}}

{{- define "nats-k8s-oidc-callout.operatorMode" -}}
{{- if regexMatch "^A[A-Z2-7]{55}$" .Values.nats.account }}true{{ end -}}
{{- end -}}

{{/* Out of its own namespace's scope the self-test could only fail. */}}
{{- define "nats-k8s-oidc-callout.selfTest" -}}
{{- $inScope := or (empty .Values.namespaces) (has (include "nats-k8s-oidc-callout.namespace" .) .Values.namespaces) -}}
{{- if and .Values.selfTest.enabled $inScope (not .Values.shadow) }}true{{ end -}}
{{- end -}}

{{/* `revoke` or `on`; nothing when sessions are left alone. YAML makes true and false of `on` and `off` without quotes. */}}
{{- define "nats-k8s-oidc-callout.sessionControl" -}}
{{- $control := .Values.sessions.control | toString | replace "true" "on" | replace "false" "off" -}}
{{- if ne $control "off" }}{{ $control }}{{ end -}}
{{- end -}}

{{/* What is held of live sessions wants room, too: with session control the default of the memory limit is another one. */}}
{{- define "nats-k8s-oidc-callout.resources" -}}
{{- $resources := deepCopy (.Values.resources | default dict) -}}
{{- $limits := $resources.limits | default dict -}}
{{- if and (include "nats-k8s-oidc-callout.sessionControl" .) (eq (toString $limits.memory) "256Mi") -}}
{{- $_ := set $limits "memory" "512Mi" -}}
{{- end -}}
{{- with $resources }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.audience" -}}
{{- default "nats" .Values.jwt.audience -}}
{{- end -}}

{{/* Digits only: Helm's numbers are floats, and 1000000 would become 1e+06. */}}
{{- define "nats-k8s-oidc-callout.number" -}}
{{- if eq (floor .) (float64 .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The Secrets that are mounted below /etc/nats-auth: folder, Secret and key. Folders, never a subPath, which would
keep the old content for the life of the Pod. */}}
{{- define "nats-k8s-oidc-callout.secrets" -}}
{{- $controls := include "nats-k8s-oidc-callout.sessionControl" . -}}
{{- range $folder, $from := dict
  "credentials" .Values.nats.credentials
  "signing-key" .Values.nats.signingKey
  "account-signing-key" .Values.nats.accountSigningKey
  "xkey" .Values.nats.xkey
  "sentinel" .Values.nats.sentinel
  "system" (ternary .Values.sessions.systemCreds dict (ne $controls ""))
}}
{{- if $from.existingSecret }}
{{ $folder }}:
  secret: {{ $from.existingSecret | quote }}
  key: {{ $from.existingSecretKey | quote }}
{{- end }}
{{- end }}
{{- end -}}
