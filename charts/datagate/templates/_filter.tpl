{{- /*
The CEL of the webhook's matchConditions. An expression that fails refuses the request under failurePolicy Fail without
calling anyone, and it would refuse plain pods too: so every optional field is read with `.?`, which is total, and what
is cheap stands first, because the API server also bounds the cost. The bound (measured with the default values, old and
new object together) is at about 24,000 mentions of ignored resources, far beyond any pod; the 40,000 variables that fit
into a stored object are within it.
*/ -}}

{{- /* Globs as one anchored regular expression. The schema of the values leaves only letters, digits and - . _ / * */ -}}
{{- define "datagate.globs" -}}
{{- $alternatives := list -}}
{{- range . -}}
{{- $alternatives = append $alternatives (. | replace "." "[.]" | replace "*" ".*") -}}
{{- end -}}
^({{ join "|" $alternatives }})$
{{- end -}}

{{- /*
Whether anything changed that could change a decision. Writes of status, of finalizers and of managed fields pass
without a call, so that controllers can finish and garbage can be collected while the webhook is down. An owner that is
added counts where an operator would adopt the object by it.
*/ -}}
{{- define "datagate.changed" -}}
oldObject == null
{{- /* Not all custom kinds keep what they run in a spec. */}}
{{- range list "spec" "template" "tasks" "subWorkflows" "action" "target" }}
|| object.?{{ . }} != oldObject.?{{ . }}
{{- end }}
|| object.metadata.?labels != oldObject.metadata.?labels
|| object.metadata.?annotations != oldObject.metadata.?annotations
{{- /* Compared as a whole first: some hundred owners, each looked for among the old ones, cost more than is allowed. */}}
|| object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences
  && object.metadata.?ownerReferences.orValue([]).exists(r, (
{{- range $i, $it := .kinds.adoption }}{{ range $j, $owner := $it.owners }}{{ if or $i $j }} || {{ end }}r.apiVersion.contains({{ squote $owner }}){{ end }}{{ end -}}
  ) && !oldObject.metadata.?ownerReferences.orValue([]).exists(s, s.uid == r.uid))
{{- $values := .values }}
{{- range .kinds.statuses }}
|| (request.resource.group == {{ squote .apiGroup }} && request.resource.resource == {{ squote .resource }}
  && !(request.userInfo.username in [{{ include "datagate.accounts" (dict "accounts" .accounts "owners" (list .owner) "values" $values) }}])
  && object.?status != oldObject.?status)
{{- end }}
{{- end -}}

{{- /* The default accounts, and those of `controllerAccounts` that work for one of the owners or on one of the edges. */ -}}
{{- define "datagate.accounts" -}}
{{- $accounts := .accounts -}}
{{- $owners := .owners | default list -}}
{{- $edges := .edges | default list -}}
{{- range .values.controllerAccounts -}}
{{- $parts := regexSplit "=" . 2 -}}
{{- $edge := index $parts 0 -}}
{{- if or (has $edge $edges) (has (regexSplit "/" $edge 2 | first) $owners) -}}
{{- $accounts = append $accounts (index $parts 1) -}}
{{- end -}}
{{- end -}}
{{- range $i, $a := $accounts | uniq }}{{ if $i }}, {{ end }}{{ squote $a }}{{ end -}}
{{- end -}}

{{- /*
Whether the object, as it is or as it was may be governed; with `objects` those of the list alone
count, and what an operator would take for its own does not. `t` is everything that has metadata, or a pod spec, or both:
the object itself, the pod template inside it, the job template of a CronJob and the pod template inside that.
*/ -}}
{{- define "datagate.concerned" -}}
{{ .objects | default "[object, oldObject]" }}.exists(o, o != null &&
  [o, ?o.?template, ?o.?spec.?template, ?o.?spec.?jobTemplate, ?o.?spec.?jobTemplate.?spec.?template].exists(t, t != null && (
    [?t.?metadata.?labels, ?t.?metadata.?annotations].exists(m, m != null && m.exists(k, k.startsWith('datagate.dev/')))
    || t.?spec.?resourceClaims.orValue([]).size() > 0
    {{- with .values.accelerators.runtimeClasses }}
    || t.?spec.?runtimeClassName.orValue('').matches({{ include "datagate.globs" . | squote }})
    {{- end }}
    || [?t.?spec.?containers, ?t.?spec.?initContainers, ?t.?spec.?ephemeralContainers].exists(cs, cs != null && cs.exists(c,
      [?c.?resources.?limits, ?c.?resources.?requests].exists(r, r != null && r.exists(n, n.contains('/')
      {{- with .values.accelerators.ignoredResources }}
        && !n.matches({{ include "datagate.globs" . | squote }})
      {{- end }}))
      || c.?env.orValue([]).exists(e, e.name.startsWith('DATAGATE_') || e.name == 'NVIDIA_VISIBLE_DEVICES')))
  ))
)
{{- $values := .values }}
{{- if not .objects }}
{{- range .kinds.adoption }}
|| (request.resource.resource in [{{ range $i, $r := .resources }}{{ if $i }}, {{ end }}{{ squote $r }}{{ end }}]
  && !(request.userInfo.username in [{{ include "datagate.accounts" (dict "accounts" .accounts "edges" .edges "values" $values) }}])
  && ([?object.metadata.?labels, ?object.metadata.?annotations].exists(m, m != null && m.exists(k, {{ range $i, $k := .keys }}{{ if $i }} || {{ end }}k.startsWith({{ squote $k }}){{ end }}))
    || object.metadata.?ownerReferences.orValue([]).exists(r, {{ range $i, $k := .owners }}{{ if $i }} || {{ end }}r.apiVersion.contains({{ squote $k }}){{ end }})))
{{- end }}
{{- end }}
{{- end -}}

{{- /*
Whether an object says which data it uses: on itself, on the templates in it, in a variable of a container, or where
kinds that exist for training have pods (replicas of Kubeflow's jobs, the trainer of a TrainJob).
*/ -}}
{{- define "datagate.declared" -}}
[{{ .object }}].exists(o,
  [o, ?o.?template, ?o.?spec.?template, ?o.?spec.?jobTemplate, ?o.?spec.?jobTemplate.?spec.?template, ?o.?spec.?trainer].exists(t, t != null && (
    {{- include "datagate.declares" "t" | nindent 4 }}))
  || o.?spec.orValue({}).exists(k, k.endsWith('ReplicaSpecs') && o.spec[k].exists(role, [?o.spec[k][role].?template].exists(t, t != null && (
    {{- include "datagate.declares" "t" | nindent 4 }}))))
)
{{- end -}}

{{- define "datagate.declares" -}}
{{- $t := . -}}
[?{{ $t }}.?metadata.?labels, ?{{ $t }}.?metadata.?annotations].exists(m, m != null && m.exists(k, k in ['datagate.dev/datasets', 'datagate.dev/regions']))
|| [?{{ $t }}.?env].exists(es, es != null && es.exists(e, e.name in ['DATAGATE_DATASETS', 'DATAGATE_REGIONS']))
|| [?{{ $t }}.?spec.?containers, ?{{ $t }}.?spec.?initContainers, ?{{ $t }}.?spec.?ephemeralContainers].exists(cs, cs != null && cs.exists(c,
  c.?env.orValue([]).exists(e, e.name in ['DATAGATE_DATASETS', 'DATAGATE_REGIONS'])))
{{- end -}}

{{- /*
Whether the object is not one that a controller made for its owner: by one of the accounts that make such objects, or, for
the owners that work as an account of the namespace itself, by one of those.
*/ -}}
{{- define "datagate.noChild" -}}
{{- $values := .values -}}
!object.metadata.?ownerReferences.orValue([]).exists(r, r.?controller.orValue(false) && (false
{{- range .kinds.children }}
  || (request.resource.group == {{ squote .apiGroup }} && request.resource.resource == {{ squote .resource }}
    && (request.userInfo.username in [{{ include "datagate.accounts" (dict "accounts" .accounts "edges" .edges "values" $values) }}]
    {{- with .own }}
      || (r.kind in [{{ range $i, $it := . }}{{ if $i }}, {{ end }}{{ squote $it }}{{ end }}] && request.userInfo.username.startsWith('system:serviceaccount:' + request.namespace + ':'))
    {{- end }}))
{{- end }}))
{{- end -}}

{{- /* The rules of one entry, one for each API group, in the order of the list. */ -}}
{{- define "datagate.rules" -}}
{{- $entry := .entry -}}
{{- $groups := list -}}
{{- $resources := dict -}}
{{- range .kinds.kinds -}}
{{- if eq .entry $entry -}}
{{- $kind := . -}}
{{- $groups = append $groups .apiGroup | uniq -}}
{{- $list := append (get $resources .apiGroup | default list) .resource -}}
{{- range .subresources -}}
{{- $list = append $list (printf "%s/%s" $kind.resource .) -}}
{{- end -}}
{{- $_ := set $resources .apiGroup $list -}}
{{- end -}}
{{- end -}}
{{- range $groups }}
- apiGroups: [{{ quote . }}]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  scope: "*"
  resources:
    {{- get $resources . | toYaml | nindent 4 }}
{{- end }}
{{- end -}}
