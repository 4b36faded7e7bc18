#!/bin/bash
# `git push` without a build: mini against OpenSSH and `git receive-pack`, on four sizes, interleaved.
#
# mini stores and checks each pack in quarantine and then refuses the push, because the tree holds nothing to build;
# on the other side a pre-receive hook says no. So neither moves the ref, and every round sends the same pack.
# mini runs git's fsck and its own budget besides; the other side runs what git does unasked.
. "$(dirname "$0")/contestants.sh"
rounds=${ROUNDS:-5}
cases=(tiny thirty-mb one-commit blob-128mb)

main() {
  prepare
  "$root/deploy/ensure-packages" python3
  "$root/deploy/ensure-engine" && "$root/deploy/base-images" busybox
  start_mini
  start_sshd
  for case in "${cases[@]}"; do
    apps+=("$case")
    "$mini" apps:create "$case" >/dev/null
    printf '#!/bin/sh\nexit 0\n' | bare_repo "$case"
    "make_$case"
    printf '#!/bin/sh\nexit 1\n' | bare_repo "$case"
  done
  for _ in $(seq "$rounds"); do
    for case in "${cases[@]}"; do
      measure "$case.mini" push_refused "$case" "$mini_url"
      measure "$case.sshd" push_refused "$case" "$sshd_url"
    done
  done
  report
}

make_tiny() {
  new_tree tiny
  for file in 1 2 3 4 5; do echo "$file" >"$tree/$file"; done
  commit
}

make_thirty-mb() {
  new_tree thirty-mb
  fill 3000 10000
  commit
}

# The big repository has gone live on both sides before; what is timed is one commit more, without the Dockerfile.
make_one-commit() {
  new_tree one-commit
  fill 3000 10000
  echo data >"$tree/.dockerignore"
  cp "$root"/examples/hello/{Dockerfile,index.html} "$tree"
  commit
  git -C "$tree" push -q "$mini_url/one-commit" main 2>"$scratch/push.log" || { cat "$scratch/push.log" >&2; return 1; }
  git -C "$tree" push -q "$sshd_url/one-commit" main
  rm "$tree/Dockerfile"
  mv "$tree/index.html" "$tree/data/index.txt"
  commit
}

make_blob-128mb() {
  new_tree blob-128mb
  fill 128 1000000
  commit
}

new_tree() {
  tree=$scratch/$1
  git init -q -b main "$tree"
}

# fill FILES BYTES: files of random bytes, which nothing compresses.
fill() {
  mkdir -p "$tree/data"
  head -c $(($1 * $2)) /dev/urandom | split -a 5 -b "$2" - "$tree/data/"
}

# Packed, so that a push copies what is there: the client's search for deltas would drown what is measured.
commit() {
  git -C "$tree" add -A
  git -C "$tree" -c gc.auto=0 commit -q -m change
  git -C "$tree" repack -a -d -q --window=0
}

# Succeeds when the push was refused by the hook, and by nothing else.
push_refused() {
  local said
  ! said=$(git -C "$scratch/$1" push "$2/$1" main 2>&1) && [[ $said == *"pre-receive hook declined"* ]] || { echo "$said"; return 1; }
}

report() {
  echo "milliseconds, median                                  load $(cut -d' ' -f1 /proc/loadavg)"
  for case in "${cases[@]}"; do
    row "$case.mini" "$case: mini"
    row "$case.sshd" "$case: OpenSSH + git"
    echo "  OpenSSH / mini: $(ratio "$case.sshd" "$case.mini")$([[ $case != tiny ]] && echo ' (wanted: at least 1)' || echo ' (wanted: at least 2)')"
  done
}

main
