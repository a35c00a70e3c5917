{{/* The alerts and records of files/rules.yaml for this release: its namespace, its links, its thresholds. */}}

{{/* What each value below metrics.prometheusRule.thresholds stands for: the alert, and the text of its expression. */}}
{{- define "nats-k8s-oidc-callout.thresholds" -}}
failureRatio: {alert: NatsAuthCalloutHighFailureRate, says: "> 0.05", with: "> %s"}
cacheHitRatio: {alert: NatsAuthCalloutLowCacheHitRate, says: "< 0.9", with: "< %s"}
answerSeconds: {alert: NatsAuthCalloutSlowAnswers, says: "> 0.75", with: "> %s"}
requestsTooLate: {alert: NatsAuthCalloutRequestsTooLate, says: "> 5", with: "> %s"}
floodPerSecond: {alert: NatsAuthCalloutFlood, says: "> 1", with: "> %s"}
credentialDays: {alert: NatsAuthCalloutCredentialExpiringSoon, says: "< 14 * 86400", with: "< %s * 86400"}
keySetHours: {alert: NatsAuthCalloutKeySetStale, says: "> 12 * 3600", with: "> %s * 3600"}
watchSilentSeconds: {alert: NatsAuthCalloutWatchSilent, says: "> 300", with: "> %s"}
{{- end -}}

{{- define "nats-k8s-oidc-callout.ruleGroups" -}}
{{- $values := .Values.metrics.prometheusRule -}}
{{- $text := .Files.Get "files/rules.yaml" | replace "NAMESPACE_SELECTOR" (printf "namespace=%q" (include "nats-k8s-oidc-callout.namespace" .)) -}}
{{- if not $values.runbookUrl -}}
{{- $text = regexReplaceAll "(?m)^ *runbook_url: .*\n" $text "" -}}
{{- end -}}
{{/* Who sets a policy file wants to hear of a replica without one, also where no replica ever had one. */}}
{{- if include "nats-k8s-oidc-callout.policySource" . -}}
{{- $text = regexReplaceAll "\\n +and on \\(namespace, job\\)\\n +max_over_time\\(nats_auth_policy_info[^\\n]*" $text "" -}}
{{- end -}}
{{- $replacements := dict -}}
{{- range $name, $known := include "nats-k8s-oidc-callout.thresholds" . | fromYaml -}}
{{- $with := printf $known.with (include "nats-k8s-oidc-callout.number" (get $values.thresholds $name)) -}}
{{- $_ := set $replacements $known.alert (dict "says" $known.says "with" $with) -}}
{{- end -}}
{{- $groups := list -}}
{{- range $group := ($text | replace "RUNBOOK_URL" $values.runbookUrl | fromYaml).groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- if not (has $rule.alert $values.disabledAlerts) -}}
{{- with get $replacements (default "" $rule.alert) -}}
{{- if not (contains .says $rule.expr) -}}
{{- fail (printf "files/rules.yaml: %s has no %q for its threshold to replace" $rule.alert .says) -}}
{{- end -}}
{{- $_ := set $rule "expr" ($rule.expr | replace .says .with) -}}
{{- end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set $group "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
