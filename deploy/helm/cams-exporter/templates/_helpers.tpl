{{- /* Names, labels, probes, and checks that the schema cannot make.  Do not edit: see ../values.yaml. */ -}}
{{- define "cams-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods.  The name is the Prometheus job; the alert CamsExporterDown finds its targets by it. */}}
{{- define "cams-exporter.selectorLabels" -}}
app.kubernetes.io/name: cams-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cams-exporter.labels" -}}
{{ include "cams-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "cams-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "cams-exporter.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "cams-exporter.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cams-exporter.configSecret" -}}
{{- .Values.existingSecret | default (printf "%s-config" (include "cams-exporter.fullname" .)) -}}
{{- end -}}

{{- define "cams-exporter.webSecret" -}}
{{- if .Values.web.existingSecret -}}
{{- .Values.web.existingSecret -}}
{{- else if .Values.web.config -}}
{{- printf "%s-web" (include "cams-exporter.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* none, server or mutual: the TLS that clients of the exporter need. */}}
{{- define "cams-exporter.tls" -}}
{{- $server := .Values.web.config.tls_server_config -}}
{{- if .Values.web.tls -}}
{{- .Values.web.tls -}}
{{- else if not $server -}}
none
{{- else if eq ($server.client_auth_type | default "") "RequireAndVerifyClientCert" -}}
mutual
{{- else -}}
server
{{- end -}}
{{- end -}}

{{/* "true" if the replicas are a cluster, else empty. */}}
{{- define "cams-exporter.isCluster" -}}
{{- if or .Values.cluster.enabled .Values.config.cluster -}}
true
{{- end -}}
{{- end -}}

{{/* A probe of one endpoint.  The kubelet has no client certificate, so with mutual TLS the pod probes itself. */}}
{{- define "cams-exporter.probe" -}}
{{- $tls := include "cams-exporter.tls" .root -}}
{{- if eq $tls "mutual" -}}
exec:
  command: [python3, -m, exporter.cli.healthcheck, "https://127.0.0.1:10106{{ .path }}"]
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTP" "HTTPS" (eq $tls "none") }}
{{- end -}}
{{- end -}}

{{/* Checks that the schema cannot make: combinations that would install but not work. */}}
{{- define "cams-exporter.validate" -}}
{{- $sources := 0 -}}
{{- if .Values.config }}{{ $sources = add $sources 1 }}{{ end -}}
{{- if .Values.existingSecret }}{{ $sources = add $sources 1 }}{{ end -}}
{{- if .Values.demo }}{{ $sources = add $sources 1 }}{{ end -}}
{{- if eq (int $sources) 0 -}}
{{- fail "\n\ncams-exporter: no configuration given.  Set one of\n  config          the exporter's configuration, see config.example.yml\n  existingSecret  the name of a Secret that holds it as config.yml\n  demo: true      simulated numbers, no credentials needed\n" -}}
{{- else if gt (int $sources) 1 -}}
{{- fail "\n\ncams-exporter: config, existingSecret and demo exclude each other; set one of them\n" -}}
{{- end -}}
{{- if and .Values.web.config .Values.web.existingSecret -}}
{{- fail "\n\ncams-exporter: web.config and web.existingSecret exclude each other\n" -}}
{{- end -}}
{{- if and .Values.web.existingSecret (not .Values.web.tls) -}}
{{- fail "\n\ncams-exporter: set web.tls to the TLS that web.existingSecret configures (none, server or mutual); the probes depend on it\n" -}}
{{- end -}}
{{- if and .Values.web.tls (not (include "cams-exporter.webSecret" .)) (ne .Values.web.tls "none") -}}
{{- fail "\n\ncams-exporter: web.tls needs web.config or web.existingSecret\n" -}}
{{- end -}}
{{- if ne (empty .Values.rrsa.roleArn) (empty .Values.rrsa.oidcProviderArn) -}}
{{- fail "\n\ncams-exporter: rrsa.roleArn and rrsa.oidcProviderArn need each other\n" -}}
{{- end -}}
{{- if and .Values.rrsa.roleName .Values.rrsa.roleArn -}}
{{- fail "\n\ncams-exporter: rrsa.roleName (with the webhook) and rrsa.roleArn (without) exclude each other\n" -}}
{{- end -}}
{{- if and .Values.rrsa.roleName (not .Values.serviceAccount.create) -}}
{{- fail "\n\ncams-exporter: rrsa.roleName annotates the ServiceAccount, so serviceAccount.create must be true\n" -}}
{{- end -}}
{{- if and .Values.storage.enabled (gt (int .Values.replicaCount) 1) -}}
{{- fail "\n\ncams-exporter: storage belongs to one replica; set replicaCount: 1 or storage.enabled: false\n" -}}
{{- end -}}
{{- if and .Values.storage.enabled (include "cams-exporter.isCluster" .) -}}
{{- fail "\n\ncams-exporter: storage belongs to one pod, and a rollout of a cluster runs two; set storage.enabled: false\n" -}}
{{- end -}}
{{- include "cams-exporter.validateCluster" . -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "\n\ncams-exporter: ingress.enabled needs a name in ingress.hosts\n" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "\n\ncams-exporter: httpRoute.enabled needs a Gateway in httpRoute.parentRefs\n" -}}
{{- end -}}
{{- $volumes := list -}}
{{- range .Values.extraVolumes }}{{ $volumes = append $volumes .name }}{{ end -}}
{{- range .Values.extraVolumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "\n\ncams-exporter: extraVolumeMounts names %s, which is not in extraVolumes\n" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The same for a cluster.  The network policy must open the port of the store, or those of its Sentinels. */}}
{{- define "cams-exporter.validateCluster" -}}
{{- if and .Values.cluster.enabled (not .Values.existingSecret) (not .Values.config.cluster) -}}
{{- fail "\n\ncams-exporter: cluster.enabled needs the section cluster in config, or existingSecret with it\n" -}}
{{- end -}}
{{- with .Values.config.cluster -}}
{{- $least := add1 $.Values.replicaCount -}}
{{- if lt (int .replicas) (int $least) -}}
{{- fail (printf "\n\ncams-exporter: config.cluster.replicas must be %d or more: replicaCount, and one that a rollout adds\n" $least) -}}
{{- end -}}
{{- $isClosed := and $.Values.networkPolicy.enabled (not $.Values.networkPolicy.extraEgress) -}}
{{- $open := list "443" -}}
{{- range $.Values.cluster.ports }}{{ $open = append $open (toString (int .)) }}{{ end -}}
{{- $ports := list -}}
{{- if hasPrefix "redis" (.url | default "") -}}
{{- $ports = append $ports (regexReplaceAll "^[a-z]+://[^/]*?(?::([0-9]+))?(?:/.*)?$" .url "${1}" | default "6379") -}}
{{- end -}}
{{- range .sentinels -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) | default "26379") -}}
{{- end -}}
{{- range $ports -}}
{{- if and $isClosed (not (has . $open)) -}}
{{- fail (printf "\n\ncams-exporter: the network policy does not open port %s of config.cluster; add it to cluster.ports\n" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
