#!/bin/bash
# Changes of a live app that build nothing: a rollback, a restart, a scale, against the container's own start; and the way back of a server.
#
#   own start       docker run of the same image with an init, on a network of its own, to the first good answer at its address
#   start           from the start of the server to its first good answer for an app that runs
. "$(dirname "$0")/contestants.sh"
rounds=${ROUNDS:-7}

main() {
  prepare
  "$root/deploy/ensure-packages" curl python3
  "$root/deploy/ensure-engine" && "$root/deploy/base-images" busybox
  start_mini
  docker network create --label mini.bench=own "mini-bench-$$" >/dev/null
  cp -R "$root/examples/hello" "$scratch/app"
  git -C "$scratch/app" init -q -b main
  for version in 1 2; do
    echo "<!-- $version -->" >>"$scratch/app/index.html"
    git -C "$scratch/app" add -A && git -C "$scratch/app" commit -q -m "$version"
    git -C "$scratch/app" push -q "$mini_url/hello" main 2>/dev/null
  done
  apps+=(hello)
  image=$(docker ps -q --filter label=mini.name=hello | head -1 | xargs docker inspect -f '{{.Image}}')
  for round in $(seq "$rounds"); do
    measure own own_start
    remove_own
    measure rollback say rollback hello
    measure restart say ps:restart hello
    measure up say ps:scale hello web=2
    measure down say ps:scale hello web=1
    measure server restart_server
  done
  report
}

say() { "$mini" "$@"; }

own_start() {
  local id address
  id=$(docker run -d --init --network "mini-bench-$$" --label mini.bench=own -e PORT=5000 "$image")
  address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$id")
  until curl -sf -o /dev/null "http://$address:5000/"; do sleep 0.005; done
}

remove_own() { docker ps -aq --filter label=mini.bench=own | xargs -r docker rm -f -v >/dev/null; }

# Killed as by a crash; its port is bound anew.
restart_server() {
  kill -9 "$mini_pid"
  wait "$mini_pid" 2>/dev/null || true
  "$mini" server --firewall off --data "$MINI_DATA" --ssh "127.0.0.1:$mini_port" --http "127.0.0.1:$mini_http" >>"$scratch/mini.log" 2>&1 &
  mini_pid=$!
  pids+=("$mini_pid")
  until curl -sf -o /dev/null -H "Host: hello.localhost" "http://127.0.0.1:$mini_http/"; do sleep 0.005; done
}

clean_up() {
  remove_own
  docker network rm "mini-bench-$$" >/dev/null
}

report() {
  echo "milliseconds, median                                  load $(cut -d' ' -f1 /proc/loadavg)"
  row own "the container's own start"
  row rollback "mini rollback"
  row restart "mini ps:restart"
  row up "mini ps:scale web=2"
  row down "mini ps:scale web=1"
  row server "mini killed, to the first answer"
  echo "rollback over the container's own start: $(difference rollback own) ms (wanted: under 1000)"
}

main
