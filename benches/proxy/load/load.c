// Load before a proxy: one thread, epoll; each connection asks again when it was answered, or when a request is due.
#include "pbench.h"
#include <math.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <time.h>

#define HEAD_BYTES 4096
#define MAX_SECONDS 120
#define MAX_ERRORS 1000
// In the idle case: else it measures what a burst of 10,000 requests leaves behind in the heap.
#define MAX_AT_ONCE 32

static struct {
  int connections, hosts, port, closes, idles, pid;
  double seconds, before, rate;
  uint64_t upload, message, total;
  const char *path, *host;
} want = {.connections = 64, .seconds = 1, .before = 0.3, .path = "/1k", .host = "app0.test"};

enum state { IDLE, SENDING, HEAD, BODY };
struct connection {
  int fd, is_tunnel;
  enum state state;
  uint64_t began, left; // when the request was due; bytes of its answer that are still to come
  const char *out;
  size_t out_len, head_len;
  uint64_t upload_left;
  char head[HEAD_BYTES];
};
struct request {
  char *bytes;
  int len;
};

static struct connection *connections, **idle;
static struct request *requests;
static int epoll, idle_count, in_flight;
static uint64_t asked, answered, errors, measured_from, measured_to = UINT64_MAX;
static char filler[262144];

// ---- what is asked

static void make_request(struct request *request, const char *host) {
  char extra[256] = "";
  if (want.upload) snprintf(extra, sizeof extra, "Content-Type: application/octet-stream\r\nContent-Length: %lu\r\n", want.upload);
  if (want.message)
    strcpy(extra, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
  if (want.closes) strcpy(extra, "Connection: close\r\n");
  request->len = asprintf(&request->bytes,
                          "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
                          "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: identity\r\n"
                          "Cookie: session=4f1c2d3e4a5b6c7d8e9f00112233445566778899\r\n%s\r\n",
                          want.upload ? "POST" : "GET", want.path, host, extra);
}

static void make_requests(void) {
  requests = calloc(want.hosts ? want.hosts : 1, sizeof *requests);
  if (!want.hosts) make_request(requests, want.host);
  for (int i = 0; i < want.hosts; i++) {
    char host[32];
    snprintf(host, sizeof host, "app%d.test", i);
    make_request(requests + i, host);
  }
}

// ---- a connection

static void connect_anew(struct connection *connection) {
  if (connection->fd >= 0) close(connection->fd);
  connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (connection->fd < 0) die("socket");
  send_at_once(connection->fd);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(want.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(connection->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
  connection->is_tunnel = 0;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

static void ask(struct connection *connection, uint64_t due) {
  if (connection->fd < 0) connect_anew(connection);
  in_flight++;
  connection->began = due;
  connection->state = SENDING;
  connection->head_len = 0;
  if (connection->is_tunnel) {
    connection->out = filler;
    connection->out_len = connection->left = want.message;
    return;
  }
  struct request *request = requests + (want.hosts ? asked++ % want.hosts : 0);
  connection->out = request->bytes;
  connection->out_len = request->len;
  connection->upload_left = want.upload;
}

// 1 when all is gone, 0 when the socket is full, -1 when it is closed.
static int send_out(struct connection *connection) {
  for (;;) {
    if (!connection->out_len && connection->upload_left) {
      connection->out = filler;
      connection->out_len = connection->upload_left < sizeof filler ? connection->upload_left : sizeof filler;
      connection->upload_left -= connection->out_len;
    }
    if (!connection->out_len) return 1;
    ssize_t sent = send(connection->fd, connection->out, connection->out_len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == ENOTCONN ? 0 : -1;
    connection->out += sent;
    connection->out_len -= sent;
  }
}

// Reads the head of an answer: 1 when it is whole and as expected, 0 when there is more to come, -1 when it is wrong.
static int read_head(struct connection *connection) {
  size_t room = HEAD_BYTES - 1 - connection->head_len;
  ssize_t got = recv(connection->fd, connection->head + connection->head_len, room, 0);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got <= 0) return -1;
  connection->head_len += got;
  char *end = memmem(connection->head, connection->head_len, "\r\n\r\n", 4);
  if (!end) return (size_t)got == room ? -1 : read_head(connection);
  if (strncmp(connection->head + 9, want.message ? "101" : "200", 3)) {
    fprintf(stderr, "pbench: %.*s\n", (int)strcspn(connection->head, "\r"), connection->head);
    return -1;
  }
  char *length = header(connection->head, end + 2, "content-length");
  uint64_t body = length ? strtoull(length, NULL, 10) : 0, early = connection->head_len - (end + 4 - connection->head);
  if ((!length && !want.message) || early > body) return -1;
  connection->is_tunnel = want.message > 0;
  connection->left = body - early;
  return 1;
}

static int read_body(struct connection *connection) {
  static char sink[262144];
  while (connection->left) {
    ssize_t got = recv(connection->fd, sink, sizeof sink, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0 || (uint64_t)got > connection->left) return -1;
    connection->left -= got;
  }
  return 1;
}

// One step of what a connection is at.
static int step(struct connection *connection) {
  switch (connection->state) {
  case SENDING: return send_out(connection);
  case HEAD: return read_head(connection);
  case BODY: return read_body(connection);
  case IDLE: break;
  }
  char byte;
  return recv(connection->fd, &byte, 1, 0) < 0 && errno == EAGAIN ? 0 : -1;
}

// ---- the order of requests

// When the requests of an open loop are due that no connection was free for.
static uint64_t *waiting, waiting_first, waiting_end;
#define WAITING_MAX (1 << 20)

static void rest(struct connection *connection) {
  connection->state = IDLE;
  idle[idle_count++] = connection;
}

static void ask_next(struct connection *connection) {
  if (want.idles || answered + errors >= want.total)
    rest(connection);
  else if (!want.rate)
    ask(connection, now_ns());
  else if (waiting_first < waiting_end)
    ask(connection, waiting[waiting_first++ % WAITING_MAX]);
  else
    rest(connection);
}

static void count(struct connection *connection, int is_answered) {
  uint64_t now = now_ns();
  in_flight--;
  if (!is_answered) errors++;
  if (!is_answered || !measured_from || connection->began < measured_from || now > measured_to) return;
  answered++;
  latency_record(now - connection->began);
}

static void failed(struct connection *connection) {
  if (connection->state == IDLE) { // closed by the proxy, which may do so
    for (int i = 0; i < idle_count; i++)
      if (idle[i] == connection) idle[i] = idle[--idle_count];
  } else {
    count(connection, 0);
  }
  connect_anew(connection);
  ask_next(connection);
}

static void done(struct connection *connection, int is_handshake) {
  if (is_handshake)
    in_flight--;
  else
    count(connection, 1);
  if (want.closes) {
    close(connection->fd);
    connection->fd = -1;
  }
  ask_next(connection);
}

static void pump(struct connection *connection) {
  while (errors < MAX_ERRORS && connection->fd >= 0) {
    int moved = step(connection);
    if (moved == 0) return;
    if (moved < 0)
      failed(connection);
    else if (connection->state == SENDING)
      connection->state = connection->is_tunnel ? BODY : HEAD;
    else if (connection->state == HEAD && connection->left)
      connection->state = BODY;
    else
      done(connection, connection->state == HEAD && connection->is_tunnel);
  }
}

static void wait_until(uint64_t then) {
  uint64_t now = now_ns(), left = then > now ? then - now : 0;
  struct timespec timeout = {left / 1000000000, left % 1000000000};
  struct epoll_event events[512];
  int ready = epoll_pwait2(epoll, events, 512, &timeout, NULL);
  for (int i = 0; i < ready; i++) pump(events[i].data.ptr);
}

static void begin(void) {
  connections = calloc(want.connections, sizeof *connections);
  idle = calloc(want.connections, sizeof *idle);
  for (int i = 0; i < want.connections; i++) {
    struct connection *connection = connections + i;
    connection->fd = -1;
    connect_anew(connection);
    if (want.rate) {
      rest(connection);
    } else {
      ask(connection, now_ns());
      pump(connection);
    }
    for (int tries = 0; want.idles && in_flight >= MAX_AT_ONCE && tries < 100; tries++) wait_until(now_ns() + 20000000);
  }
}

static double exponential(void) {
  static uint64_t x = 88172645463325252ull;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return -log(((x >> 11) + 1) / 9007199254740994.0);
}

// Asks what is due by now, and returns when the next request is.
static uint64_t ask_due(double *next) {
  for (; *next <= now_ns(); *next += 1e9 / want.rate * exponential()) {
    if (idle_count && waiting_first == waiting_end) {
      struct connection *connection = idle[--idle_count];
      ask(connection, *next);
      pump(connection);
    } else if (waiting_end - waiting_first < WAITING_MAX) {
      waiting[waiting_end++ % WAITING_MAX] = *next;
    }
  }
  return *next;
}

static void run_until(uint64_t end) {
  double next = now_ns();
  while (now_ns() < end && answered + errors < want.total && errors < MAX_ERRORS) {
    uint64_t due = want.rate ? ask_due(&next) : end;
    wait_until(due < end ? due : end);
  }
}

// ---- the line of JSON

static int report(struct cost before, struct cost after, double seconds) {
  int is_up = 0;
  for (int i = 0; i < want.connections; i++) is_up += connections[i].fd >= 0 && connections[i].state == IDLE;
  printf("{\"requests\":%lu,\"errors\":%lu,\"seconds\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"unserved\":%lu,\"idle\":%d", answered, errors,
         seconds, latency_us(.5), latency_us(.99), waiting_end - waiting_first, is_up);
  if (want.pid) printf(",\"cpu_us\":%lu,\"pss_kb\":%lu,\"peak_kb\":%lu", after.cpu_us - before.cpu_us, after.pss_kb, after.peak_kb);
  printf("}\n");
  return errors > answered / 100;
}

static void read_options(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "c:d:w:n:p:H:N:P:W:kR:Ii:")) != -1;) switch (option) {
    case 'c': want.connections = atoi(optarg); break;
    case 'd': want.seconds = fmin(atof(optarg), MAX_SECONDS); break;
    case 'w': want.before = atof(optarg); break;
    case 'n': want.total = strtoull(optarg, NULL, 10); break;
    case 'p': want.path = optarg; break;
    case 'H': want.host = optarg; break;
    case 'N': want.hosts = atoi(optarg); break;
    case 'P': want.upload = strtoull(optarg, NULL, 10); break;
    case 'W': want.message = strtoull(optarg, NULL, 10), want.path = "/ws"; break;
    case 'k': want.closes = 1; break;
    case 'R': want.rate = atof(optarg); break;
    case 'I': want.idles = 1; break;
    case 'i': want.pid = atoi(optarg); break;
    default: exit(2);
    }
  if (want.message > sizeof filler || want.connections < 1 || optind + 1 != argc) exit(2);
  if (!want.total) want.total = UINT64_MAX;
  want.port = atoi(argv[optind]);
}

int load(int argc, char **argv) {
  read_options(argc, argv);
  prctl(PR_SET_TIMERSLACK, 1);
  memset(filler, 'x', sizeof filler);
  waiting = malloc(WAITING_MAX * sizeof *waiting);
  epoll = epoll_create1(0);
  make_requests();
  if (want.pid) forget_peak(want.pid);
  if (!want.before) measured_from = 1;
  struct cost before = want.pid ? cost_of(want.pid) : (struct cost){0};
  uint64_t from = now_ns();
  begin();
  if (want.before) {
    run_until(from + want.before * 1e9);
    before = want.pid ? cost_of(want.pid) : before;
    from = measured_from = now_ns();
  }
  measured_to = from + want.seconds * 1e9;
  run_until(measured_to);
  double seconds = (now_ns() - from) / 1e9;
  return report(before, want.pid ? cost_of(want.pid) : before, seconds);
}
