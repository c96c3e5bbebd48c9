{{/* What no schema can say in words that people understand. Everything that is wrong is told at once. */}}

{{- define "exporter.refuseProblems" -}}
{{- $problems := list }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- $problems = append $problems (printf "replicaCount: is %v, but one account must be polled by one pod only, or everything counts twice; to divide several accounts among pods set shards" .Values.replicaCount) }}
{{- end }}
{{- if not .Values.accounts }}
{{- $problems = append $problems "accounts: none given; list at least one, such as {name: shop, account_sid: AC…, existingSecret: {name: twilio}}" }}
{{- end }}
{{- $names := dict }}
{{- range $index, $account := .Values.accounts }}
{{- $path := printf "accounts[%d] (%s)" $index .name }}
{{- if hasKey $names .name }}
{{- $problems = append $problems (printf "%s: accounts[%v] has the same name; each needs one of its own" $path (get $names .name)) }}
{{- else }}
{{- $_ := set $names .name $index }}
{{- end }}
{{- $token := or .auth_token .auth_token_file }}
{{- $key := or .api_key .api_key_secret .api_key_secret_file }}
{{- $secrets := list }}
{{- range list "auth_token" "auth_token_file" "api_key_secret" "api_key_secret_file" "existingSecret" }}
{{- if get $account . }}{{ $secrets = append $secrets . }}{{ end }}
{{- end }}
{{- if or (and .account_sid .api_key) (and $token $key) (and .account_sid $key) (and .api_key $token) }}
{{- $problems = append $problems (printf "%s: two kinds of credential; keep account_sid with auth_token, or api_key with api_key_secret" $path) }}
{{- else if not (or .account_sid .api_key) }}
{{- $problems = append $problems (printf "%s: no credential; give account_sid or api_key" $path) }}
{{- else if not $secrets }}
{{- $problems = append $problems (printf "%s: no secret; give existingSecret, or %s" $path (ternary "api_key_secret" "auth_token" (hasKey . "api_key"))) }}
{{- else if gt (len $secrets) 1 }}
{{- $problems = append $problems (printf "%s: the secret is given more than once, as %s; keep one of them" $path (join " and " $secrets)) }}
{{- end }}
{{- end }}
{{- $amount := "[0-9]+([.][0-9]+)?" }}
{{- $duration := printf "^(%[1]s|(%[1]sd)?(%[1]sh)?(%[1]sm)?(%[1]ss)?(%[1]sms)?)$" $amount }}
{{- range list "api.timeout" "poll.interval" "poll.lookback" "poll.recent" "poll.sweep_interval" "metrics.first_scrape_timeout" }}
{{- $path := splitList "." . }}
{{- $value := dig (first $path) (last $path) "60s" $.Values.config }}
{{- $text := kindIs "string" $value | ternary $value (toJson $value) }}
{{- if not (and (trim $text) (regexMatch $duration (trim $text))) }}
{{- $problems = append $problems (printf "config.%s: %q is not a duration; write 90s, 15m, 7d or plain seconds" . $text) }}
{{- end }}
{{- end }}
{{- if and .Values.webConfig.content .Values.webConfig.existingSecret }}
{{- $problems = append $problems "webConfig: both content and existingSecret are given; keep one of them" }}
{{- end }}
{{- if and .Values.webConfig.tlsSecret (not (include "exporter.guarded" .)) }}
{{- $problems = append $problems "webConfig.tlsSecret: nothing uses it; name its files in webConfig.content.tls_server_config, or in the file in webConfig.existingSecret" }}
{{- end }}
{{- if and .Values.ca.configMap .Values.ca.secret }}
{{- $problems = append $problems "ca: both configMap and secret are given; keep one of them" }}
{{- end }}
{{- if and (or .Values.ca.configMap .Values.ca.secret) (dig "api" "ca_file" "" .Values.config) }}
{{- $problems = append $problems "config.api.ca_file: ca is given, too; keep one of them" }}
{{- end }}
{{- if contains "@" .Values.proxy.https }}
{{- $problems = append $problems "proxy.https: holds a user or a password, which everybody who may see the pod would see; put HTTPS_PROXY into a Secret and name that in extraEnvFrom" }}
{{- end }}
{{- range $monitor := list "serviceMonitor" "podMonitor" }}
{{- range list "interval" "scrapeTimeout" }}
{{- $text := get $.Values $monitor | dig . "" }}
{{- if not (regexMatch "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" $text) }}
{{- $problems = append $problems (printf "%s.%s: %q is not a duration of Prometheus; write 30s or 1m" $monitor . $text) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- $problems = append $problems "podMonitor: serviceMonitor is enabled, too, so each pod would be scraped twice; keep one of them" }}
{{- end }}
{{- $groups := list }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).groups }}
{{- $groups = append $groups .name }}
{{- end }}
{{- range .Values.prometheusRule.disabledGroups }}
{{- if not (has . $groups) }}
{{- $problems = append $problems (printf "prometheusRule.disabledGroups: there is no group %s; there are %s" . (join ", " $groups)) }}
{{- end }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\n\nThe values cannot be used:\n  %s\n" (join "\n  " $problems)) }}
{{- end }}
{{- end }}
