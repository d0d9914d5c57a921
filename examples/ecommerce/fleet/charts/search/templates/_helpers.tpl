{{- define "search.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
{{- end -}}

{{- define "search.labels" -}}
{{ include "search.selector" . }}
app.kubernetes.io/component: index
app.kubernetes.io/part-of: shop
{{- end -}}
