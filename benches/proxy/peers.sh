# The proxies that are compared. Sourced by `run`.
#
# `peer_NAME` writes what the proxy needs into $work and sets `command`, by which it is started in the foreground. It is to listen on
# 127.0.0.1 at $http, and where it can at $h2c (HTTP/2 without TLS) and $https ($cert, $key: HTTP/1.1 and HTTP/2), and to know the
# $hosts hosts app0.test … of $work/routes: app<N> is served at `address_of N`. Behind TLS app0.test will do.

# As it is shipped: with a line and figures of each request. All clients of the bench have one address.
peer_mini() { mini_as mini "$mini"; }

# Another binary of mini, to see what a change has changed.
peer_before() { mini_as before "$BEFORE"; }

# mini_as NAME BINARY
mini_as() {
  local known
  known=$("$2" proxy --help)
  offers() { [[ $known == *" $1 "* ]]; }
  h2c=$http
  command="$2 proxy --http 127.0.0.1:$http --routes $work/routes"
  ! offers --per-address || command+=" --per-address 0"
  ! offers --access-log || command+=" --access-log $work/$1-access.log"
  ! offers --metrics || command+=" --metrics 127.0.0.1:$((http + 3))"
  if offers --https; then command+=" --https 127.0.0.1:$https --certificate $cert --key $key"; else https=''; fi
}

# Tuned: upstream connections kept, a socket per worker, no log, uploads passed on as they come.
peer_nginx() {
  local config=$work/nginx.conf i
  command="nginx -p $work -c $config -e $work/nginx.log"
  {
    nginx_main "worker_connections 19000; multi_accept on;" 19500
    cat <<EOT
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_timeout 75s; keepalive_requests 100000000;
  client_max_body_size 0; client_body_buffer_size 256k;
  proxy_http_version 1.1; proxy_request_buffering off; proxy_buffer_size 16k; proxy_buffers 8 32k; proxy_busy_buffers_size 64k;
  proxy_max_temp_file_size 0;
  map \$http_upgrade \$connection_to_app { default upgrade; '' ''; }
  proxy_set_header Host \$http_host; proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection \$connection_to_app;
  proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto \$scheme;
  proxy_set_header X-Forwarded-Host \$http_host;
  ssl_certificate $cert; ssl_certificate_key $key; ssl_protocols TLSv1.2 TLSv1.3;
  server { listen 127.0.0.1:$http reuseport backlog=4096 default_server; listen 127.0.0.1:$h2c http2 reuseport default_server;
    return 404; }
  server { listen 127.0.0.1:$https ssl http2 reuseport backlog=4096 default_server; location / { proxy_pass http://u0; } }
EOT
    for ((i = 0; i < addresses; i++)); do
      echo "  upstream u$i { server $(address_of "$i"); keepalive 512; keepalive_requests 100000000; keepalive_timeout 60s; }"
    done
    for ((i = 0; i < hosts; i++)); do
      echo "  server { listen 127.0.0.1:$http; listen 127.0.0.1:$h2c http2; server_name app$i.test; location / { proxy_pass http://u$((i % addresses)); } }"
    done
    echo "}"
  } >"$config"
}

# As Dokku sets it up: its template with its defaults, inside Debian's nginx.conf.
peer_dokku() {
  local config=$work/dokku.conf i
  command="nginx -p $work -c $config -e $work/dokku.log" h2c='' https=''
  {
    nginx_main "worker_connections 768;" 4096
    echo "  sendfile on; tcp_nopush on; types_hash_max_size 2048; gzip on;"
    for ((i = 0; i < hosts; i++)); do
      cat <<EOT
  upstream app$i-5000 { server $(address_of "$i"); }
  server { listen 127.0.0.1:$http; server_name app$i.test; access_log $work/dokku-access.log; underscores_in_headers off;
    client_body_timeout 60s; client_header_timeout 60s; keepalive_timeout 75s; lingering_timeout 5s; send_timeout 60s; client_max_body_size 1m;
    location / { gzip on; gzip_min_length 1100; gzip_buffers 4 32k; gzip_vary on; gzip_comp_level 6;
      gzip_types text/css text/javascript application/javascript application/json;
      proxy_pass http://app$i-5000; proxy_http_version 1.1; proxy_connect_timeout 60s; proxy_read_timeout 60s; proxy_send_timeout 60s;
      proxy_buffer_size 4k; proxy_buffering on; proxy_buffers 8 4k; proxy_busy_buffers_size 8k;
      proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection \$http_connection; proxy_set_header Host \$http_host;
      proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Port \$server_port;
      proxy_set_header X-Forwarded-Proto \$scheme; proxy_set_header X-Request-Start \$msec; } }
EOT
    done
    echo "}"
  } >"$config"
}

# nginx_main EVENTS FILES: what stands before the `http` of both, and its first lines; it ends inside `http`.
nginx_main() {
  local part
  echo "worker_processes auto; worker_rlimit_nofile $2; daemon off; pid $work/nginx-$http.pid; error_log $work/nginx-$http.log error;"
  echo "events { $1 }"
  echo "http {"
  echo "  server_names_hash_bucket_size 512; server_names_hash_max_size 8192;"
  for part in client_body proxy fastcgi uwsgi scgi; do echo "  ${part}_temp_path $work/nginx-$http-$part;"; done
}

peer_haproxy() {
  local config=$work/haproxy.cfg i
  command="haproxy -W -f $config"
  for ((i = 0; i < hosts; i++)); do echo "app$i.test u$((i % addresses))"; done >"$work/haproxy.map"
  cat "$cert" "$key" >"$work/haproxy.pem"
  {
    cat <<EOT
global
  nbthread $(nproc)
  maxconn 10200
  ulimit-n 20000
  no strict-limits
  tune.maxaccept 64
defaults
  mode http
  http-reuse always
  option http-keep-alive
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout tunnel 75s
frontend all
  bind 127.0.0.1:$http backlog 4096
  bind 127.0.0.1:$h2c proto h2
  bind 127.0.0.1:$https backlog 4096 ssl crt $work/haproxy.pem alpn h2,http/1.1
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  use_backend %[req.hdr(host),field(1,:),lower,map_str($work/haproxy.map,none)]
backend none
  http-request return status 404
EOT
    for ((i = 0; i < addresses; i++)); do printf 'backend u%d\n  server app %s pool-purge-delay 60s\n' "$i" "$(address_of "$i")"; done
  } >"$config"
}

# 20 sites of many hosts, not a site for each host: Caddy tries its sites one after the other, which with 1000 costs 6 times as much.
peer_caddy() {
  local config=$work/Caddyfile keep=$'    transport http {\n      keepalive_idle_conns_per_host 512\n    }\n' i k
  command="caddy run --config $config --adapter caddyfile" h2c=$http
  {
    printf '{\n  admin off\n  auto_https off\n  servers {\n    protocols h1 h2 h2c\n  }\n  log {\n    level ERROR\n  }\n}\n'
    for ((i = 0; i < addresses; i++)); do
      for ((k = i; k < hosts; k += addresses)); do printf '%shttp://app%d.test:%d' "$( ((k == i)) || echo ', ')" "$k" "$http"; done
      printf ' {\n  bind 127.0.0.1\n  reverse_proxy %s {\n%s  }\n}\n' "$(address_of "$i")" "$keep"
    done
    printf 'https://app0.test:%d {\n  bind 127.0.0.1\n  tls %s %s\n  reverse_proxy 127.0.0.1:%d {\n%s  }\n}\n' "$https" "$cert" "$key" "$upstream" "$keep"
  } >"$config"
}

# The standard library speaks HTTP/2 only behind TLS.
peer_go() {
  h2c=''
  GO111MODULE=off GOCACHE=$work/go-cache go build -o "$work/goproxy" "$here/peers/goproxy.go"
  command="$work/goproxy 127.0.0.1:$http 127.0.0.1:$https $cert $key $work/routes"
}

# The least that a proxy of hyper does: what mini costs above it is mini's own doing, and what it costs above nginx is hyper's.
peer_hyper() {
  https=''
  cargo build --release --locked --quiet --manifest-path "$here/peers/hyper/Cargo.toml" --target-dir "$work/hyper"
  command="$work/hyper/release/bare-hyper 127.0.0.1:$http 127.0.0.1:$h2c $work/routes"
}
