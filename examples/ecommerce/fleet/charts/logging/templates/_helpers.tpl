{{- define "logging.selector" -}}
app.kubernetes.io/name: fluent-bit
{{- end -}}

{{- define "logging.labels" -}}
{{ include "logging.selector" . }}
app.kubernetes.io/component: log-collector
app.kubernetes.io/part-of: platform
{{- end -}}

{{- define "logging.config" -}}
service:
  http_server: true
  http_port: 2020
  health_check: true
  log_level: warn
  parsers_file: /fluent-bit/etc/parsers.conf
pipeline:
  inputs:
  - name: tail
    path: /var/log/containers/*.log
    multiline.parser: cri
    tag: kube.*
    # Positions go with the pod. A new one reads the files from their beginning,
    # and the store drops the lines that it has.
    db: /state/positions.db
    read_from_head: true
    mem_buf_limit: 32MB
    skip_long_lines: true
  filters:
  - name: modify
    match: "*"
    add:
    - cluster {{ required "cluster names where the lines are from" .Values.cluster }}
    - env {{ required "env names where the lines are from" .Values.env }}
  {{- with .Values.dropLevels }}
  - name: grep
    match: "*"
    exclude: level ^({{ join "|" . }})$
  {{- end }}
  outputs:
  - name: forward
    match: "*"
    host: {{ .Values.store.host }}
    port: {{ .Values.store.port }}
    tls: true
    retry_limit: no_limits
{{- end -}}
