#!/bin/bash
# `git push` of a one-file change to live: mini, against the engine's own time and against bare hands.
#
#   mini            the whole push, ended when git has ended
#   engine's API    image build + create + start + first good answer, on a network of its own as mini's apps are
#   bare hands      OpenSSH and a pre-receive hook of git archive, docker build, docker run, curl
#
# CONFIRM=0ms leaves out what nobody else does: mini asks a new release for a second answer 250 ms after the first.
#
# Everyone pushes its own text: the engine would serve the second of two equal trees from its cache.
. "$(dirname "$0")/contestants.sh"
rounds=${ROUNDS:-7}

main() {
  prepare
  "$root/deploy/ensure-packages" curl python3
  "$root/deploy/ensure-engine" && "$root/deploy/base-images" busybox
  start_mini
  start_sshd
  bare_repo hello <<'HOOK'
#!/bin/bash
# Bare hands: what people write before they have something like mini.
set -e
read -r _ new _
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git archive "$new" | tar -x -C "$tree"
docker build -q --label mini.bench=bare -t mini-bench-bare "$tree"
id=$(docker run -d --label mini.bench=bare -e PORT=5000 mini-bench-bare)
address=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' "$id")
until curl -sf -o /dev/null "http://$address:5000/"; do sleep 0.01; done
HOOK
  new_tree mini "$mini_url/hello"
  new_tree bare "$sshd_url/hello"
  cp -R "$root/examples/hello" "$scratch/api"
  apps+=(hello)

  echo "first push, not counted"
  push_change mini 0 && push_change bare 0
  rm -f "$scratch"/*.ms
  for round in $(seq "$rounds"); do
    push_change mini "$round"
    push_change bare "$round"
    for builder in buildkit classic; do
      echo "<!-- $builder $round -->" >>"$scratch/api/index.html"
      python3 "$root/benches/engine-time.py" "$builder" "$scratch/api" >>"$scratch/$builder.ms"
    done
    remove_bare
  done
  report
}

# new_tree NAME URL: examples/hello in a repository that pushes there.
new_tree() {
  cp -R "$root/examples/hello" "$scratch/$1"
  git -C "$scratch/$1" init -q -b main
  git -C "$scratch/$1" remote add origin "$2"
}

push_change() {
  echo "<!-- $1 $2 -->" >>"$scratch/$1/index.html"
  git -C "$scratch/$1" add -A
  git -C "$scratch/$1" commit -q -m "$2"
  measure "$1" git -C "$scratch/$1" push origin main
}

remove_bare() { docker ps -aq --filter label=mini.bench=bare | xargs -r docker rm -f -v >/dev/null; }

clean_up() {
  remove_bare
  docker images -q --filter label=mini.bench=bare | sort -u | xargs -r docker rmi -f >/dev/null
}

report() {
  echo "milliseconds, median                                  load $(cut -d' ' -f1 /proc/loadavg)"
  row mini "git push mini main"
  row buildkit "the engine's API, BuildKit"
  row classic "the engine's API, classic builder"
  row bare "bare hands"
  echo "mini over the API, BuildKit: $(difference mini buildkit) ms (wanted: at most 150); classic: $(difference mini classic) ms"
  echo "bare hands / mini: $(ratio bare mini) (wanted: at least 1.3)"
}

main
