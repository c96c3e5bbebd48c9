{{/* Volumes that are mounted read-only below /etc/twilio-email-exporter, by name of the volume and its folder. */}}

{{- define "exporter.volumes" -}}
config:
  configMap:
    name: {{ include "exporter.fullname" . }}
{{- $sources := list }}
{{- range .Values.accounts }}
{{- $file := include "exporter.secretFile" . }}
{{- if .existingSecret }}
{{- $key := default (ternary "api-key-secret" "auth-token" (hasKey . "api_key")) .existingSecret.key }}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret.name "items" (list (dict "key" $key "path" $file)))) }}
{{- else if or .auth_token .api_key_secret }}
{{- $sources = append $sources (dict "secret" (dict "name" (include "exporter.fullname" $) "items" (list (dict "key" $file "path" $file)))) }}
{{- end }}
{{- end }}
{{- with $sources }}
credentials:
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml . | nindent 6 }}
{{- end }}
{{- with .Values.webConfig }}
{{- if include "exporter.guarded" $ }}
web:
  secret:
    defaultMode: 0440
    secretName: {{ default (printf "%s-web" (include "exporter.fullname" $)) .existingSecret | quote }}
    items:
      - key: {{ ternary .existingSecretKey "web-config.yaml" (ne .existingSecret "") | quote }}
        path: web-config.yaml
{{- end }}
{{- with .tlsSecret }}
tls:
  secret:
    defaultMode: 0440
    secretName: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.ca }}
{{- if .configMap }}
ca:
  configMap:
    name: {{ .configMap | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- else if .secret }}
ca:
  secret:
    defaultMode: 0440
    secretName: {{ .secret | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}
