#!/bin/bash
# The client: `mini deploy .` beside the same push by git, `mini whoami` by every way, and a 1 GiB folder over ssh and HTTP.
#
# GIB=0 leaves the large folder out: it writes some 6 GiB below TMPDIR and takes minutes, most of them the server's work on it.
. "$(dirname "$0")/contestants.sh"
rounds=${ROUNDS:-7}

main() {
  prepare
  "$root/deploy/ensure-packages" curl python3
  "$root/deploy/ensure-engine" && "$root/deploy/base-images" busybox
  start_mini
  set_hosts
  small_app
  whoami_by_every_way
  [[ ${GIB:-1} == 0 ]] || large_folder
  report
}

# The client's own hosts: web (HTTP with an API key) and mini (ssh), which is the one set last.
set_hosts() {
  api_key=$("$mini" tokens:create bench --role admin | tail -n 1)
  http=http://127.0.0.1:$(sed -n 's/^ *http  *.*:\([0-9]*\)$/\1/p' "$scratch/mini.log")
  # What names the private socket would beat the hosts.
  unset MINI_DATA
  # OpenSSH asks the user database for the home folder, and not HOME.
  export MINI_SSH_COMMAND=$GIT_SSH_COMMAND
  "$mini" config set-host "$http" --host web --key "$api_key" >/dev/null
  "$mini" config set-host "ssh://127.0.0.1:$mini_port" >/dev/null
}

# Both sides change one file each round, so that neither meets the engine's cache of the other.
small_app() {
  apps+=(hello pushed)
  cp -R "$root/examples/hello" "$scratch/folder"
  cp -R "$root/examples/hello" "$scratch/pushed"
  git -C "$scratch/pushed" init -q -b main
  git -C "$scratch/pushed" remote add origin "$mini_url/pushed"
  for round in $(seq 0 "$rounds"); do
    [[ $round != 1 ]] || rm -f "$scratch"/*.ms
    echo "<!-- folder $round -->" >>"$scratch/folder/index.html"
    measure folder "$mini" deploy "$scratch/folder" -a hello
    echo "<!-- web $round -->" >>"$scratch/folder/index.html"
    measure folder-web "$mini" deploy "$scratch/folder" -a hello --host web
    echo "<!-- pushed $round -->" >>"$scratch/pushed/index.html"
    git -C "$scratch/pushed" add -A
    git -C "$scratch/pushed" commit -q -m "$round"
    measure pushed git -C "$scratch/pushed" push origin main
    # The same folder once more: nothing changed, all steps are cached.
    measure unchanged "$mini" deploy "$scratch/folder" -a hello
    git -C "$scratch/pushed" commit -q --allow-empty -m "$round again"
    measure pushed-again git -C "$scratch/pushed" push origin main
  done
}

whoami_by_every_way() {
  for _ in $(seq 20); do
    measure whoami-ssh "$mini" whoami
    measure whoami-web "$mini" whoami --host web
    measure whoami-curl curl -sf -X POST -H "Authorization: Bearer $api_key" "$http/v1/whoami"
  done
}

# A Dockerfile that no builder takes: what is measured ends when the server has the whole folder.
large_folder() {
  mkdir "$scratch/large"
  echo "FROM" >"$scratch/large/Dockerfile"
  for file in $(seq 16); do head -c 63M /dev/urandom >"$scratch/large/$file"; done
  for host in mini web; do
    python3 "$root/benches/upload-rate.py" "$mini_pid" "$mini" deploy "$scratch/large" -a "large-$host" --host "$host" >"$scratch/rate-$host"
  done
}

report() {
  echo "milliseconds, median                                  load $(cut -d' ' -f1 /proc/loadavg)"
  row folder "mini deploy .  one file changed, ssh"
  row folder-web "mini deploy .  one file changed, HTTP"
  row pushed "git push       one file changed"
  row unchanged "mini deploy .  unchanged"
  row pushed-again "git push       an empty commit"
  echo "mini deploy over git push, unchanged: $(difference unchanged pushed-again) ms (wanted: at most 100)"
  row whoami-ssh "mini whoami over ssh"
  row whoami-web "mini whoami over HTTP  (wanted: < 15)"
  row whoami-curl "curl …/v1/whoami"
  for host in mini web; do
    [[ ! -f $scratch/rate-$host ]] || echo "1 GiB to host $host: $(cat "$scratch/rate-$host")"
  done
}

main
