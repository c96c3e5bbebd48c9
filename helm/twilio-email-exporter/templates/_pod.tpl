{{/* The pods of the exporter, and what they have in common with that of `helm test`. */}}

{{- define "twilio-email-exporter.podSettings" -}}
serviceAccountName: {{ include "twilio-email-exporter.serviceAccountName" . | quote }}
automountServiceAccountToken: false
# Not needed, and the variables of a Service named "exporter" would look like settings.
enableServiceLinks: false
{{- $settings := pick .Values "affinity" "dnsConfig" "hostAliases" "nodeSelector" "priorityClassName" "tolerations" "topologySpreadConstraints" }}
{{- $_ := set $settings "imagePullSecrets" (include "twilio-email-exporter.pullSecrets" . | fromYamlArray) }}
{{- $_ := set $settings "securityContext" .Values.podSecurityContext }}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.affinity) }}
{{- $_ := set $settings "affinity" (include "twilio-email-exporter.apart" . | fromYaml) }}
{{- end }}
{{- range $name, $setting := $settings }}
{{- with $setting }}
{{ dict $name . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{/* Preferred, not required: on a cluster with a single node, all replicas still start. */}}
{{- define "twilio-email-exporter.apart" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    {{- range $key, $weight := dict "kubernetes.io/hostname" 100 "topology.kubernetes.io/zone" 50 }}
    - weight: {{ $weight }}
      podAffinityTerm:
        topologyKey: {{ $key }}
        labelSelector:
          matchLabels:
            {{- include "twilio-email-exporter.selectorLabels" $ | nindent 12 }}
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
{{- with .Values.state.postgresql.existingSecret }}
postgresql:
  secret:
    defaultMode: 0440
    secretName: {{ . | quote }}
    items: [{key: {{ $.Values.state.postgresql.existingSecretKey | quote }}, path: password}]
{{- end }}
{{- range $name, $ca := dict "ca" .Values.ca "postgresql-ca" .Values.state.postgresql.ca }}
{{- if .configMap }}
{{ $name }}:
  configMap:
    name: {{ .configMap | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- else if .secret }}
{{ $name }}:
  secret:
    defaultMode: 0440
    secretName: {{ .secret | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{/* The template of the exporter's pods. */}}
{{- define "twilio-email-exporter.pod" -}}
metadata:
  labels:
    {{- merge (include "twilio-email-exporter.selectorLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml | nindent 4 }}
  annotations:
    # The pods restart when the settings change, or when TLS is switched on or off. Changed secrets need no restart.
    checksum/config: {{ printf "%s\n%s" (include "twilio-email-exporter.scheme" .) (include "twilio-email-exporter.settings" .) | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "twilio-email-exporter.podSettings" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: exporter
      {{- include "twilio-email-exporter.containerSettings" . | nindent 6 }}
      {{- with .Values.extraArgs }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        - name: EXPORTER_CONFIG_FILE
          value: {{ include "twilio-email-exporter.folder" . }}/config/config.yaml
        {{- if not .Values.state.postgresql.url }}
        - name: POD_INDEX
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
        - name: EXPORTER_SHARD
          value: $(POD_INDEX)/{{ .Values.shards }}
        {{- end }}
        {{- with .Values.proxy.https }}
        - name: HTTPS_PROXY
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.proxy.noProxy }}
        - name: NO_PROXY
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: {{ include "twilio-email-exporter.port" . }}
          protocol: TCP
      {{- with .Values.startupProbe }}
      startupProbe:
        {{- include "twilio-email-exporter.probe" (dict "root" $ "path" "/-/healthy" "flags" list "timing" .) | trim | nindent 8 }}
      {{- end }}
      livenessProbe:
        {{- include "twilio-email-exporter.probe" (dict "root" . "path" "/-/healthy" "flags" list "timing" .Values.livenessProbe) | trim | nindent 8 }}
      readinessProbe:
        {{- include "twilio-email-exporter.probe" (dict "root" . "path" "/-/ready" "flags" (list "--ready") "timing" .Values.readinessProbe) | trim | nindent 8 }}
      # Always whole folders: a file mounted by subPath is not updated when its Secret changes.
      volumeMounts:
        {{- if not .Values.state.postgresql.url }}
        - name: state
          mountPath: /var/lib/twilio-email-exporter
        {{- end }}
        {{- range $name, $_ := include "twilio-email-exporter.volumes" . | fromYaml }}
        - name: {{ $name }}
          mountPath: {{ include "twilio-email-exporter.folder" $ }}/{{ $name }}
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- range $name, $volume := include "twilio-email-exporter.volumes" . | fromYaml }}
    - name: {{ $name }}
      {{- toYaml $volume | nindent 6 }}
    {{- end }}
    {{- with .Values.persistence }}
    {{- if and .enabled .existingClaim }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ .existingClaim | quote }}
    {{- else if not (or .enabled $.Values.state.postgresql.url) }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
