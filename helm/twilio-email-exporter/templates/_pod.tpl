{{/* What the pods of the exporter and of `helm test` have in common, and the volumes of the exporter. */}}

{{- define "twilio-email-exporter.podSettings" -}}
serviceAccountName: {{ include "twilio-email-exporter.serviceAccountName" . | quote }}
automountServiceAccountToken: false
# Not needed, and the variables of a Service named "exporter" would look like settings.
enableServiceLinks: false
{{- $settings := pick .Values "affinity" "dnsConfig" "hostAliases" "nodeSelector" "priorityClassName" "tolerations" "topologySpreadConstraints" }}
{{- $_ := set $settings "imagePullSecrets" (include "twilio-email-exporter.pullSecrets" . | fromYamlArray) }}
{{- $_ := set $settings "securityContext" .Values.podSecurityContext }}
{{- range $name, $setting := $settings }}
{{- with $setting }}
{{ dict $name . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- define "twilio-email-exporter.containerSettings" -}}
image: {{ include "twilio-email-exporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A probe: HTTP, or with a web config the program's own health check, which needs no certificate and no password. */}}
{{- define "twilio-email-exporter.probe" -}}
{{- if include "twilio-email-exporter.guarded" .root }}
exec:
  command: {{ concat (list "/opt/venv/bin/twilio-email-exporter" "healthcheck") .flags | toJson }}
{{- else }}
httpGet:
  path: {{ .path }}
  port: metrics
{{- end }}
{{- with .timing }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Volumes that are mounted read-only below /etc/twilio-email-exporter, by name of the volume and its folder. */}}
{{- define "twilio-email-exporter.volumes" -}}
config:
  configMap:
    name: {{ include "twilio-email-exporter.fullname" . }}
{{- $sources := list }}
{{- range .Values.accounts }}
{{- $file := include "twilio-email-exporter.secretFile" . }}
{{- if .existingSecret }}
{{- $key := default (ternary "api-key-secret" "auth-token" (hasKey . "api_key")) .existingSecret.key }}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret.name "items" (list (dict "key" $key "path" $file)))) }}
{{- else if or .auth_token .api_key_secret }}
{{- $sources = append $sources (dict "secret" (dict "name" (include "twilio-email-exporter.fullname" $) "items" (list (dict "key" $file "path" $file)))) }}
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
{{- if include "twilio-email-exporter.guarded" $ }}
web:
  secret:
    defaultMode: 0440
    secretName: {{ default (printf "%s-web" (include "twilio-email-exporter.fullname" $)) .existingSecret | quote }}
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
