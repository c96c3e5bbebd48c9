{{/* Names, labels and the image. Names of templates are global: the prefix separates them from those of other charts. */}}

{{- define "twilio-email-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
At most 52 characters: the label controller-revision-hash consists of the StatefulSet's name and 11 more, and may have 63.
Names of releases may contain dots, names of Services may not.
*/}}
{{- define "twilio-email-exporter.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "twilio-email-exporter.name" .) }}
{{- if contains (include "twilio-email-exporter.name" .) .Release.Name }}
{{- $name = .Release.Name }}
{{- end }}
{{- default $name .Values.fullnameOverride | lower | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "twilio-email-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "twilio-email-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "twilio-email-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/*
The metadata of a resource. `suffix` extends the name; `own` is the section of the values about this resource and may contain labels,
additionalLabels, annotations and a namespace. Most labels change with the version and the values, so no selector uses them.
*/}}
{{- define "twilio-email-exporter.metadata" -}}
{{- $own := default dict .own }}
{{- with .root }}
{{- $labels := merge (dict) (default dict $own.additionalLabels) (default dict $own.labels) .Values.commonLabels (include "twilio-email-exporter.selectorLabels" . | fromYaml) }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service }}
{{- $metadata := dict "labels" $labels "namespace" (default (include "twilio-email-exporter.namespace" .) $own.namespace) }}
{{- $_ := set $metadata "name" (printf "%s%s" (include "twilio-email-exporter.fullname" .) (default "" $.suffix)) }}
{{- with merge (dict) (default dict $own.annotations) .Values.commonAnnotations }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
{{- toYaml $metadata }}
{{- end }}
{{- end }}

{{- define "twilio-email-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "twilio-email-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* `global` contains the values that a parent chart shares with its subcharts. */}}
{{- define "twilio-email-exporter.image" -}}
{{- $global := default dict .Values.global }}
{{- with .Values.image }}
{{- with default .registry $global.imageRegistry }}{{ . }}/{{ end }}
{{- .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Secrets for pulling the image. Parent charts write them as names or as mappings. */}}
{{- define "twilio-email-exporter.pullSecrets" -}}
{{- $global := default dict .Values.global }}
{{- $secrets := list }}
{{- range concat (default list $global.imagePullSecrets) .Values.imagePullSecrets }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- toYaml $secrets }}
{{- end }}
