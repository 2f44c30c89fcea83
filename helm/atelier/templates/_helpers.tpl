{{/*
Everything that several templates need. Most helpers take what `atelier.role` makes:
  {root: $, name: "codec", values: roleDefaults under roles.codec}
*/}}

{{- define "atelier.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects every pod of the release. */}}
{{- define "atelier.selectorLabels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of every object. */}}
{{- define "atelier.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "atelier.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: atelier
{{- end -}}

{{/*
The port of a role, and under which name the gateway tells of its health: the gRPC service that it owns. Raw tensors
are every role's, and one that serves nothing else has a name of its own.
*/}}
{{- define "atelier.port" -}}
{{- get (dict "gateway" "50051" "codec" "50052" "text" "50053" "image" "50054" "audio" "50055" "tensor" "50056" "metrics" "9090") . -}}
{{- end -}}
{{- define "atelier.service" -}}
{{- get (dict
  "codec" "atelier.codec.v1.CodecService"
  "text" "atelier.text.v1.TextService"
  "image" "atelier.image.v1.ImageService"
  "audio" "atelier.audio.v1.AudioService"
  "tensor" "inference/tensor") . -}}
{{- end -}}

{{/* The roles that there are, in alphabetical order, as a YAML list of names below `names`. */}}
{{- define "atelier.enabledRoles" -}}
{{- $names := list -}}
{{- range $name := keys .Values.roles | sortAlpha -}}
{{- $role := fromYaml (include "atelier.roleValues" (list $ $name)) -}}
{{- if $role.enabled }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{- toYaml (dict "names" $names) -}}
{{- end -}}

{{/* roleDefaults under the role's own values. */}}
{{- define "atelier.roleValues" -}}
{{- $root := index . 0 -}}
{{- $own := get $root.Values.roles (index . 1) | default dict -}}
{{- toYaml (mergeOverwrite (deepCopy $root.Values.roleDefaults) (deepCopy $own)) -}}
{{- end -}}

{{- define "atelier.roleName" -}}
{{ include "atelier.fullname" .root }}-{{ .name }}
{{- end -}}
{{- define "atelier.roleSelectorLabels" -}}
{{ include "atelier.selectorLabels" .root }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}
{{- define "atelier.roleLabels" -}}
{{ include "atelier.labels" .root }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{/* The image of a role: that with CUDA where it runs there. */}}
{{- define "atelier.image" -}}
{{- $cuda := eq (.values.device | default "cpu") "cuda" -}}
{{- $image := ternary .root.Values.cudaImage .root.Values.image $cuda -}}
{{- $tag := $image.tag | default (printf "%s%s" .root.Chart.AppVersion (ternary "-cuda" "" $cuda)) -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $tag }}{{ end -}}
{{- end -}}
{{- define "atelier.pullPolicy" -}}
{{- $cuda := eq (.values.device | default "cpu") "cuda" -}}
{{- (ternary .root.Values.cudaImage .root.Values.image $cuda).pullPolicy -}}
{{- end -}}

{{/*
Seconds from SIGTERM to SIGKILL: the two stages of the process's shutdown, and what it does after them at
most (1 s for the last answers, 10 s to send the last traces, 1 s for its threads, and some to spare, as for the
runs that are still in progress).
*/}}
{{- define "atelier.graceSeconds" -}}
{{- add .Values.shutdown.notReadySeconds .Values.shutdown.drainSeconds 15 -}}
{{- end -}}

{{/* A value of the configuration as TOML. Helm has whole numbers as floats too. */}}
{{- define "atelier.toml" -}}
{{- if kindIs "string" . }}{{ toJson . }}{{ else if kindIs "bool" . }}{{ . }}{{ else if eq (float64 .) (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The configuration file of a role. */}}
{{- define "atelier.config" -}}
{{- $config := .values.config | default dict -}}
{{- range $key, $value := omit $config "server" "telemetry" "engine" -}}
{{ $key }} = {{ include "atelier.toml" $value }}
{{ end -}}
{{- range $table := list "engine" "server" "telemetry" -}}
{{- $fields := get $config $table | default dict -}}
{{- if $fields }}
[{{ $table }}]
{{ range $key, $value := $fields -}}
{{ $key }} = {{ include "atelier.toml" $value }}
{{ end -}}
{{- end -}}
{{- end }}
{{- if and (eq .name "gateway") .root.Values.tls.secretName }}
[server.tls]
certificate = "/etc/atelier-tls/tls.crt"
key = "/etc/atelier-tls/tls.key"
{{- if .root.Values.tls.clientCertificates }}
client_ca = "/etc/atelier-tls/ca.crt"
{{- end }}
{{- end }}
{{- if and (eq .name "gateway") .root.Values.access.secretName }}
[access]
keys = "/etc/atelier-access/keys.toml"
{{- end }}
[server.shutdown]
drain = "{{ int64 .root.Values.shutdown.drainSeconds }}s"
not_ready_wait = "{{ int64 .root.Values.shutdown.notReadySeconds }}s"
{{- end -}}

{{/* Where the models of a role come from: its own say, or that of all. */}}
{{- define "atelier.models" -}}
{{- toYaml (.values.models | default .root.Values.models) -}}
{{- end -}}

{{/* Security of a container: of ours, and of those that help. */}}
{{- define "atelier.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
{{- define "atelier.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.runAsUser }}
runAsGroup: {{ .Values.podSecurity.runAsGroup }}
{{- with .Values.podSecurity.fsGroup }}
fsGroup: {{ . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What a role's autoscaler goes by. The gateway has no queue. */}}
{{- define "atelier.scaledBy" -}}
{{- if eq .name "gateway" }}cpu{{ else }}{{ .values.autoscaling.by }}{{ end }}
{{- end -}}

{{/* What no schema can see, refused in one line that names the value. */}}
{{- define "atelier.check" -}}
{{- $path := printf "roles.%s" .name -}}
{{- $values := .values -}}
{{- if and $values.autoscaling.enabled (not (dig "requests" "cpu" "" ($values.resources | default dict))) -}}
{{- fail (printf "%s.autoscaling.enabled: needs %s.resources.requests.cpu, of which the target is a share" $path $path) -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (eq (include "atelier.scaledBy" .) "queue") (not (and .root.Values.metrics.enabled .root.Values.metrics.prometheus)) -}}
{{- fail (printf "%s.autoscaling.by: queue needs metrics.enabled and metrics.prometheus, the address of a Prometheus that watches the fleet" $path) -}}
{{- end -}}
{{- if gt (int64 $values.autoscaling.minReplicas) (int64 $values.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas: is %d, must be at most maxReplicas, %d" $path (int64 $values.autoscaling.minReplicas) (int64 $values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and (has (toString $values.rollout.maxSurge) (list "0" "0%")) (has (toString $values.rollout.maxUnavailable) (list "0" "0%")) -}}
{{- fail (printf "%s.rollout.maxUnavailable: is 0, as maxSurge is; one of them must let pods be replaced" $path) -}}
{{- end -}}
{{- end -}}

{{/* Every role, checked, for `range (include "atelier.roles" $ | fromYamlArray)`; none of them holds `root`. */}}
{{- define "atelier.roles" -}}
{{- $roles := list -}}
{{- range $name := (include "atelier.enabledRoles" . | fromYaml).names -}}
{{- $values := fromYaml (include "atelier.roleValues" (list $ $name)) -}}
{{- include "atelier.check" (dict "root" $ "name" $name "values" $values) -}}
{{- $roles = append $roles (dict "name" $name "values" $values) -}}
{{- end -}}
{{- if lt (len $roles) 2 -}}
{{- fail "roles: the gateway has no role to forward to; enable one of codec, text, image, audio and tensor" -}}
{{- end -}}
{{- toYaml $roles -}}
{{- end -}}
