#!/usr/bin/env bash
# Runs the demo on a real cluster of one node where that is quick, and else on an API server alone; says which, and why not the
# other. DATAGATE_DEMO=api-server or DATAGATE_DEMO=node chooses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

env=${DATAGATE_BIN:-target/debug}/datagate-env
image=${1:-none}

# Why not on a node; nothing if all is there that would take minutes to make.
obstacle() {
  local newer missing
  missing=$("$env" check-node 2>&1) || { printf '%s' "$missing"; return; }
  [[ -f $image ]] || { printf 'the image is not made (`make image`)'; return; }
  newer=$(find Cargo.toml Cargo.lock crates src -type f -newer "$image" -print -quit)
  [[ -z $newer ]] || { printf '%s is newer than the image (`make image`)' "$newer"; return; }
  [[ -x $("$env" path)/kubelet ]] || printf 'its programs are not built (`datagate-env build --node`, or `make cluster`)'
}

why=
case ${DATAGATE_DEMO:-} in
  node) ;;
  api-server) why="that was asked for" ;;
  *) why=$(obstacle) ;;
esac
if [[ -n $why ]]; then
  printf 'On an API server alone, without a node: %s.\n' "${why%.}"
  exec "$env" run -- examples/demo/run.sh
fi
printf 'On a real cluster of one node, with the image %s.\n' "${image##*/}"
DATAGATE_DEMO_NODE=1 exec "$env" run --node --image "$image" -- examples/demo/run.sh
