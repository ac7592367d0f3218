{{- /*
Combinations of values that the schema cannot refuse with words that help. Each message says what is wrong and what to
do. Included first by the template of the webhook configuration, so nothing is ever rendered without it.
*/ -}}
{{- define "datagate.validate" -}}
{{- $values := .Values -}}
{{- with .Values.certificate -}}
{{- if not $values.webhook.url -}}
{{- if eq .mode "Secret" -}}
{{- if not .existingSecret -}}
{{- fail "certificate.mode=Secret needs certificate.existingSecret: the name of a kubernetes.io/tls Secret in the release's namespace" -}}
{{- end -}}
{{- if not (trim $values.webhook.caBundle) -}}
{{- fail "certificate.mode=Secret needs webhook.caBundle: the certificate of the CA that signed it, with --set-file webhook.caBundle=ca.crt" -}}
{{- end -}}
{{- else -}}
{{- if .existingSecret -}}
{{- fail (printf "certificate.existingSecret is read only with certificate.mode=Secret, not %s: set the mode, or leave the name empty" .mode) -}}
{{- end -}}
{{- if trim $values.webhook.caBundle -}}
{{- fail (printf "webhook.caBundle is not for certificate.mode=%s, where %s: leave it empty, or use certificate.mode=Secret" .mode (ternary "datagate writes the bundle itself" "cert-manager writes the bundle" (eq .mode "SelfManaged"))) -}}
{{- end -}}
{{- end -}}
{{- if and .certManager.issuerRef (ne .mode "CertManager") -}}
{{- fail (printf "certificate.certManager.issuerRef is read only with certificate.mode=CertManager, not %s: set the mode, or leave it empty" .mode) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.clientAuthentication.names (not .Values.clientAuthentication.caConfigMap) -}}
{{- fail "clientAuthentication.names needs clientAuthentication.caConfigMap: without a CA no client certificate is asked for, and the names would do nothing" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create=false needs serviceAccount.name: the account that exists and gets the rights of the server" -}}
{{- end -}}
{{- if eq (int .Values.ports.webhook) (int .Values.ports.admin) -}}
{{- fail (printf "ports.webhook and ports.admin are both %d: give them different ports" (int .Values.ports.admin)) -}}
{{- end -}}
{{- if and .Values.hostNetwork .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled does nothing with hostNetwork=true, because NetworkPolicies do not hold for pods on the node's network: turn one of them off, and guard the node's ports instead" -}}
{{- end -}}
{{- if and .Values.guard.enabled (not .Values.guard.users) (not .Values.guard.groups) -}}
{{- fail "guard.enabled=true needs guard.users or guard.groups: without a name nobody could upgrade or uninstall this release. Name yourself (kubectl auth whoami) and the account of your GitOps tool" -}}
{{- end -}}
{{- end -}}
