{{/* Which value sets which variable: extraEnv may not set them a second time. HOST has none: Pods listen everywhere. */}}
{{- define "nats-k8s-oidc-callout.variables" -}}
NATS_URL: nats.url
NATS_ACCOUNT: nats.account
NATS_AUTH_ACCOUNT: nats.authAccount
NATS_CREDS_FILE: nats.credentials.existingSecret
NATS_USER_CREDS_FILE: nats.credentials.existingSecret
NATS_SIGNING_KEY_FILE: nats.signingKey.existingSecret
NATS_ACCOUNT_SIGNING_KEY_FILE: nats.accountSigningKey.existingSecret
NATS_XKEY_FILE: nats.xkey.existingSecret
NATS_XKEY_MODE: nats.xkey.mode
NATS_SENTINEL_CREDS_FILE: nats.sentinel.existingSecret
NATS_AUTH_TIMEOUT_SECONDS: nats.calloutTimeout
NATS_QUEUE_GROUP: nats.queueGroup
NATS_TLS_CA_FILE: nats.tls.caFile
NATS_TLS_CERT_FILE: nats.tls.certFile
NATS_TLS_KEY_FILE: nats.tls.keyFile
SELF_TEST_TOKEN_FILE: selfTest.enabled
JWT_ISSUER: jwt.issuer
JWT_AUDIENCE: jwt.audience
JWKS_URL: jwt.jwksUrl
JWKS_CA_FILE: jwt.jwksCa.existingConfigMap
REQUIRE_POD_BOUND: jwt.requirePodBound
TOKEN_MAX_LIFETIME_SECONDS: jwt.maxLifetimeSeconds
CLOCK_SKEW_SECONDS: jwt.clockSkewSeconds
K8S_NAMESPACES: namespaces
POLICY_FILE: policy.existingConfigMap
NATS_ACCOUNTS_DIR: accounts.existingSecret
SA_ANNOTATION_PREFIX: annotationPrefix
INBOX_MODE: inboxMode
JETSTREAM_GRANTS: jetstreamGrants
REPLY_MODE: replies.mode
ALLOW_RESPONSES_MAX: replies.max
ALLOW_RESPONSES_TTL_SECONDS: replies.ttlSeconds
SESSION_MAX_SECONDS: sessionMaxSeconds
SESSION_CONTROL: sessions.control
SESSION_RENEWAL: sessions.renewal
SESSION_KICKS_PER_SECOND: sessions.kicksPerSecond
SESSION_LABEL: sessions.label
SESSION_RELEASE: sessions.release
SESSION_RECONCILE_SECONDS: sessions.reconcileSeconds
SESSION_SUBJECTS: sessions.subjects
NATS_SYSTEM_CREDS_FILE: sessions.systemCreds.existingSecret
NATS_SYSTEM_NKEY_FILE: sessions.systemCreds.existingSecret
SHADOW: shadow
LOG_LEVEL: logLevel
LOG_FORMAT: logFormat
{{- end -}}

{{/* The environment, a variable and its text each. An empty value sets no variable, so that the service's own default
rules: JWT_ISSUER is then read from the Pod's own token. */}}
{{- define "nats-k8s-oidc-callout.environment" -}}
{{- $number := "nats-k8s-oidc-callout.number" -}}
{{- $secrets := include "nats-k8s-oidc-callout.secrets" . | fromYaml -}}
{{- $set := list
  (list "NATS_URL" .Values.nats.url)
  (list "NATS_ACCOUNT" .Values.nats.account)
  (list "NATS_AUTH_ACCOUNT" .Values.nats.authAccount)
-}}
{{- range $folder, $variable := dict
  "credentials" "NATS_CREDS_FILE"
  "signing-key" "NATS_SIGNING_KEY_FILE"
  "account-signing-key" "NATS_ACCOUNT_SIGNING_KEY_FILE"
  "xkey" "NATS_XKEY_FILE"
  "sentinel" "NATS_SENTINEL_CREDS_FILE"
  "system" "NATS_SYSTEM_CREDS_FILE"
-}}
{{- with get $secrets $folder -}}
{{- $set = append $set (list $variable (printf "/etc/nats-auth/%s/%s" $folder .key)) -}}
{{- end -}}
{{- end -}}
{{- if .Values.nats.xkey.existingSecret -}}
{{- $set = append $set (list "NATS_XKEY_MODE" .Values.nats.xkey.mode) -}}
{{- end -}}
{{- $set = concat $set (list
  (list "NATS_AUTH_TIMEOUT_SECONDS" (include $number .Values.nats.calloutTimeout))
  (list "NATS_QUEUE_GROUP" .Values.nats.queueGroup)
) -}}
{{- if .Values.nats.tls.enabled -}}
{{- $set = concat $set (list
  (list "NATS_TLS_CA_FILE" .Values.nats.tls.caFile)
  (list "NATS_TLS_CERT_FILE" .Values.nats.tls.certFile)
  (list "NATS_TLS_KEY_FILE" .Values.nats.tls.keyFile)
) -}}
{{- end -}}
{{- if include "nats-k8s-oidc-callout.selfTest" . -}}
{{- $set = append $set (list "SELF_TEST_TOKEN_FILE" "/var/run/secrets/nats-self-test/token") -}}
{{- end -}}
{{- $set = concat $set (list
  (list "JWT_ISSUER" .Values.jwt.issuer)
  (list "JWT_AUDIENCE" .Values.jwt.audience)
  (list "JWKS_URL" .Values.jwt.jwksUrl)
) -}}
{{- if .Values.jwt.jwksCa.existingConfigMap -}}
{{- $set = append $set (list "JWKS_CA_FILE" (printf "/etc/jwks-ca/%s" .Values.jwt.jwksCa.key)) -}}
{{- end -}}
{{- $set = concat $set (list
  (list "REQUIRE_POD_BOUND" (toString .Values.jwt.requirePodBound))
  (list "TOKEN_MAX_LIFETIME_SECONDS" (include $number .Values.jwt.maxLifetimeSeconds))
  (list "CLOCK_SKEW_SECONDS" (include $number .Values.jwt.clockSkewSeconds))
  (list "K8S_NAMESPACES" (join "," .Values.namespaces))
) -}}
{{- if include "nats-k8s-oidc-callout.policySource" . -}}
{{- $set = append $set (list "POLICY_FILE" (printf "/etc/nats-policy/%s" .Values.policy.key)) -}}
{{- end -}}
{{- if .Values.accounts.existingSecret -}}
{{- $set = append $set (list "NATS_ACCOUNTS_DIR" "/etc/nats-accounts") -}}
{{- end -}}
{{- $set = concat $set (list
  (list "SA_ANNOTATION_PREFIX" .Values.annotationPrefix)
  (list "INBOX_MODE" .Values.inboxMode)
  (list "REPLY_MODE" .Values.replies.mode)
) -}}
{{- if eq .Values.replies.mode "responses" -}}
{{- $set = concat $set (list
  (list "ALLOW_RESPONSES_MAX" (include $number .Values.replies.max))
  (list "ALLOW_RESPONSES_TTL_SECONDS" (include $number .Values.replies.ttlSeconds))
) -}}
{{- end -}}
{{- $set = concat $set (list
  (list "JETSTREAM_GRANTS" .Values.jetstreamGrants)
  (list "SESSION_MAX_SECONDS" (include $number .Values.sessionMaxSeconds))
) -}}
{{- with include "nats-k8s-oidc-callout.sessionControl" . -}}
{{- $set = append $set (list "SESSION_CONTROL" .) -}}
{{- if eq . "on" -}}
{{- $set = append $set (list "SESSION_RENEWAL" ($.Values.sessions.renewal | toString | replace "false" "off")) -}}
{{- end -}}
{{- $set = concat $set (list
  (list "SESSION_KICKS_PER_SECOND" (include $number $.Values.sessions.kicksPerSecond))
  (list "SESSION_LABEL" (toString $.Values.sessions.label))
  (list "SESSION_RELEASE" ($.Values.sessions.release | default ($.Release.Name | replace "." "-")))
  (list "SESSION_RECONCILE_SECONDS" (include $number $.Values.sessions.reconcileSeconds))
  (list "SESSION_SUBJECTS" $.Values.sessions.subjects)
) -}}
{{- end -}}
{{- $set = concat $set (list
  (list "SHADOW" (ternary "true" "" .Values.shadow))
  (list "PORT" "8080")
  (list "LOG_LEVEL" .Values.logLevel)
  (list "LOG_FORMAT" .Values.logFormat)
) -}}
{{- $lines := list -}}
{{- range $set -}}
{{- if index . 1 -}}
{{- $lines = append $lines (printf "- name: %s\n  value: %s" (index . 0) (index . 1 | quote)) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}
