# Brings the yardstick together: packages, the load generator, the app behind and the proxies before it, one measurement. Sourced.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
target=${CARGO_TARGET_DIR:-$root/target}
mini=${MINI_BINARY:-$target/release/mini}
work=$target/bench-proxy
pbench=$work/pbench
secs=${SECS:-0.8}
hosts=1000
# At how many addresses they are: a multiple of 20.
addresses=${ADDRESSES:-20}
# Below the range that the kernel takes for clients' ends.
upstream=${PORT_BASE:-20000}
cert=$work/cert.pem key=$work/key.pem
declare -A pid=() ports=()
unset "${!MINI_@}"
. "$here/peers.sh"

prepare() {
  "$root/deploy/ensure-packages" cc:gcc /usr/include/stdlib.h:libc6-dev nginx haproxy caddy go:golang-go h2load:nghttp2-client openssl python3
  mkdir -p "$work"
  [[ -x $mini ]] || (cd "$root" && cargo build --release --locked)
  cc -O2 -Wall -Wextra -o "$pbench" "$here"/load/*.c -lm
  [[ -e $cert ]] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=app0.test \
    -addext subjectAltName=DNS:app0.test -keyout "$key" -out "$cert" 2>/dev/null
  local i
  for ((i = 0; i < hosts; i++)); do echo "app$i.test $(address_of "$i")"; done >"$work/routes"
  ulimit -n "$(ulimit -Hn)"
  trap stop_all EXIT
  trap 'exit 130' INT TERM
}

# address_of HOST: 20 ports of 127.0.0.1, then 20 of the next one.
address_of() { echo "127.0.0.$((1 + $1 % addresses / 20)):$((upstream + $1 % 20))"; }

start_upstream() {
  start upstream "$pbench" upstream "$upstream" 20 $((addresses / 20))
  wait_until answers "$upstream"
}

# start_peer NAME: sets pid[NAME] and ports[NAME], which are "http h2c https" with - for one that it does not have.
start_peer() {
  local http=$((upstream + 40 + 4 * ${#ports[@]})) command
  local h2c=$((http + 1)) https=$((http + 2))
  "peer_$1"
  start "$1" $command
  ports[$1]="$http ${h2c:--} ${https:--}"
  wait_until answers "$http" || { echo "$1 does not serve:" >&2; tail "$work/$1.out" >&2; exit 1; }
}

# start NAME COMMAND…
start() {
  HOME=$work GOMAXPROCS=$(nproc) "${@:2}" >"$work/$1.out" 2>&1 &
  pid[$1]=$!
}

stop_peer() {
  kill "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
  unset "pid[$1]"
}

# By pid, and only what was started here; masters end their workers themselves.
stop_all() {
  local name
  for name in "${!pid[@]}"; do stop_peer "$name"; done
}

answers() { timeout 5 "$pbench" load -c 1 -n 1 -w 0 -d 1 -H "app$((hosts - 1)).test" "$1"; }

wait_until() {
  local deadline=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

# --- one measurement

names() { awk -F' *[|] *' '!/^#/ { print $1 }' "$here/cases"; }

# one PEER CASE: a line of JSON, or nothing where the peer cannot do it.
one() {
  local how options
  IFS='|' read -r _ _ how options _ < <(grep "^$2 " "$here/cases")
  "${how// /}" "$1" $options
}

# load PEER OPTIONS…
load() {
  local http
  read -r http _ <<<"${ports[$1]}"
  timeout 90 "$pbench" load -i "${pid[$1]}" -d "$secs" ${warm_up:+-w "$warm_up"} "${@:2}" "$http" 2>>"$work/load.log" || true
}

h2c() {
  local port
  read -r _ port _ <<<"${ports[$1]}"
  [[ $port == - ]] || h2load_at "$1" "http://app0.test:$port/1k" "$port" "${@:2}"
}

h2() {
  local port
  read -r _ _ port <<<"${ports[$1]}"
  [[ $port == - ]] || h2load_at "$1" "https://app0.test:$port/1k" "$port" "${@:2}"
}

# h2load_at PEER URL PORT OPTIONS…: a number of requests, since h2load cannot say when its warming up is over.
h2load_at() {
  local before output requests
  requests=$(awk -v secs="$secs" 'BEGIN { print int(20000 * secs) }')
  before=$(cpu_us "$1")
  output=$(timeout 60 h2load --connect-to="127.0.0.1:$3" -n "$requests" "${@:4}" "$2" 2>&1) || true
  awk -v cpu=$(($(cpu_us "$1") - before)) -v wanted="$requests" '
    /^status codes:/ { printf "{\"requests\":%d,\"errors\":%d,\"cpu_us\":%d}\n", $3, wanted - $3, cpu }' <<<"$output"
}

handshake() {
  local port before output
  read -r _ _ port <<<"${ports[$1]}"
  [[ $port != - ]] || return 0
  before=$(cpu_us "$1")
  output=$(python3 "$here/handshakes.py" "$port" "$secs")
  echo "${output%\}},\"cpu_us\":$(($(cpu_us "$1") - before))}"
}

cpu_us() { "$pbench" cost "${pid[$1]}" | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }
