{{/* What the program is told: its settings file, and what follows from the values for ports, probes and monitors. */}}

{{- define "exporter.folder" -}}
/etc/twilio-email-exporter
{{- end }}

{{/* A name of an account may begin with "..", the name of a mounted file may not. */}}
{{- define "exporter.secretFile" -}}
account-{{ .name }}
{{- end }}

{{/* The settings file. Secrets stay out of it: it names the files in which they are mounted. */}}
{{- define "exporter.settings" -}}
{{- $folder := include "exporter.folder" . }}
{{- $settings := deepCopy .Values.config }}
{{- if or .Values.ca.configMap .Values.ca.secret }}
{{- $_ := set $settings "api" (merge (dict "ca_file" (printf "%s/ca/ca.crt" $folder)) (default dict $settings.api)) }}
{{- end }}
{{- $_ := set $settings "state" (dict "path" "/var/lib/twilio-email-exporter/state.sqlite") }}
{{- if include "exporter.guarded" . }}
{{- $_ := set $settings "web" (merge (dict "config_file" (printf "%s/web/web-config.yaml" $folder)) (default dict $settings.web)) }}
{{- end }}
{{- $accounts := list }}
{{- range .Values.accounts }}
{{- $account := omit . "existingSecret" "auth_token" "api_key_secret" }}
{{- if not (or .auth_token_file .api_key_secret_file) }}
{{- $key := ternary "api_key_secret_file" "auth_token_file" (hasKey . "api_key") }}
{{- $_ := set $account $key (printf "%s/credentials/%s" $folder (include "exporter.secretFile" .)) }}
{{- end }}
{{- $accounts = append $accounts $account }}
{{- end }}
{{- $_ := set $settings "accounts" $accounts }}
{{- toYaml $settings }}
{{- end }}

{{/* Accounts whose secret is among the values. */}}
{{- define "exporter.hasInlineSecrets" -}}
{{- range .Values.accounts }}
{{- if or .auth_token .api_key_secret }}true{{ end }}
{{- end }}
{{- end }}

{{/* Not empty: there is a web config, and with it TLS or users perhaps, which the kubelet's own requests would not get past. */}}
{{- define "exporter.guarded" -}}
{{- if or .Values.webConfig.content .Values.webConfig.existingSecret }}true{{ end }}
{{- end }}

{{- define "exporter.scheme" -}}
{{- if or .Values.webConfig.tlsSecret (dig "tls_server_config" "" .Values.webConfig.content) }}https{{ else }}http{{ end }}
{{- end }}

{{/* Where it listens: a list or a text with commas, as a text with commas. */}}
{{- define "exporter.addresses" -}}
{{- $addresses := dig "web" "listen_address" ":10587" .Values.config }}
{{- kindIs "slice" $addresses | ternary (join "," $addresses) $addresses }}
{{- end }}

{{/* The first of them: where probes and Prometheus ask. */}}
{{- define "exporter.address" -}}
{{- splitList "," (include "exporter.addresses" .) | first | trim }}
{{- end }}

{{- define "exporter.port" -}}
{{- include "exporter.address" . | regexFind "[0-9]+$" }}
{{- end }}

{{/* Of a URL. */}}
{{- define "exporter.urlPort" -}}
{{- $written := regexFind "^[^/]*//[^/]*" . | regexFind ":[0-9]+$" | trimPrefix ":" }}
{{- default (lower . | hasPrefix "https:" | ternary 443 80) $written }}
{{- end }}

{{- define "exporter.telemetryPath" -}}
{{- dig "web" "telemetry_path" "/metrics" .Values.config }}
{{- end }}

{{/* How a probe asks: over HTTP, or through the program, which knows how to get past its own TLS and users. */}}
{{- define "exporter.probe" -}}
{{- if include "exporter.guarded" .root }}
exec:
  command: {{ concat (list "/opt/venv/bin/twilio-email-exporter" "healthcheck") .flags | toJson }}
{{- else }}
httpGet:
  path: {{ .path }}
  port: metrics
{{- end }}
{{- end }}

{{/* What ServiceMonitor and PodMonitor have in common: how a pod is scraped. */}}
{{- define "exporter.endpoint" -}}
- port: metrics
  path: {{ include "exporter.telemetryPath" .root }}
  scheme: {{ default (include "exporter.scheme" .root) .monitor.scheme }}
  {{- with .monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .monitor.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- range $key := list "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
  {{- with get $.monitor $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
