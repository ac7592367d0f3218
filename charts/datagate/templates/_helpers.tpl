{{- define "datagate.fullname" -}}
{{- if contains "datagate" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-datagate" (.Release.Name | trunc 41 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "datagate.selector" -}}
app.kubernetes.io/name: datagate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "datagate.labels" -}}
{{ include "datagate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "datagate.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "datagate.tlsSecret" -}}
{{- .Values.certificate.existingSecret | default (printf "%s-tls" (include "datagate.fullname" .)) -}}
{{- end -}}

{{- /*
The flags that must agree with the webhook configuration, as a YAML list: whoever runs the server outside the cluster is
told the same ones. An empty list is passed as an empty flag, because without the flag the server takes its defaults.
*/ -}}
{{- define "datagate.agreedArgs" -}}
- {{ printf "--webhook-name=%s" (include "datagate.fullname" .) | quote }}
- {{ printf "--ignored-resource=%s" (join "," .Values.accelerators.ignoredResources) | quote }}
- {{ printf "--runtime-class=%s" (join "," .Values.accelerators.runtimeClasses) | quote }}
{{- with .Values.controllerAccounts }}
- {{ printf "--controller-account=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.excludedNamespaces }}
- {{ printf "--excluded-namespace=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.injectedImages }}
- {{ printf "--injected-image=%s" (join "," .) | quote }}
{{- end }}
{{- if eq .Values.mode "Observe" }}
- "--observe"
{{- end }}
{{- end -}}
