{{- define "hexcab.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "hexcab.image" -}}
{{ .root.Values.image.registry }}/{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "hexcab.labels" -}}
app.kubernetes.io/name: hexcab
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end }}

{{/* Not root, nothing to write to, no capabilities. */}}
{{- define "hexcab.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "hexcab.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Where a database is; the password comes first, so that the URL may name it. */}}
{{- define "hexcab.database" -}}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ required "postgres.passwordSecret.name: the secret with the password of Postgres" .root.Values.postgres.passwordSecret.name }}
      key: {{ .root.Values.postgres.passwordSecret.key }}
- name: HEXCAB_POSTGRES__URL
  value: {{ printf "postgres://%s:$(POSTGRES_PASSWORD)@%s/%s%s" .root.Values.postgres.user (required "postgres.address: host:port of Postgres" .root.Values.postgres.address) .database .root.Values.postgres.parameters | quote }}
{{- end }}
