{{/*
Every template starts with this, and all share the values, so the first one does the work: it restores the defaults of values that
were left empty, which Helm removes together with their defaults, and refuses mistakes. files/defaults.yaml contains the default of
each value in the README's table, by its path.
*/}}
{{- define "twilio-email-exporter.prepare" -}}
{{- if not .Values.prepared }}
{{- $_ := set .Values "prepared" true }}
{{- $defaults := include "twilio-email-exporter.file" (list $ "files/defaults.yaml" "image.repository") | fromYaml }}
{{- range $path, $default := $defaults }}
{{- $names := splitList "." $path }}
{{- $section := $.Values }}
{{- range initial $names }}
{{- if kindIs "invalid" (index $section .) }}
{{- $_ := set $section . dict }}
{{- end }}
{{- $section = index $section . }}
{{- end }}
{{- if kindIs "invalid" (index $section (last $names)) }}
{{- $_ := set $section (last $names) $default }}
{{- end }}
{{- end }}
{{- range $name, $section := .Values.config }}
{{- range $key, $value := $section }}
{{- if kindIs "invalid" $value }}
{{- $_ := unset $section $key }}
{{- end }}
{{- end }}
{{- if not $section }}
{{- $_ := unset $.Values.config $name }}
{{- end }}
{{- end }}
{{- include "twilio-email-exporter.refuseProblems" . }}
{{- end }}
{{- end }}

{{/*
The text of a file of the chart: (list root path key). Some archives and controllers drop the file or its content; then the file
does not contain its `key`.
*/}}
{{- define "twilio-email-exporter.file" -}}
{{- $path := index . 1 }}
{{- $text := (first .).Files.Get $path }}
{{- $content := dict }}
{{- if hasSuffix ".json" $path }}
{{- $content = fromJson $text }}
{{- else }}
{{- $content = fromYaml $text }}
{{- end }}
{{- if not (get $content (last .)) }}
{{- fail (printf "\n\nThe chart's %s is missing, empty or damaged: install the packaged chart, or a complete checkout.\n" $path) }}
{{- end }}
{{- $text }}
{{- end }}
