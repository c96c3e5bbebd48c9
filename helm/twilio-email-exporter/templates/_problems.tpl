{{/*
Mistakes that only the chart can see: contradictions between values, names and ports of Kubernetes objects, and what would fail
silently in the cluster. All of them are reported at once. Not checked here is what the program refuses when it starts, with a line
in the pod's log for each problem: everything in `config`, credentials and the web config.
*/}}

{{- define "twilio-email-exporter.refuseProblems" -}}
{{- $problems := concat
  (include "twilio-email-exporter.contradictions" . | fromYamlArray)
  (include "twilio-email-exporter.labelProblems" . | fromYamlArray)
  (include "twilio-email-exporter.accountProblems" . | fromYamlArray)
  (include "twilio-email-exporter.ruleProblems" . | fromYamlArray) }}
{{- if $problems }}
{{- fail (printf "\n\nInvalid values:\n  %s\n" (join "\n  " $problems)) }}
{{- end }}
{{- end }}

{{- define "twilio-email-exporter.contradictions" -}}
{{- $fullname := include "twilio-email-exporter.fullname" . }}
{{- $address := include "twilio-email-exporter.address" . }}
{{- $port := include "twilio-email-exporter.port" . | int }}
{{- $sharded := gt (int .Values.shards) 1 }}
{{- $database := .Values.state.postgresql }}
{{- $authorities := or $database.ca.configMap $database.ca.secret }}
{{- $problems := list }}
{{- range $problem, $found := dict
  (printf "replicaCount: %v pods would poll the same accounts and count everything twice; write 1, and divide the accounts among pods with shards, or let the pods share a database with state.postgresql" .Values.replicaCount)
  (and (gt (int .Values.replicaCount) 1) (not $database.url))
  "shards: with state.postgresql, one pod polls all accounts and the others stand by; write 1, or install one release for each group of accounts, with a schema of its own in state.postgresql.url"
  (and $sharded $database.url)
  "persistence.enabled: with state.postgresql, the pods have no volume; write false; the chart's README describes how to move the state of an installed release"
  (and .Values.persistence.enabled $database.url)
  "state.postgresql.url: it is empty, so no database is used; write one, such as postgresql://exporter@postgresql:5432/exporter?sslmode=verify-full"
  (and (not $database.url) (or $database.existingSecret $authorities))
  "state.postgresql.url: everyone who can read the ConfigMap would see this password; put it into a Secret and name that Secret in state.postgresql.existingSecret"
  (regexMatch "//[^@]*:[^@]*@" $database.url)
  "state.postgresql.ca: both configMap and secret are set; keep one of them"
  (and $database.ca.configMap $database.ca.secret)
  "state.postgresql.ca: the URL has an sslrootcert as well; keep one of them"
  (and $authorities (contains "sslrootcert=" $database.url))
  "state.postgresql.ca: no certificate would be verified; add sslmode=verify-full to state.postgresql.url"
  (and $authorities $database.url (not (regexMatch "[?&]sslmode=(require|verify-ca|verify-full)(&|$)" $database.url)))
  (printf "fullnameOverride: %q cannot be the name of a Service; write lower-case letters, digits and dashes, starting with a letter" $fullname)
  (not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $fullname))
  (printf "nameOverride: %q cannot be the value of a label; write letters, digits and dashes" (include "twilio-email-exporter.name" .))
  (not (regexMatch "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$" (include "twilio-email-exporter.name" .)))
  "config.state: the chart sets it; use persistence or state.postgresql"
  .Values.config.state
  "config.shard: the chart sets it; use shards"
  .Values.config.shard
  "config.web.config_file: the chart sets it; use webConfig"
  (dig "web" "config_file" "" .Values.config)
  (printf "config.web.listen_address: probes and Prometheus connect to the first address, but cannot reach %q; write :10587, or another address with a port from 1 to 65535 that is not a loopback address" $address)
  (or (lt $port 1) (gt $port 65535) (regexMatch "(?i)^(localhost|127[.][0-9.]+|\\[[0:]*:0*1\\]):" $address))
  "webConfig: both content and existingSecret are set; keep one of them"
  (and .Values.webConfig.content .Values.webConfig.existingSecret)
  "webConfig.tlsSecret: no web config uses this certificate; name its files in webConfig.content.tls_server_config, or in the file of webConfig.existingSecret"
  (and .Values.webConfig.tlsSecret (not (include "twilio-email-exporter.guarded" .)))
  "ca: both configMap and secret are set; keep one of them"
  (and .Values.ca.configMap .Values.ca.secret)
  "config.api.ca_file: ca is set as well; keep one of them"
  (and (or .Values.ca.configMap .Values.ca.secret) (dig "api" "ca_file" "" .Values.config))
  "proxy.https: everyone who can read the pod would see this user or password; put HTTPS_PROXY into a Secret and name that Secret in extraEnvFrom"
  (contains "@" .Values.proxy.https)
  "podMonitor.enabled: serviceMonitor is enabled as well, so each pod would be scraped twice; keep one of them"
  (and .Values.serviceMonitor.enabled .Values.podMonitor.enabled)
  "persistence.existingClaim: shards cannot share one volume; write shards: 1, or leave it empty"
  (and $sharded .Values.persistence.enabled .Values.persistence.existingClaim)
  "ingress.enabled: each shard has a status page of its own accounts, and every request would reach another one; write shards: 1"
  (and $sharded .Values.ingress.enabled)
  "httpRoute.enabled: each shard has a status page of its own accounts, and every request would reach another one; write shards: 1"
  (and $sharded .Values.httpRoute.enabled)
  "ingress.hosts: the list is empty; write a host, such as [{host: mail.example.com}]"
  (and .Values.ingress.enabled (not .Values.ingress.hosts))
  "httpRoute.parentRefs: the list is empty; name a Gateway, such as [{name: gateway, namespace: networks}]"
  (and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs)) }}
{{- if $found }}
{{- $problems = append $problems $problem }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}

{{- define "twilio-email-exporter.labelProblems" -}}
{{- $problems := list }}
{{- $selected := include "twilio-email-exporter.selectorLabels" . | fromYaml }}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels }}
{{- range $label, $_ := $labels }}
{{- if hasKey $selected $label }}
{{- $problems = append $problems (printf "%s: selectors use the label %s; choose another label" $path $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- $volumes := set (include "twilio-email-exporter.volumes" . | fromYaml) "state" true }}
{{- range $index, $volume := .Values.extraVolumes }}
{{- if hasKey $volumes (toString .name) }}
{{- $problems = append $problems (printf "extraVolumes[%d]: the chart already has a volume named %s; choose another name" $index .name) }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}

{{- define "twilio-email-exporter.accountProblems" -}}
{{- $problems := list }}
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
{{- toYaml $problems }}
{{- end }}

{{- define "twilio-email-exporter.ruleProblems" -}}
{{- $problems := list }}
{{- with .Values.prometheusRule }}
{{- if .enabled }}
{{- $groups := (include "twilio-email-exporter.file" (list $ "files/alerts.yaml" "groups") | fromYaml).groups }}
{{- $names := list }}
{{- $alerts := list }}
{{- range $groups }}
{{- $names = append $names .name }}
{{- range .rules }}
{{- with .alert }}{{ $alerts = append $alerts . }}{{ end }}
{{- end }}
{{- end }}
{{- range $path, $given := dict "disabledGroups" .disabledGroups "disabledAlerts" .disabledAlerts "alerts" (keys .alerts) }}
{{- $known := eq $path "disabledGroups" | ternary $names $alerts }}
{{- range $given }}
{{- if not (has . $known) }}
{{- $problems = append $problems (printf "prometheusRule.%s: the rules have no %s; write %s" $path . (join " or " $known)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}
