# The servers that the benchmarks compare: starts mini and OpenSSH on free loopback ports, stops them by pid. Sourced.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
export DOCKER_HOST=unix:///var/run/docker.sock DOCKER_BUILDKIT=0
mini=${MINI_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/mini}
# The caller's own settings would reach the server that is measured.
unset "${!MINI_@}"
scratch=$(mktemp -d)
pids=()
apps=()

# Nothing of the caller's own git or ssh set-up takes part.
export HOME=$scratch/home GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=bench GIT_AUTHOR_EMAIL=bench@localhost GIT_COMMITTER_NAME=bench GIT_COMMITTER_EMAIL=bench@localhost
export GIT_SSH_COMMAND="ssh -F none -i $scratch/key -o IdentitiesOnly=yes -o UserKnownHostsFile=$scratch/known_hosts -o StrictHostKeyChecking=yes"

prepare() {
  [[ -x $mini ]] || { echo "there is no $mini: cargo build --release --locked" >&2; exit 1; }
  mkdir -p "$HOME"
  ssh-keygen -q -t ed25519 -N '' -C bench -f "$scratch/key"
  trap stop_all EXIT
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# trust PORT KEYFILE: pins a host key.
trust() { echo "[127.0.0.1]:$1 $(cut -d' ' -f1,2 "$2")" >>"$scratch/known_hosts"; }

# Sets mini_pid, mini_port, mini_http and mini_url, the start of a remote's address.
start_mini() {
  local port
  port=$(free_port) mini_http=$(free_port)
  export MINI_DATA=$scratch/data
  "$mini" server --firewall off --data "$MINI_DATA" --ssh "127.0.0.1:$port" --http "127.0.0.1:$mini_http" ${CONFIRM:+--ready-confirm "$CONFIRM"} >"$scratch/mini.log" 2>&1 &
  mini_pid=$!
  pids+=("$mini_pid")
  wait_until "$mini" status || { tail "$scratch/mini.log" >&2; exit 1; }
  "$mini" keys add bench "$scratch/key.pub" --role admin >/dev/null
  trust "$port" "$MINI_DATA/host_key.pub"
  mini_port=$port mini_url=ssh://mini@127.0.0.1:$port
}

# Sets sshd_url, the start of a remote's address; repositories are made by bare_repo.
start_sshd() {
  local port
  "$root/deploy/ensure-packages" sshd:openssh-server
  port=$(free_port)
  mkdir -p /run/sshd "$scratch/repos"
  ssh-keygen -q -t ed25519 -N '' -f "$scratch/sshd_key"
  # An empty HOME, or the login shell's start files would be measured too.
  cat >"$scratch/sshd_config" <<CONF
ListenAddress 127.0.0.1:$port
HostKey $scratch/sshd_key
AuthorizedKeysFile $scratch/key.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
SetEnv HOME=$HOME PATH=$PATH
CONF
  "$(command -v sshd)" -D -e -f "$scratch/sshd_config" 2>"$scratch/sshd.log" &
  pids+=($!)
  wait_until bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || { tail "$scratch/sshd.log" >&2; exit 1; }
  trust "$port" "$scratch/sshd_key.pub"
  sshd_url=ssh://$(id -un)@127.0.0.1:$port$scratch/repos
}

# bare_repo NAME: an empty repository behind sshd; a pre-receive hook comes from stdin.
bare_repo() {
  [[ -d $scratch/repos/$1 ]] || git init -q --bare -b main "$scratch/repos/$1"
  cat >"$scratch/repos/$1/hooks/pre-receive"
  chmod +x "$scratch/repos/$1/hooks/pre-receive"
}

wait_until() {
  local deadline=$((SECONDS + 20))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

# Apps named in `apps` go by mini's own hand, with their containers, networks and images.
stop_all() {
  local name pid
  for name in "${apps[@]}"; do
    "$mini" apps:destroy "$name" --confirm "$name" >/dev/null 2>&1 || echo "could not destroy $name" >&2
  done
  ! declare -F clean_up >/dev/null || clean_up
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$scratch"
}

# measure NAME COMMAND…: appends the milliseconds that it took to NAME's figures; its output goes to a log.
measure() {
  local name=$1 from=$EPOCHREALTIME
  "${@:2}" >"$scratch/$name.log" 2>&1 || { cat "$scratch/$name.log" >&2; return 1; }
  awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", (b - a) * 1000 }' >>"$scratch/$name.ms"
}

median() { sort -n "$scratch/$1.ms" | awk '{ all[NR] = $1 } END { print (all[int((NR + 1) / 2)] + all[int(NR / 2) + 1]) / 2 }'; }

# row NAME LABEL: a line of the table.
row() { sort -n "$scratch/$1.ms" | awk -v label="$2" -v median="$(median "$1")" 'NR == 1 { min = $1 } END { printf "%-36s %8.1f  (%.1f … %.1f, %d rounds)\n", label, median, min, $1, NR }'; }

ratio() { awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN { printf "%.2f", a / b }'; }

difference() { awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN { printf "%.0f", a - b }'; }
