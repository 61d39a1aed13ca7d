{{/* The name of the installation: every object is called after it. */}}
{{- define "telemetry-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full := default $release .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $full) -}}
{{- fail (printf "no installation can be called %q, as its Services could not: set fullnameOverride to lower-case letters, digits and `-`, beginning with a letter" $full) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{- define "telemetry-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Managed Prometheuses admit the operator by the name: no override changes it. */}}
{{- define "telemetry-operator.selectorLabels" -}}
app.kubernetes.io/name: telemetry-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The chart's labels go before those of one object, and these before commonLabels; takes [root, labels of the object]. */}}
{{- define "telemetry-operator.labels" -}}
{{- $root := index . 0 -}}
{{- $chart := dict
    "app.kubernetes.io/version" $root.Chart.AppVersion
    "app.kubernetes.io/managed-by" $root.Release.Service
    "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $selector := include "telemetry-operator.selectorLabels" $root | fromYaml -}}
{{- merge $chart $selector (index . 1) $root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* The operator makes what a sidecar is configured by: with one of its own it could not start after that was lost. */}}
{{- define "telemetry-operator.podLabels" -}}
{{- $labels := include "telemetry-operator.labels" (list . .Values.podLabels) | fromYaml -}}
{{- merge (dict "telemetry-operator.dev/inject" "false") $labels | toYaml -}}
{{- end -}}

{{/* No Service and no policy for the operator's pods selects the pod of `helm test`. */}}
{{- define "telemetry-operator.testLabels" -}}
app.kubernetes.io/name: telemetry-operator-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Name, namespace and labels of a namespaced object; takes [root, name], or [root, name, labels of the object]. */}}
{{- define "telemetry-operator.metadata" -}}
{{ include "telemetry-operator.clusterMetadata" . }}
namespace: {{ include "telemetry-operator.namespace" (index . 0) }}
{{- end -}}

{{/* The same of an object that is in no namespace. */}}
{{- define "telemetry-operator.clusterMetadata" -}}
name: {{ index . 1 }}
labels:
  {{- include "telemetry-operator.labels" (list (index . 0) (index (append . dict) 2)) | nindent 2 }}
{{- end -}}

{{/* An image: {repository, tag, digest}. */}}
{{- define "telemetry-operator.reference" -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository .tag -}}
{{- end -}}
{{- end -}}

{{- define "telemetry-operator.image" -}}
{{- with .Values.image -}}
{{- include "telemetry-operator.reference" (dict "repository" .repository "tag" (default $.Chart.AppVersion .tag) "digest" .digest) -}}
{{- end -}}
{{- end -}}

{{- define "telemetry-operator.account" -}}
{{- $own := ternary (include "telemetry-operator.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{/* Policy, Webhook or None. The operator is told the same, so that both change together, at an upgrade of the release. */}}
{{- define "telemetry-operator.injection" -}}
{{- if ne .Values.injection.mode "Auto" -}}
{{- .Values.injection.mode -}}
{{- else if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
Policy
{{- else -}}
Webhook
{{- end -}}
{{- end -}}

{{/* A generated file with this installation's name and image in it; takes [root, file]. */}}
{{- define "telemetry-operator.file" -}}
{{- $root := index . 0 -}}
{{- $root.Files.Get (printf "files/%s" (index . 1))
    | replace "installation-name" (include "telemetry-operator.fullname" $root)
    | replace "collector-image" (include "telemetry-operator.reference" $root.Values.operands.collector.image) -}}
{{- end -}}

{{/* What the operator is told by its environment; empty values are left out. */}}
{{- define "telemetry-operator.environment" -}}
INSTALLATION: {{ include "telemetry-operator.fullname" . }}
INJECTION: {{ include "telemetry-operator.injection" . | lower | quote }}
LEADER_ELECTION: "true"
LEASE_DURATION: {{ .Values.leaderElection.leaseDuration | quote }}
{{- range $operand, $values := .Values.operands }}
{{ upper $operand }}_IMAGE: {{ include "telemetry-operator.reference" $values.image | quote }}
{{- end }}
LOG_FILTER: {{ .Values.log.filter | quote }}
LOG_FORMAT: {{ .Values.log.format | quote }}
{{- with .Values.watchNamespaces }}
WATCH_NAMESPACES: {{ join "," . | quote }}
{{- end }}
{{- with .Values.prometheus.url }}
PROMETHEUS_URL: {{ . | quote }}
{{- end }}
{{- with .Values.alertmanagerURLs }}
ALERTMANAGER_URL: {{ join "," . | quote }}
{{- end }}
{{- with .Values.grafanaURL }}
GRAFANA_URL: {{ . | quote }}
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- end -}}
