{{/* The settings file of the program, and what probes, ports and monitors derive from the same values. */}}

{{- define "twilio-email-exporter.folder" -}}
/etc/twilio-email-exporter
{{- end }}

{{/* File name of an account's secret. The prefix is needed: account names may start with "..", names of mounted files may not. */}}
{{- define "twilio-email-exporter.secretFile" -}}
account-{{ .name }}
{{- end }}

{{/* The settings file. It contains no secrets, only the paths of the files in which they are mounted. */}}
{{- define "twilio-email-exporter.settings" -}}
{{- $folder := include "twilio-email-exporter.folder" . }}
{{- $settings := deepCopy .Values.config }}
{{- if or .Values.ca.configMap .Values.ca.secret }}
{{- $_ := set $settings "api" (merge (dict "ca_file" (printf "%s/ca/ca.crt" $folder)) (default dict $settings.api)) }}
{{- end }}
{{- $_ := set $settings "state" (include "twilio-email-exporter.state" . | fromYaml) }}
{{- if include "twilio-email-exporter.guarded" . }}
{{- $_ := set $settings "web" (merge (dict "config_file" (printf "%s/web/web-config.yaml" $folder)) (default dict $settings.web)) }}
{{- end }}
{{- $accounts := list }}
{{- range .Values.accounts }}
{{- $account := omit . "existingSecret" "auth_token" "api_key_secret" }}
{{- if not (or .auth_token_file .api_key_secret_file) }}
{{- $key := ternary "api_key_secret_file" "auth_token_file" (hasKey . "api_key") }}
{{- $_ := set $account $key (printf "%s/credentials/%s" $folder (include "twilio-email-exporter.secretFile" .)) }}
{{- end }}
{{- $accounts = append $accounts $account }}
{{- end }}
{{- $_ := set $settings "accounts" $accounts }}
{{- toYaml $settings }}
{{- end }}

{{- define "twilio-email-exporter.state" -}}
{{- $folder := include "twilio-email-exporter.folder" . }}
{{- with .Values.state.postgresql }}
{{- if .url }}
{{- $url := .url }}
{{- if or .ca.configMap .ca.secret }}
{{- $url = printf "%s&sslrootcert=%s/postgresql-ca/ca.crt" $url $folder }}
{{- end }}
url: {{ quote $url }}
{{- if .existingSecret }}
password_file: {{ $folder }}/postgresql/password
{{- end }}
{{- else }}
path: /var/lib/twilio-email-exporter/state.sqlite
{{- end }}
{{- end }}
{{- end }}

{{/* Not empty if the values contain the secret of an account. */}}
{{- define "twilio-email-exporter.hasInlineSecrets" -}}
{{- range .Values.accounts }}
{{- if or .auth_token .api_key_secret }}true{{ end }}
{{- end }}
{{- end }}

{{/* Not empty if there is a web config. It may require TLS or a password, which the kubelet's HTTP probes do not have. */}}
{{- define "twilio-email-exporter.guarded" -}}
{{- if or .Values.webConfig.content .Values.webConfig.existingSecret }}true{{ end }}
{{- end }}

{{- define "twilio-email-exporter.scheme" -}}
{{- if or .Values.webConfig.tlsSecret (dig "tls_server_config" "" .Values.webConfig.content) }}https{{ else }}http{{ end }}
{{- end }}

{{/* The first listen address, to which probes and Prometheus connect. The setting is a list, or text separated by commas. */}}
{{- define "twilio-email-exporter.address" -}}
{{- $addresses := dig "web" "listen_address" ":10587" .Values.config }}
{{- kindIs "slice" $addresses | ternary (join "," $addresses) $addresses | splitList "," | first | trim }}
{{- end }}

{{- define "twilio-email-exporter.port" -}}
{{- include "twilio-email-exporter.address" . | regexFind "[0-9]+$" }}
{{- end }}

{{/* Port of a URL, also where the scheme implies it. */}}
{{- define "twilio-email-exporter.urlPort" -}}
{{- $written := regexFind "^[^/]*//[^/]*" . | regexFind ":[0-9]+$" | trimPrefix ":" }}
{{- default (lower . | hasPrefix "https:" | ternary 443 80) $written }}
{{- end }}

{{/* Ports of the hosts in the URL of a database, as a list. The parameter host replaces the hosts before the path. */}}
{{- define "twilio-email-exporter.databasePorts" -}}
{{- $ports := list }}
{{- range coalesce (regexFind "[?&]host=[^&]+" .) (regexFind "@[^/?]*" .) | splitList "," }}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "5432") }}
{{- end }}
{{- toYaml $ports }}
{{- end }}

{{- define "twilio-email-exporter.telemetryPath" -}}
{{- dig "web" "telemetry_path" "/metrics" .Values.config }}
{{- end }}
