{{/* What the schema cannot say, or not in words that help. All problems are told at once, each led by the value's name.
Nothing here quotes a value that may hold a secret, be it by mistake. */}}

{{- define "nats-k8s-oidc-callout.refuse" -}}
{{- $told := "" -}}
{{- range $part := list "nats" "login" "tls" "tokens" "scope" "policy" "replies" "sessions" "pods" "budget" "network" "monitoring" -}}
{{- $told = print $told (include (print "nats-k8s-oidc-callout.refuse." $part) $) -}}
{{- end -}}
{{- with trimSuffix "\n" $told -}}
{{- fail (print "invalid values:\n" .) -}}
{{- end -}}
{{- end -}}

{{/* One problem a line. */}}
{{- define "nats-k8s-oidc-callout.problem" }}
{{- printf "  - %s\n" . }}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.nats" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $nats := .Values.nats -}}
{{- $key := "^A[A-Z2-7]{55}$" -}}
{{- if not $nats.account -}}
{{- include $problem "nats.account is REQUIRED: the account that clients land in, by its name (config mode) or its public key A… (operator mode)" -}}
{{- end -}}
{{- range $name, $account := dict "nats.account" $nats.account "nats.authAccount" $nats.authAccount -}}
{{- if regexMatch "^S[A-Z][A-Z2-7]{40,}$" $account -}}
{{- include $problem (printf "%s is a seed, which must stay in a Secret: the public key (A…) is required" $name) -}}
{{- else if regexMatch "^[B-Z][A-Z2-7]{55}$" $account -}}
{{- include $problem (printf "%s is a public key of another kind: an account's (A…) or a name is required" $name) -}}
{{- else if and (regexMatch "^A[A-Z2-7]{45,}$" $account) (not (regexMatch $key $account)) -}}
{{- include $problem (printf "%s looks like an account's public key, but has %d characters, not 56" $name (len $account)) -}}
{{- else if regexMatch "[[:space:]]" $account -}}
{{- include $problem (printf "%s must be one word" $name) -}}
{{- end -}}
{{- end -}}
{{- if has $nats.account (list "SYS" "$SYS") -}}
{{- include $problem "nats.account is the system account, where no client may land" -}}
{{- end -}}
{{- if and $nats.account (eq $nats.account $nats.authAccount) (ne $nats.account "$G") -}}
{{- include $problem "nats.authAccount is nats.account: in the callout account every client could read the tokens of the others" -}}
{{- end -}}
{{- if include "nats-k8s-oidc-callout.operatorMode" . -}}
{{- if and $nats.authAccount (not (regexMatch $key $nats.authAccount)) -}}
{{- include $problem "nats.authAccount must be a public key (A…), as nats.account is one (operator mode)" -}}
{{- end -}}
{{- else if $nats.account -}}
{{- if regexMatch $key $nats.authAccount -}}
{{- include $problem "nats.authAccount is a public key (operator mode), but nats.account a name (config mode)" -}}
{{- end -}}
{{- range $name := list "accountSigningKey" "sentinel" -}}
{{- if (get $nats $name).existingSecret -}}
{{- include $problem (printf "nats.%s.existingSecret is for operator mode, but nats.account is a name (config mode)" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (splitList "," $nats.url) -}}
{{- if not (regexMatch "^((nats|tls)://)?([^@/[:space:]]+@)?([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/?$" (trim .)) -}}
{{- include $problem "nats.url: each entry, separated by commas, must be nats://host:port or tls://host:port" -}}
{{- end -}}
{{- end -}}
{{- if or (le (float64 $nats.calloutTimeout) 0.1) (gt (float64 $nats.calloutTimeout) 60.0) -}}
{{- include $problem "nats.calloutTimeout must be more than 0.1 and at most 60 seconds, and the same as authorization.timeout of the servers" -}}
{{- end -}}
{{- if not (regexMatch "^([^[:space:].*>]+(\\.[^[:space:].*>]+)*)?$" $nats.queueGroup) -}}
{{- include $problem "nats.queueGroup must be words joined by dots, without white space or wildcards" -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.login" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $nats := .Values.nats -}}
{{- range $name := list "credentials" "signingKey" "accountSigningKey" "xkey" "sentinel" -}}
{{- $from := get $nats $name -}}
{{- if and $from.existingSecret (not (regexMatch "^[-._a-zA-Z0-9]+$" $from.existingSecretKey)) -}}
{{- include $problem (printf "nats.%s.existingSecretKey must be a key of the Secret: letters, digits, '-', '_' and '.'" $name) -}}
{{- end -}}
{{- end -}}
{{- if $nats.credentials.existingSecret -}}
{{- if contains "@" $nats.url -}}
{{- include $problem "nats.url holds a login and nats.credentials.existingSecret is set: one login only. Set nats.credentials.existingSecret to \"\", or take the login out of the URL" -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "NATS_TOKEN" -}}
{{- include $problem "extraEnv sets NATS_TOKEN and nats.credentials.existingSecret is set: one login only. Set nats.credentials.existingSecret to \"\"" -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- if not (or $nats.signingKey.existingSecret $.Values.shadow) -}}
{{- include $problem "nats.signingKey.existingSecret is required without nats.credentials.existingSecret: nothing else could sign" -}}
{{- end -}}
{{- if include "nats-k8s-oidc-callout.operatorMode" . -}}
{{- if not (or $nats.accountSigningKey.existingSecret $.Values.shadow) -}}
{{- include $problem "nats.accountSigningKey.existingSecret is required in operator mode without nats.credentials.existingSecret" -}}
{{- end -}}
{{- if not $nats.authAccount -}}
{{- include $problem "nats.authAccount is required in operator mode without nats.credentials.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.tls" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $tls := .Values.nats.tls -}}
{{- if $tls.enabled -}}
{{- if and $tls.certFile (not $tls.keyFile) -}}
{{- include $problem "nats.tls.certFile wants nats.tls.keyFile" -}}
{{- end -}}
{{- if and $tls.keyFile (not $tls.certFile) -}}
{{- include $problem "nats.tls.keyFile wants nats.tls.certFile" -}}
{{- end -}}
{{- if and $tls.existingSecret (not (or $tls.caFile $tls.certFile)) -}}
{{- include $problem "nats.tls.existingSecret is mounted at /etc/nats-tls, but no file of it is named: set nats.tls.caFile (/etc/nats-tls/ca.crt), or nats.tls.certFile and nats.tls.keyFile" -}}
{{- end -}}
{{- if not $tls.caFile -}}
{{- range (splitList "," .Values.nats.url) -}}
{{- if not (hasPrefix "tls://" (trim .)) -}}
{{- include $problem "nats.tls.enabled without nats.tls.caFile: then each entry of nats.url must say tls://, or a server could talk us out of TLS" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "caFile" "certFile" "keyFile" -}}
{{- if not (regexMatch "^(/[-._a-zA-Z0-9]+)*$" (get $tls $name)) -}}
{{- include $problem (printf "nats.tls.%s must be the path of a file, from / on" $name) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range $name := list "existingSecret" "caFile" "certFile" "keyFile" -}}
{{- if get $tls $name -}}
{{- include $problem (printf "nats.tls.%s is set, but nats.tls.enabled is false" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.tokens" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $jwt := .Values.jwt -}}
{{- if regexMatch "[[:space:]]" $jwt.audience -}}
{{- include $problem "jwt.audience must be one word" -}}
{{- end -}}
{{- if $jwt.issuer -}}
{{- range (splitList "," $jwt.issuer) -}}
{{- if not (regexMatch "^[^[:space:]]+$" (trim .)) -}}
{{- include $problem "jwt.issuer must be one issuer, or several names of one, separated by commas" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^(https://[^[:space:]]+|http://(127\\.[0-9.]+|localhost|\\[::1\\])([:/][^[:space:]]*)?)?$" $jwt.jwksUrl) -}}
{{- include $problem "jwt.jwksUrl must be an https:// URL (http:// only to this Pod itself)" -}}
{{- end -}}
{{- if and $jwt.jwksCa.existingConfigMap (not $jwt.jwksUrl) -}}
{{- include $problem "jwt.jwksCa.existingConfigMap is for the host of jwt.jwksUrl, which is not set" -}}
{{- end -}}
{{- if and $jwt.jwksCa.existingConfigMap (not (regexMatch "^[-._a-zA-Z0-9]+$" $jwt.jwksCa.key)) -}}
{{- include $problem "jwt.jwksCa.key must be a key of the ConfigMap: letters, digits, '-', '_' and '.'" -}}
{{- end -}}
{{- if include "nats-k8s-oidc-callout.selfTest" . -}}
{{- if lt (int64 .Values.selfTest.expirationSeconds) 600 -}}
{{- include $problem "selfTest.expirationSeconds must be at least 600: Kubernetes issues no shorter token" -}}
{{- end -}}
{{- if gt (int64 .Values.selfTest.expirationSeconds) (int64 $jwt.maxLifetimeSeconds) -}}
{{- include $problem "selfTest.expirationSeconds is over jwt.maxLifetimeSeconds: the service would refuse its own token" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.scope" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- range .Values.namespaces -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" .) -}}
{{- include $problem (printf "namespaces: %q is no name of a namespace (a-z, 0-9 and '-', at most 63 characters)" .) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/([A-Za-z0-9]([A-Za-z0-9._-]*)?)?$" .Values.annotationPrefix) -}}
{{- include $problem "annotationPrefix must be a DNS name and a slash, such as nats.io/" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- include $problem "serviceAccount.name is required with serviceAccount.create=false: the ServiceAccount `default` must not get these rights" -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.policy" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $policy := .Values.policy -}}
{{- if and $policy.inline $policy.existingConfigMap -}}
{{- include $problem "policy.inline and policy.existingConfigMap exclude each other" -}}
{{- end -}}
{{- if hasKey (include "nats-k8s-oidc-callout.policyText" . | fromYaml) "Error" -}}
{{- include $problem "policy.inline must be the policy file: a map of YAML, or its text" -}}
{{- end -}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]+$" $policy.key) -}}
{{- include $problem "policy.key must be a key of the ConfigMap: letters, digits, '-', '_' and '.'" -}}
{{- end -}}
{{- if and $policy.namespaceLabels (not (include "nats-k8s-oidc-callout.policySource" .)) -}}
{{- include $problem "policy.namespaceLabels is for a policy, and there is none: set policy.existingConfigMap" -}}
{{- end -}}
{{- if .Values.accounts.existingSecret -}}
{{- if not (include "nats-k8s-oidc-callout.policySource" .) -}}
{{- include $problem "accounts.existingSecret is for the accounts that a policy names, and there is none: set policy.inline or policy.existingConfigMap" -}}
{{- end -}}
{{- if not (include "nats-k8s-oidc-callout.operatorMode" .) -}}
{{- include $problem "accounts.existingSecret is for operator mode, but nats.account is a name (config mode)" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.admissionPolicy.enabled (semverCompare "<1.30-0" .Capabilities.KubeVersion.Version) -}}
{{- include $problem (printf "admissionPolicy.enabled needs Kubernetes 1.30, and this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.replies" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $replies := .Values.replies -}}
{{- if .Values.allowResponses -}}
{{- include $problem "allowResponses is gone: replies.mode says how a service may answer. What allowResponses did is replies.mode=responses, with replies.max and replies.ttlSeconds; what allowResponses.max=0 did is replies.mode=none" -}}
{{- end -}}
{{- if and (ne $replies.mode "responses") (or (ne (int64 $replies.max) 1) (ne (float64 $replies.ttlSeconds) 120.0)) -}}
{{- include $problem (printf "replies.max and replies.ttlSeconds are for replies.mode=responses only, and replies.mode is %s" $replies.mode) -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.sessions" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- if and .Values.shadow (include "nats-k8s-oidc-callout.sessionControl" .) -}}
{{- include $problem "sessions.control excludes shadow: who answers nobody has no sessions" -}}
{{- end -}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]+$" .Values.sessions.systemCreds.existingSecretKey) -}}
{{- include $problem "sessions.systemCreds.existingSecretKey must be a key of the Secret: letters, digits, '-', '_' and '.'" -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.pods" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- if and (not (kindIs "invalid" .Values.replicaCount)) (lt (int64 .Values.replicaCount) 1) -}}
{{- include $problem "replicaCount must be at least 1, or null: without a replica nobody can log in to NATS (to stop it for a while: kubectl scale)" -}}
{{- end -}}
{{- if not (regexMatch "^[^@[:space:]]*[^@:/[:space:]]$" .Values.image.repository) -}}
{{- include $problem "image.repository must be an image without tag and digest, which are image.tag and image.digest" -}}
{{- else if contains ":" (splitList "/" .Values.image.repository | last) -}}
{{- include $problem "image.repository must be an image without tag and digest, which are image.tag and image.digest" -}}
{{- end -}}
{{- if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$" .Values.image.tag) -}}
{{- include $problem "image.tag must be letters, digits, '.', '_' and '-', at most 128" -}}
{{- end -}}
{{- if not (regexMatch "^(sha256:[0-9a-f]{64})?$" .Values.image.digest) -}}
{{- include $problem "image.digest must be sha256: and 64 hex digits" -}}
{{- end -}}
{{- range $where, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- if hasKey $labels $label -}}
{{- include $problem (printf "%s: %s is part of the selector, which no upgrade can change (nameOverride changes the name, before the first install)" $where $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $variables := include "nats-k8s-oidc-callout.variables" . | fromYaml -}}
{{- $seen := dict -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $seen .name -}}
{{- include $problem (printf "extraEnv sets %s twice" .name) -}}
{{- else if has .name (list "HOST" "PORT") -}}
{{- include $problem (printf "extraEnv sets %s, which ports and probes rely on" .name) -}}
{{- else if hasKey $variables .name -}}
{{- include $problem (printf "extraEnv sets %s, which the value %s is for" .name (get $variables .name)) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- $ours := concat (list "tmp" "nats-tls" "jwks-ca" "nats-self-test" "policy" "accounts") (include "nats-k8s-oidc-callout.secrets" . | fromYaml | keys) -}}
{{- range .Values.extraVolumes -}}
{{- if has .name $ours -}}
{{- include $problem (printf "extraVolumes: %s is the name of a volume of the chart" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A budget that lets no Pod go makes every node drain hang. Kubernetes rounds a percentage up, for both fields. How many
Pods an autoscaler keeps is not known here: then only what would hang with any number is refused. */}}
{{- define "nats-k8s-oidc-callout.refuse.budget" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- $replicas := kindIs "invalid" .Values.replicaCount | ternary 1000000 (int64 .Values.replicaCount) -}}
{{- if and $budget.enabled (gt $replicas 1) -}}
{{- $pods := dict -}}
{{- range $field := list "maxUnavailable" "minAvailable" -}}
{{- $value := get $budget $field | toString -}}
{{- if regexMatch "^[0-9]+%$" $value -}}
{{- $_ := set $pods $field (divf (mulf (trimSuffix "%" $value | float64) $replicas) 100 | ceil | int64) -}}
{{- else if regexMatch "^[0-9]+$" $value -}}
{{- $_ := set $pods $field (int64 $value) -}}
{{- else if not (has $value (list "" "<nil>")) -}}
{{- $_ := set $pods $field 1 -}}
{{- include $problem (printf "podDisruptionBudget.%s must be a number of Pods or a percentage" $field) -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey $pods "maxUnavailable") (hasKey $pods "minAvailable") -}}
{{- include $problem "podDisruptionBudget: maxUnavailable and minAvailable exclude each other; set podDisruptionBudget.maxUnavailable to null" -}}
{{- else if and (hasKey $pods "maxUnavailable") (lt (get $pods "maxUnavailable") 1) -}}
{{- include $problem "podDisruptionBudget.maxUnavailable lets no Pod go: every node drain would hang" -}}
{{- else if and (hasKey $pods "minAvailable") (ge (get $pods "minAvailable") $replicas) -}}
{{- include $problem "podDisruptionBudget.minAvailable keeps all Pods: every node drain would hang" -}}
{{- else if not $pods -}}
{{- include $problem "podDisruptionBudget.enabled wants maxUnavailable or minAvailable" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.network" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- $policy := .Values.networkPolicy -}}
{{- range $name, $cidrs := dict "apiServer" $policy.apiServer.cidrs "dns" $policy.dns.cidrs -}}
{{- range $cidrs -}}
{{- if not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)/[0-9]{1,3}$" .) -}}
{{- include $problem (printf "networkPolicy.%s.cidrs: %q is no range of addresses, such as 10.0.0.1/32" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $policy.enabled (not $policy.apiServer.ports) -}}
{{- include $problem "networkPolicy.apiServer.ports is empty: the API server could not be reached" -}}
{{- end -}}
{{- end -}}

{{- define "nats-k8s-oidc-callout.refuse.monitoring" -}}
{{- $problem := "nats-k8s-oidc-callout.problem" -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- include $problem "metrics.podMonitor and metrics.serviceMonitor are both enabled: Prometheus would ask every Pod twice, and every sum be double" -}}
{{- end -}}
{{- $alerts := regexFindAll "NatsAuthCallout[A-Za-z]+" (regexFindAll "- alert: .*" (.Files.Get "files/rules.yaml") -1 | join " ") -1 -}}
{{- range .Values.metrics.prometheusRule.disabledAlerts -}}
{{- if not (has . $alerts) -}}
{{- include $problem (printf "metrics.prometheusRule.disabledAlerts: there is no alert %q" .) -}}
{{- end -}}
{{- end -}}
{{- $url := .Values.metrics.prometheusRule.runbookUrl -}}
{{- if not (regexMatch "^(https?://[^[:space:]\"#]+)?$" $url) -}}
{{- include $problem "metrics.prometheusRule.runbookUrl must be a URL without a part behind #" -}}
{{- end -}}
{{- end -}}
