{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Release.Name }}
{{- end -}}

{{- define "service.labels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/component: {{ .Values.component }}
app.kubernetes.io/part-of: {{ .Values.partOf }}
{{- end -}}

{{- define "service.spread" -}}
maxSkew: 1
labelSelector:
  matchLabels:
    {{- include "service.selector" . | nindent 4 }}
matchLabelKeys: [pod-template-hash]
{{- end -}}
