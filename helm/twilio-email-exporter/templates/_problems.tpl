{{/*
Mistakes that only the chart can see: contradictions between values, names and ports of Kubernetes objects, and what would fail
silently in the cluster. All of them are reported at once. Not checked here is what the program refuses when it starts, with a line
in the pod's log for each problem: durations, URLs, paths, the web config.
*/}}

{{- define "exporter.refuseProblems" -}}
{{- $problems := list }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- $problems = append $problems (printf "replicaCount: %v pods would poll the same accounts and count everything twice; write 1, and divide the accounts among pods with shards" .Values.replicaCount) }}
{{- end }}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" (include "exporter.fullname" .)) }}
{{- $problems = append $problems (printf "fullnameOverride: %q cannot be the name of a Service; write lower-case letters, digits and dashes, starting with a letter" (include "exporter.fullname" .)) }}
{{- end }}
{{- if not (regexMatch "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$" (include "exporter.name" .)) }}
{{- $problems = append $problems (printf "nameOverride: %q cannot be the value of a label; write letters, digits and dashes" (include "exporter.name" .)) }}
{{- end }}
{{- $selected := include "exporter.selectorLabels" . | fromYaml }}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels }}
{{- range $label, $_ := $labels }}
{{- if hasKey $selected $label }}
{{- $problems = append $problems (printf "%s: selectors use the label %s; choose another label" $path $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- $volumes := set (include "exporter.volumes" . | fromYaml) "state" true }}
{{- range $index, $volume := .Values.extraVolumes }}
{{- if hasKey $volumes (toString .name) }}
{{- $problems = append $problems (printf "extraVolumes[%d]: the chart already has a volume named %s; choose another name" $index .name) }}
{{- end }}
{{- end }}
{{- if not .Values.accounts }}
{{- $problems = append $problems "accounts: the list is empty; add an account, such as {name: shop, account_sid: AC…, existingSecret: {name: twilio}}" }}
{{- end }}
{{- $names := dict }}
{{- range $index, $account := .Values.accounts }}
{{- if hasKey $names .name }}
{{- $problems = append $problems (printf "accounts[%d].name: %s is also the name of accounts[%v]; choose another name" $index .name (get $names .name)) }}
{{- end }}
{{- $_ := set $names .name $index }}
{{- $given := list }}
{{- range list "account_sid" "api_key" "auth_token" "auth_token_file" "api_key_secret" "api_key_secret_file" "existingSecret" }}
{{- if get $account . }}{{ $given = append $given . }}{{ end }}
{{- end }}
{{- if not (regexMatch "^(account_sid (auth_token|auth_token_file|existingSecret)|api_key (api_key_secret|api_key_secret_file|existingSecret))$" (join " " $given)) }}
{{- $problems = append $problems (printf "accounts[%d] (%s): the credential is given as %s; write account_sid and one of auth_token, auth_token_file, existingSecret, or api_key and one of api_key_secret, api_key_secret_file, existingSecret" $index .name (join ", " $given | default "nothing")) }}
{{- end }}
{{- end }}
{{- $port := include "exporter.port" . | int }}
{{- if or (lt $port 1) (gt $port 65535) (regexMatch "(?i)^(localhost|127[.][0-9.]+|\\[[0:]*:0*1\\]):" (include "exporter.address" .)) }}
{{- $problems = append $problems (printf "config.web.listen_address: probes and Prometheus connect to the first address, but cannot reach %q; write :10587, or another address with a port from 1 to 65535 that is not a loopback address" (include "exporter.address" .)) }}
{{- end }}
{{- if and .Values.webConfig.content .Values.webConfig.existingSecret }}
{{- $problems = append $problems "webConfig: both content and existingSecret are set; keep one of them" }}
{{- end }}
{{- if and .Values.webConfig.tlsSecret (not (include "exporter.guarded" .)) }}
{{- $problems = append $problems "webConfig.tlsSecret: no web config uses this certificate; name its files in webConfig.content.tls_server_config, or in the file of webConfig.existingSecret" }}
{{- end }}
{{- if and .Values.ca.configMap .Values.ca.secret }}
{{- $problems = append $problems "ca: both configMap and secret are set; keep one of them" }}
{{- end }}
{{- if and (or .Values.ca.configMap .Values.ca.secret) (dig "api" "ca_file" "" .Values.config) }}
{{- $problems = append $problems "config.api.ca_file: ca is set as well; keep one of them" }}
{{- end }}
{{- if contains "@" .Values.proxy.https }}
{{- $problems = append $problems "proxy.https: everyone who can read the pod would see this user or password; put HTTPS_PROXY into a Secret and name that Secret in extraEnvFrom" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- $problems = append $problems "podMonitor.enabled: serviceMonitor is enabled as well, so each pod would be scraped twice; keep one of them" }}
{{- end }}
{{- $groups := list }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).groups }}
{{- $groups = append $groups .name }}
{{- end }}
{{- range .Values.prometheusRule.disabledGroups }}
{{- if not (has . $groups) }}
{{- $problems = append $problems (printf "prometheusRule.disabledGroups: there is no group %s; write %s" . (join " or " $groups)) }}
{{- end }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\n\nInvalid values:\n  %s\n" (join "\n  " $problems)) }}
{{- end }}
{{- end }}
