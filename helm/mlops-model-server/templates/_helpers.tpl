{{- define "server.name" -}}
{{- $short := .Values.product | lower | replace "_" "-" -}}
{{- printf "%s-%s" .Release.Name $short | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "server.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "server.labels" -}}
{{ include "server.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
mlops/product: {{ .Values.product | quote }}
{{- end -}}

{{- define "server.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "server.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "server.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- with .Values.image.digest }}{{ $.Values.image.repository }}@{{ . }}{{ else }}{{ $.Values.image.repository }}:{{ $tag }}{{ end -}}
{{- end -}}
