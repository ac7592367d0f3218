{{- define "datagate.fullname" -}}
{{- if contains "datagate" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-datagate" (.Release.Name | trunc 41 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "datagate.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "datagate.fullname" .) -}}
{{- end -}}

{{- define "datagate.selector" -}}
app.kubernetes.io/name: datagate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "datagate.labels" -}}
{{- $own := include "datagate.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{- /*
What stands under `metadata` of an object. `root` is the dot of the chart; `suffix` follows the full name; `name` replaces
it; `namespace` replaces that of the release; `cluster` is true for cluster-scoped kinds; `labels` and `annotations` are added, and win over the common ones.
*/ -}}
{{- define "datagate.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "datagate.fullname" .root) (.suffix | default "")) }}
{{- if not .cluster }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels:
  {{- merge (dict) (.labels | default dict) (include "datagate.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
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

{{- /* What every container of ours is held to; Pod Security `restricted` asks for most of it. */ -}}
{{- define "datagate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "datagate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* Whether datagate makes and renews its own certificate; empty for no. */ -}}
{{- define "datagate.selfManaged" -}}
{{- if and (eq .Values.certificate.mode "SelfManaged") (not .Values.webhook.url) }}true{{ end -}}
{{- end -}}

{{- /* The Secret with the serving pair, in the modes that read it from files. */ -}}
{{- define "datagate.tlsSecret" -}}
{{- .Values.certificate.existingSecret | default (printf "%s-tls" (include "datagate.fullname" .)) -}}
{{- end -}}

{{- /* The namespaces that are never judged, as a JSON list. Only the name that the API server itself writes on a namespace
leaves it out. Without pods of ours in the release namespace there is no deadlock to fear, and it is covered like any
other. */ -}}
{{- define "datagate.excludedNamespaces" -}}
{{- $excluded := prepend .Values.excludedNamespaces "kube-system" -}}
{{- if not .Values.webhook.url -}}
{{- $excluded = append $excluded .Release.Namespace -}}
{{- end -}}
{{- $excluded | uniq | toJson -}}
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
{{- with .Values.refuseWhenStaleFor }}
- {{ printf "--refuse-when-stale-for=%s" . | quote }}
{{- end }}
{{- if eq .Values.mode "Observe" }}
- "--observe"
{{- end }}
{{- end -}}
