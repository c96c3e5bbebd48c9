{{/* What no schema can say in words that people understand. Everything that is wrong is told at once. */}}

{{- define "exporter.refuseProblems" -}}
{{- $problems := list }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- $problems = append $problems (printf "replicaCount: is %v, but one account must be polled by one pod only, or everything counts twice; to divide several accounts among pods set shards" .Values.replicaCount) }}
{{- end }}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" (include "exporter.fullname" .)) }}
{{- $problems = append $problems (printf "fullnameOverride: %q cannot be the name of a Service; set one of lower-case letters, digits and dashes, a letter first" (include "exporter.fullname" .)) }}
{{- end }}
{{- if not (regexMatch "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$" (include "exporter.name" .)) }}
{{- $problems = append $problems (printf "nameOverride: %q cannot be a label; set one of letters, digits and dashes" (include "exporter.name" .)) }}
{{- end }}
{{- $selected := include "exporter.selectorLabels" . | fromYaml }}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels }}
{{- range $label, $_ := $labels }}
{{- if hasKey $selected $label }}
{{- $problems = append $problems (printf "%s: %s is how the pods are found; choose another label" $path $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- $volumes := set (include "exporter.volumes" . | fromYaml) "state" true }}
{{- range $index, $volume := .Values.extraVolumes }}
{{- if hasKey $volumes (toString .name) }}
{{- $problems = append $problems (printf "extraVolumes[%d]: the chart has a volume named %s, too; choose another name" $index .name) }}
{{- end }}
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
{{- $bounds := include "exporter.durations" . | fromYaml }}
{{- range $setting := keys $bounds | sortAlpha }}
{{- $path := splitList "." $setting }}
{{- $section := get $.Values.config (first $path) | default dict }}
{{- if hasKey $section (last $path) }}
{{- $value := get $section (last $path) }}
{{- $text := kindIs "string" $value | ternary $value (toYaml $value) }}
{{- $seconds := include "exporter.seconds" (trim $text) }}
{{- $allowed := get $bounds $setting }}
{{- if not $seconds }}
{{- $problems = append $problems (printf "config.%s: %q is not a duration; write 90s, 15m, 7d or plain seconds" $setting $text) }}
{{- else }}
{{- range $words, $limit := $allowed }}
{{- $than := include "exporter.seconds" $limit | float64 }}
{{- $is := float64 $seconds }}
{{- if or (and (eq $words "more than") (le $is $than)) (and (eq $words "at least") (lt $is $than)) (and (eq $words "at most") (gt $is $than)) }}
{{- $problems = append $problems (printf "config.%s: %q must be %s %s" $setting $text $words $limit) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with dig "api" "base_url" "" .Values.config }}
{{- $problem := include "exporter.urlProblem" . }}
{{- if $problem }}
{{- $problems = append $problems (printf "config.api.base_url: %s" $problem) }}
{{- end }}
{{- end }}
{{- range splitList "," (include "exporter.addresses" .) }}
{{- $port := trim . | regexFind ":[0-9]+$" | trimPrefix ":" | int }}
{{- if not (regexMatch "^(\\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*(%[^][]+)?\\]|([A-Za-z0-9_-]{1,63}([.][A-Za-z0-9_-]{1,63})*[.]?)?):[0-9]{1,5}$" (trim .)) }}
{{- $problems = append $problems (printf "config.web.listen_address: %q is not an address; write host:port, :port or [::1]:port, several with commas between" .) }}
{{- else if or (lt $port 1) (gt $port 65535) }}
{{- $problems = append $problems (printf "config.web.listen_address: %q must have a port from 1 to 65535" .) }}
{{- end }}
{{- end }}
{{- if has (dig "web" "telemetry_path" "" .Values.config) (list "/status.css" "/-/healthy" "/-/ready" "/-/reload") }}
{{- $problems = append $problems (printf "config.web.telemetry_path: %q is taken; write one such as /metrics" .Values.config.web.telemetry_path) }}
{{- end }}
{{- if regexMatch "(?i)^(localhost|127[.][0-9.]+|\\[[0:]*:0*1\\]):" (include "exporter.address" .) }}
{{- $problems = append $problems (printf "config.web.listen_address: %s is reached from within the pod only, not by probes and Prometheus; write :10587, or name another address first" (include "exporter.address" .)) }}
{{- end }}
{{- if and .Values.webConfig.content .Values.webConfig.existingSecret }}
{{- $problems = append $problems "webConfig: both content and existingSecret are given; keep one of them" }}
{{- end }}
{{- range $name, $hash := dig "basic_auth_users" (dict) .Values.webConfig.content }}
{{- if regexMatch "^$|:" $name }}
{{- $problems = append $problems (printf "webConfig.content.basic_auth_users.%s: is no user name: it must not be empty nor hold a colon" $name) }}
{{- else if not (regexMatch "^[$]2[aby][$](0[4-9]|[12][0-9]|3[01])[$][./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}$" $hash) }}
{{- $problems = append $problems (printf "webConfig.content.basic_auth_users.%s: must be a bcrypt hash, such as htpasswd -nBC 10 writes" $name) }}
{{- end }}
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

{{/* The settings that are durations, and what the program takes. */}}
{{- define "exporter.durations" -}}
api.timeout: {more than: 0s}
metrics.first_scrape_timeout: {at least: 0s}
poll.interval: {at least: 1s}
poll.lookback: {more than: 0s, at most: 7d}
poll.recent: {more than: 0s}
poll.sweep_interval: {more than: 0s}
{{- end }}

{{/* Of a duration as the program reads it; empty: it is none. */}}
{{- define "exporter.seconds" -}}
{{- $amount := "[0-9]+([.][0-9]+)?" }}
{{- $text := regexMatch (printf "^%s$" $amount) . | ternary (printf "%ss" .) . }}
{{- if and $text (regexMatch (printf "^(%[1]sd)?(%[1]sh)?(%[1]sm)?(%[1]ss)?(%[1]sms)?$" $amount) $text) }}
{{- $seconds := 0.0 }}
{{- range $unit, $length := dict "d" 86400.0 "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 }}
{{- $found := regexFind (printf "%s%s([0-9]|$)" $amount $unit) $text }}
{{- $seconds = addf $seconds (mulf $length (regexFind $amount $found | default "0" | float64)) }}
{{- end }}
{{- $seconds }}
{{- end }}
{{- end }}

{{/* What is wrong with a URL, without showing it: it may hold a password. */}}
{{- define "exporter.urlProblem" -}}
{{- $label := "[^]./?#@:[\\pZ\\pC]{1,63}" }}
{{- $host := printf "\\[[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*\\]|%[1]s([.]%[1]s)*[.]?" $label }}
{{- $rest := "([/?#][^\\pZ\\pC]*)?" }}
{{- $port := regexFind (printf ":[0-9]+%s$" $rest) . | regexFind "^:[0-9]+" | trimPrefix ":" | int }}
{{- if or (not (regexMatch (printf "(?i)^https?://([^/?#\\pZ\\pC]*@)?(%s)(:[0-9]*)?%s$" $host $rest) .)) (gt $port 65535) -}}
is not a URL; write one such as https://comms.twilio.com/v1
{{- else if regexMatch "[@?#]" . -}}
must hold no credentials, query or fragment; write one such as https://comms.twilio.com/v1
{{- else if regexMatch "(?i)^http:" . }}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" }}
{{- if not (regexMatch (printf "(?i)^http://(localhost|127([.]%s){3}|\\[[0:]*:0*1\\])(:|/|$)" $octet) .) -}}
would send credentials in the clear; write https (http is for loopback addresses only)
{{- end }}
{{- end }}
{{- end }}
