#!/usr/bin/env bash
# datagate's main job, end to end, on a real API server. `make demo` runs it; it needs kubectl and helm on the PATH and an
# administrator's KUBECONFIG, which `datagate-env run` gives it. With DATAGATE_DEMO_NODE there is a node, which has the image of
# datagate: then the chart runs it, and pods run. Without, the server is a process beside the cluster.
#
# Whatever is expected is checked: a refusal must name exactly the expected reasons, or the demo fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

demo=examples/demo
bin=${DATAGATE_BIN:-target/debug}
node=${DATAGATE_DEMO_NODE:-}
work=$(mktemp -d)
server=

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' off=$'\e[0m'
else
  bold='' dim='' red='' green='' off=''
fi

finish() {
  local code=$?
  # It would drain for some seconds, as it should in a cluster; here nobody is left to be served.
  [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
  [[ -z $server ]] || wait "$server" 2>/dev/null || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

section() { printf '\n%s== %s%s\n' "$bold" "$1" "$off"; }
say() { printf '%s\n' "$1"; }
indent() { sed "s/^/${1:-}  /; s/\$/${1:+$off}/"; }

fail() {
  printf '\n%sthe demo failed: %s%s\n' "$red" "$1" "$off" >&2
  [[ -z $node ]] || server_log >"$work/server.log" 2>/dev/null || true
  if [[ -s $work/server.log ]]; then
    printf 'the end of the server'\''s log:\n' >&2
    tail -n 15 "$work/server.log" >&2
  fi
  exit 1
}

# Prints a command as one would type it.
prompt() {
  local word line=
  for word in "$@"; do
    word=${word//$work\//}
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  printf '%s$%s%s\n' "$dim" "$line" "$off"
}

# Runs a command that must succeed.
show() {
  prompt "$@"
  "$@" 2>&1 | indent || fail "this command should have succeeded"
}

# Submits a file that must be admitted.
admitted() {
  prompt kubectl apply -f "$1"
  kubectl apply -f "$1" >"$work/out" 2>&1 || { indent <"$work/out"; fail "$1 should have been admitted"; }
  indent "$green" <"$work/out"
}

# Submits a file that must be refused for exactly these reasons.
refused() {
  local file=$1 found
  shift
  prompt kubectl apply -f "$file"
  if kubectl apply -f "$file" >"$work/out" 2>&1; then
    indent <"$work/out"
    fail "$file should have been refused"
  fi
  indent "$red" <"$work/out"
  found=$(reasons <"$work/out")
  [[ $found == "$*" ]] || fail "$file should have been refused for: $*; it was for: ${found:-no reason of ours}"
}

# The reasons in a refusal, each once.
reasons() { { grep -o '\[[A-Z][A-Za-z]*\]$' || true; } | tr -d '[]' | sort -u | xargs; }

# Looks again and again until a command succeeds.
until_true() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "waited 30 s until $what"
    [[ -z $server ]] || kill -0 "$server" 2>/dev/null || fail "datagate serve has ended"
    sleep 0.05
  done
}

# Nothing is stored by a dry run, but all webhooks are asked.
would_be_refused_for() { [[ $({ kubectl create --dry-run=server -f "$1" 2>&1 || true; } | reasons) == "$2" ]]; }
would_be_admitted() { kubectl create --dry-run=server -f "$1" >/dev/null 2>&1; }
exists() { [[ -n $("$@" --output=name 2>/dev/null) ]]; }

# A port that nothing listens on now.
free_port() {
  local port
  while port=$((20000 + RANDOM % 10000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# What datagate writes: its own log and a line for each decision.
server_log() { kubectl logs --namespace datagate-system --selector app.kubernetes.io/name=datagate --tail=-1; }
decisions() { if [[ -n $node ]]; then server_log; else cat "$work/decisions.jsonl"; fi; }

# The images that the jobs name are in no registry. Here one program stands for all of them, which says so and ends.
stand_ins() {
  local image stand_in=localhost/stand-in:1
  printf 'fn main() { println!("done"); }\n' >"$work/stand-in.rs"
  rustc -C opt-level=s -C target-feature=+crt-static -o "$work/stand-in" "$work/stand-in.rs"
  "$bin/datagate-env" image --name "$stand_in" --output "$work/stand-in.tar" "$work/stand-in"
  on-node ctr --namespace k8s.io images import - <"$work/stand-in.tar"
  while read -r image; do
    on-node ctr --namespace k8s.io images tag "$stand_in" "$image"
  done < <(sed -n 's/^ *image: //p' $demo/jobs/*.yaml | sort -u)
}

if [[ -n $node ]]; then
  section "Install: custom resources, roles, the webhook configuration, and two replicas that run on the node"
  stand_ins >"$work/out" 2>&1 || { indent <"$work/out"; fail "the images of the jobs could not be made"; }
  install=(helm install datagate charts/datagate --namespace datagate-system --create-namespace --wait)
  prompt "${install[@]}"
  "${install[@]}" >"$work/out" 2>&1 || { indent <"$work/out"; fail "this command should have succeeded"; }
  grep '^STATUS' "$work/out" | indent
  show kubectl get pods --namespace datagate-system
else
  section "Install: custom resources, roles and the webhook configuration"
  port=$(free_port)
  "$bin/datagate-env" cert 127.0.0.1 "$work/tls"
  install=(helm install datagate charts/datagate --namespace datagate-system --create-namespace
    --set "webhook.url=https://127.0.0.1:$port/validate" --set-file "webhook.caBundle=$work/tls/ca.crt")
  prompt "${install[@]}"
  "${install[@]}" >"$work/out" 2>&1 || { indent <"$work/out"; fail "this command should have succeeded"; }
  grep '^STATUS' "$work/out" | indent

  say ""
  say "The server runs as a process beside the cluster, with the rights of the chart's service account and no others."
  token=$(kubectl create token datagate --namespace datagate-system)
  kubectl config view --raw --flatten >"$work/kubeconfig"
  kubectl --kubeconfig "$work/kubeconfig" config set-credentials datagate --token="$token" >/dev/null
  kubectl --kubeconfig "$work/kubeconfig" config set-context --current --user=datagate >/dev/null
  serve=(datagate serve "--listen=127.0.0.1:$port" "--admin-listen=127.0.0.1:0" "--tls-cert=$work/tls/tls.crt"
    "--tls-key=$work/tls/tls.key" --namespace=datagate-system --webhook-name=datagate --log-format=text)
  prompt "${serve[@]}"
  KUBECONFIG=$work/kubeconfig "$bin/${serve[0]}" "${serve[@]:1}" >"$work/decisions.jsonl" 2>"$work/server.log" &
  server=$!
fi

section "Data governance: one policy, four datasets"
kubectl create namespace ml >/dev/null
show kubectl apply -f $demo/policy.yaml
show kubectl apply -f $demo/records.yaml
until_true "the policy is in force" would_be_refused_for $demo/jobs/europe.yaml RegionPaused
until_true "the namespace is ready" exists kubectl get serviceaccount default --namespace ml

section "A job with the opt-out filter before training: admitted"
admitted $demo/jobs/finetune.yaml

section "Data of people in a paused region: refused"
refused $demo/jobs/europe.yaml RegionPaused

section "Members' data and no opt-out filter: refused"
refused $demo/jobs/no-filter.yaml StepMissing

section "The filter runs beside training instead of before: refused"
refused $demo/jobs/filter-beside.yaml StepNotFirst

section "A job that asks for a GPU and does not say what data it uses: refused"
refused $demo/jobs/undeclared.yaml DataUndeclared

section "An ordinary job without a GPU: not governed, not even sent to datagate"
admitted $demo/jobs/ordinary.yaml

section "A CronJob on data that was filtered beforehand: admitted, and so are its Job and its Pod"
admitted $demo/jobs/nightly.yaml
nightly_pod() { kubectl get pods --namespace ml --output=name | grep '^pod/nightly-' >/dev/null; }
until_true "the CronJob has made a Pod" nightly_pod
show kubectl get cronjobs,jobs,pods --namespace ml
kubectl delete cronjob nightly --namespace ml >/dev/null

section "The pause gets an end: the same job on the same data is admitted"
show kubectl patch dsp member-data --type=json \
  --patch='[{"op": "add", "path": "/spec/pauses/0/effectiveUntil", "value": "2025-11-03T00:00:00Z"}]'
until_true "the edit is in force" would_be_admitted $demo/jobs/europe.yaml
admitted $demo/jobs/europe.yaml

section "A new pause reaches a job that was admitted before it: its next Pod is refused"
show kubectl patch dsp member-data --type=json --patch='[{"op": "add", "path": "/spec/pauses/-", "value":
    {"name": "canada", "match": {"regions": ["CA"], "sourceCategories": ["UserData"]},
     "effectiveFrom": "2026-01-01T00:00:00Z", "authority": "OPC"}}]'
until_true "the new pause is in force" would_be_refused_for $demo/jobs/no-filter.yaml 'RegionPaused StepMissing'
if [[ -n $node ]]; then
  say "The Job wants two completions, and its first Pod waits for a GPU. Now the node has some, as a device plugin would say:"
  gpus=(kubectl patch node node --subresource=status --type=json "--patch=[
    {\"op\": \"add\", \"path\": \"/status/capacity/nvidia.com~1gpu\", \"value\": \"4\"},
    {\"op\": \"add\", \"path\": \"/status/allocatable/nvidia.com~1gpu\", \"value\": \"4\"}]")
  show "${gpus[@]}"
else
  pod=$(kubectl get pods --namespace ml --selector batch.kubernetes.io/job-name=finetune --output=name)
  say "The Job wants two completions. There is no node here, so we say in its place that the first Pod has finished:"
  show kubectl patch "$pod" --namespace ml --subresource=status --patch='{"status": {"phase": "Succeeded"}}'
fi
next_pod_refused() { kubectl events --namespace ml --for job/finetune 2>/dev/null | grep 'FailedCreate.*RegionPaused' >/dev/null; }
until_true "the next Pod is refused" next_pod_refused
show kubectl events --namespace ml --for job/finetune
if [[ -n $node ]]; then
  say "The first Pod ran: the filter, and then the trainer."
  show kubectl get pods --namespace ml --selector batch.kubernetes.io/job-name=finetune
fi

section "What stands"
in_force() {
  local path='{.metadata.generation}={.status.observedGeneration} {.status.conditions[?(@.type=="Ready")].status}'
  [[ $(kubectl get dsp member-data --output "jsonpath=$path") =~ ^([0-9]+)=([0-9]+)\ True$ ]] &&
    [[ ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]]
}
until_true "the status of the policy says so" in_force
show kubectl get dsp,dsr

section "What stays: one line for each decision; here that on the Pod, with line breaks for reading"
refused_pod() { decisions 2>/dev/null | grep '"decision":"Denied".*"kind":"Pod"' >"$work/out"; }
until_true "the decision is logged" refused_pod
head -n 1 "$work/out" | sed -E 's/,"(object|user|policies|datasets|findings|message)"/,\n "\1"/g' | indent

section "The policy is withdrawn: what it refused is admitted"
show kubectl delete dsp member-data
until_true "nothing is governed any more" would_be_admitted $demo/jobs/no-filter.yaml
admitted $demo/jobs/no-filter.yaml

printf '\n%sAll as expected, in %d s.%s\n' "$bold" "$SECONDS" "$off"
