{{- define "runners.selector" -}}
app.kubernetes.io/name: runner
{{- end -}}

{{- define "runners.labels" -}}
{{ include "runners.selector" . }}
app.kubernetes.io/component: worker
app.kubernetes.io/part-of: ci
{{- end -}}
